"""ChangeMamba's MambaBCD: the numbers of the official code, its checkpoints, its loss and how its classifier learns."""
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmseg.registry import MODELS
from torch import Tensor, nn

from mamba_cd_plugin.cli.convert_weights import convert_file
from mamba_cd_plugin.models.backbones import ARCHS
from mamba_cd_plugin.models.converters import convert_change_mamba
from mamba_cd_plugin.models.losses import lovasz_softmax_loss

CONFIGS = Path(__file__).parents[2] / 'configs'
FIXTURE = Path(__file__).parent / 'data/changemamba_toy.npz'
# The decoder's names until 2026, for those since.
OLD_NAMES = {f'decoder.stage_blocks.{4 - level}.{order}.': f'decoder.st_block_{level}{number}.'
             for level in (1, 2, 3, 4) for number, order in enumerate(('cat', 'interleave', 'split'), 1)}
OLD_NAMES.update({f'decoder.fuse_layers.{4 - level}.': f'decoder.fuse_layer_{level}.' for level in (1, 2, 3, 4)})
OLD_NAMES.update({f'decoder.smooth_layers.{3 - level}.': f'decoder.smooth_layer_{level}.' for level in (1, 2, 3)})


@pytest.fixture(autouse=True)
def _arch_of_the_fixture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ARCHS, 'fixture', (8, (1, 2, 1, 1), 2.0))


@pytest.fixture
def weights(weight: Callable) -> dict[str, Tensor]:
    """A checkpoint of the toy model under its official names."""
    arrays = np.load(FIXTURE)
    return {name: weight(name, tuple(map(int, shape.split())), 0.25 if name.startswith('main_clf') else 1)
            for name, shape in zip(arrays['names'].tolist(), arrays['shapes'].tolist())}


def build() -> nn.Module:
    cfg = Config.fromfile(CONFIGS / 'baselines/changemamba_bcd_tiny_levircd.py').model
    cfg.backbone.update(arch='fixture', init_cfg=None)
    cfg.neck.in_channels = cfg.decode_head.in_channels = [8, 16, 32, 64]
    return MODELS.build(cfg).eval()


def test_logits_are_those_of_the_official_code(weights: dict[str, Tensor], noise: Callable) -> None:
    model = build()
    model.load_state_dict(convert_change_mamba(weights).state_dict)
    unchanged, changed = torch.from_numpy(np.load(FIXTURE)['logits'])[0]
    with torch.no_grad():
        logits = model(noise('pair', (1, 6, 32, 64)))
    assert logits.std() > 0.5
    torch.testing.assert_close(logits[0, 0], changed - unchanged, atol=1e-5, rtol=0)


def test_images_of_any_size_keep_it() -> None:
    with torch.no_grad():
        assert build()(torch.zeros(1, 6, 50, 33)).shape == (1, 1, 50, 33)


def old(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Under the names of the checkpoints that the authors publish."""
    def rename(key: str) -> str:
        return next((key.replace(new, before) for new, before in OLD_NAMES.items() if key.startswith(new)), key)
    return {rename(key): value for key, value in weights.items()}


def test_the_published_checkpoints_have_older_names(weights: dict[str, Tensor]) -> None:
    renamed = old(weights)
    assert sum(key not in weights for key in renamed) == sum(key.startswith('decoder.') for key in weights)
    found, expected = convert_change_mamba(renamed).state_dict, convert_change_mamba(weights).state_dict
    assert found.keys() == expected.keys() and all(torch.equal(found[key], expected[key]) for key in expected)


def test_a_converted_file_loads_into_the_model(tmp_path: Path, weights: dict[str, Tensor]) -> None:
    torch.save(weights, tmp_path / 'official.pth')
    conversion = convert_file(tmp_path / 'official.pth', tmp_path / 'ours.pth', whole=True)
    build().load_state_dict(torch.load(tmp_path / 'ours.pth')['state_dict'])
    # 424 names; the classifier's stay two, and the four fusions lose a bias each.
    assert len(weights) == 424 and len(conversion.state_dict) == 420
    assert '420 weights of encoder and decoder converted' in conversion.describe()


def drop(key: str) -> Callable[[dict], None]:
    return lambda weights: weights.pop(key)


def put(key: str, *shape: int, value: float = 0.) -> Callable[[dict], None]:
    return lambda weights: weights.update({key: torch.full(shape, value)})


@pytest.mark.parametrize(('damage', 'message'), [
    (drop('decoder.stage_blocks.0.cat.2.op.A_logs'), r'Missing:\s+fusions.3.stacked.1.ss2d.A_logs'),
    (drop('decoder.fuse_layers.1.0.bias'), r'Missing:\s+decoder.fuse_layers.1.0.bias'),
    (drop('decoder.smooth_layers.2.conv1.weight'), r'Missing:\s+smoothers.0.conv1.weight'),
    (drop('encoder.outnorm2.bias'), r'Missing:\s+out_norms.2.bias'),
    (drop('main_clf.bias'), 'lacks main_clf.bias; without --whole'),
    (put('decoder.smooth_layers.0.conv1.bias', 128), r'Left over:\s+smoothers.2.conv1.bias'),
    (put('aux_clf.weight', 2, 128, 1, 1), r'no place in ours:\s+aux_clf.weight'),
    (put('main_clf.weight', 5, 128, 1, 1), r'main_clf.weight has shape \(5, 128, 1, 1\)'),
    (put('decoder.fuse_layer_4.0.weight', 128, 640, 1, 1), 'names of two versions'),
    (put('decoder.stage_blocks.3.split.2.op.Ds', 512), r'parallel.1.ss2d.Ds has shape \(512,\), expected \(1024,\)'),
    (put('main_clf.bias', 2, value=math.nan), 'conv_seg.bias holds NaN'),
])
def test_a_checkpoint_that_does_not_fit_is_refused_by_name(damage: Callable, message: str, weights: dict) -> None:
    damage(weights)
    with pytest.raises(ValueError, match=message):
        convert_change_mamba(weights)


@pytest.mark.parametrize(('probabilities', 'labels', 'expected'), [
    # Errors 0.4 and 0.2. Of the changed class, the worst pixel is no member: 0.4 / 2 + 0.2 / 2 = 0.3. Of the unchanged
    # class it is the only one: 0.4. The mean of the two.
    ([0.8, 0.4], [1, 0], 0.35),
    ([0.8, 0.4, 0.9], [1, 0, 255], 0.35),
    ([0.4], [0], 0.4),  # the changed class does not occur
    ([0.7], [255], 0.),
])
def test_lovasz_softmax_by_hand(probabilities: list, labels: list, expected: float) -> None:
    logits = torch.tensor(probabilities).logit().view(1, 1, 1, -1).requires_grad_()
    loss = lovasz_softmax_loss(logits, torch.tensor(labels).view(1, 1, -1))
    loss.backward()
    assert loss.item() == pytest.approx(expected, abs=1e-6)
    assert bool(logits.grad.any()) == (expected > 0)


def test_one_logit_learns_as_the_difference_of_two(noise: Callable) -> None:
    """With the config's losses and its factors of rate and decay, from the same start, on the same features."""
    cfg = Config.fromfile(CONFIGS / 'baselines/changemamba_bcd_tiny_levircd.py')
    factors = cfg.optim_wrapper.paramwise_cfg.custom_keys['decode_head.conv_seg']
    features, labels = noise('features', (2, 4, 6, 6)), (noise('label', (2, 6, 6)) > 0.5).long()
    labels[0, 0] = 255
    two, one = nn.Conv2d(4, 2, 1), nn.Conv2d(4, 1, 1)
    with torch.no_grad():
        for single, pair in zip(one.parameters(), two.parameters()):
            single.copy_(pair[1:] - pair[:1])
    rate, decay = 0.05, 0.5
    optimizers = (torch.optim.AdamW(two.parameters(), rate, weight_decay=decay),
                  torch.optim.AdamW(one.parameters(), factors.lr_mult * rate, weight_decay=factors.decay_mult * decay))
    ours = [MODELS.build(loss) for loss in cfg.model.decode_head.loss_decode.values()]
    lovasz = MODELS.build(dict(type='LovaszLoss', reduction='none', loss_weight=0.75))  # mmseg's, of two classes
    for _ in range(5):
        logits = two(features)
        losses = (F.cross_entropy(logits, labels, ignore_index=255) + lovasz(logits, labels, ignore_index=255),
                  sum(loss(one(features), labels, ignore_index=255) for loss in ours))
        torch.testing.assert_close(losses[1], losses[0])
        for loss, optimizer in zip(losses, optimizers):
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    torch.testing.assert_close(one.weight, two.weight[1:] - two.weight[:1], atol=1e-4, rtol=0)
