"""Every version is what it was: its weights by name and shape, what it computes, and how it is trained.

A change to a shared block that alters an older version fails here by the version's name (the diary, V6: changing a
block of VMamba changed all other versions too). Where the change is meant: pytest --renew-identity v8
"""
import json
import math
import zlib
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from mamba_cd_plugin.analysis.complexity import part_of, uninitialised_model

CONFIGS = Path(__file__).parents[1] / 'configs'
PINS = Path(__file__).parent / 'data/identity.json'
VERSIONS = ('v1', 'v2', 'v2_d80', 'v3', 'v4', 'v5', 'v6', 'v6_1', 'v6_2', 'v6_gelu', 'v7', 'v8', 'v8_1')
SIZE = 64
# Start as analytic kernels, which belong to a version; everything else is filled by a formula.
ANALYTIC = ('.dog.', '.gaussian.', '.laplacian.')
ToyConfig = Callable[[str], Config]


def weights(cfg: Config) -> dict[str, str]:
    """The weights of each part at full size: how many, and a hash over their names and shapes."""
    parts: dict[str, list[str]] = {}
    numbers: dict[str, int] = {}
    for name, tensor in uninitialised_model(cfg, device='meta').state_dict().items():
        part = part_of(name)
        parts.setdefault(part, []).append(f'{name} {tuple(tensor.shape)}')
        numbers[part] = numbers.get(part, 0) + tensor.numel()
    hashes = {part: sha256('\n'.join(lines).encode()).hexdigest()[:8] for part, lines in parts.items()}
    return {part: f'{len(parts[part])} tensors, {numbers[part]} numbers, {hashes[part]}' for part in parts}


def noise(key: str, shape: tuple) -> Tensor:
    """Normal numbers that depend on the key alone; numpy has promised never to change this generator."""
    return torch.from_numpy(np.random.RandomState(zlib.crc32(key.encode())).standard_normal(shape)).float()


def fill(model: nn.Module) -> nn.Module:
    """Weights by their names: vectors around 1 (biases around 0), all others with the variance of their fan-in."""
    for name, tensor in model.state_dict().items():
        if not tensor.is_floating_point() or any(kernel in name for kernel in ANALYTIC):
            continue
        if tensor.dim() > 1:
            tensor.copy_(noise(name, tensor.shape) / math.sqrt(tensor[0].numel()))
        else:
            tensor.copy_(0.1 * noise(name, tensor.shape) + (0 if name.endswith('bias') else 1))
    return model


@torch.no_grad()
def computed(cfg: Config) -> dict:
    """What a toy model makes of two pairs: mean, spread and three pixels of each output, and its losses."""
    # BatchNorm on the batch's own statistics: on running ones that no data made, most of the signal would be lost.
    cfg.model.backbone.drop_path_rate = 0.
    model = fill(MODELS.build(cfg.model)).train()
    pyramid = model.extract_feat(noise('pair', (2, 6, SIZE, SIZE)))
    labels = (noise('label', (2, 1, SIZE, SIZE)) > 1.5).long()
    outputs = {}
    for i, logits in enumerate(model.decode_head.all_logits(pyramid)):
        outputs[f'level {i}' if i else 'final'] = [
            round(float(x), 6) for x in (logits.mean(), logits.std(), *logits[0, 0].diagonal()[[5, 30, 55]])]
    samples = [SegDataSample(gt_sem_seg=PixelData(data=label)) for label in labels]
    losses = model.decode_head.loss(pyramid, samples, {})
    return dict(outputs=outputs, losses={name: round(float(loss), 6) for name, loss in losses.items()})


def identity(version: str, toy_config: ToyConfig) -> dict:
    """All that is pinned of a version."""
    name = f'cdmamba_{version}_levircd.py'
    cfg = Config.fromfile(CONFIGS / name)
    optimizer = ', '.join(f'{key} {value}' for key, value in sorted(cfg.optim_wrapper.optimizer.items()))
    training = dict(optimizer=optimizer, batch=f'{cfg.train_dataloader.batch_size} pairs',
                    epochs=f'{cfg.train_cfg.max_epochs}')
    return dict(weights=weights(cfg), training=training, **computed(toy_config(name)))


def differences(pinned: dict, found: dict, path: str = '') -> list[str]:
    """Where two identities differ, a line each."""
    lines = []
    for key in dict.fromkeys((*pinned, *found)):
        old, new = pinned.get(key), found.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            lines += differences(old, new, f'{path}{key}: ')
        # Other processors and releases of torch round otherwise, in a few of the last of seven digits.
        elif not (old == new if isinstance(old, str) or None in (old, new) else new == pytest.approx(old, 1e-3, 1e-4)):
            lines.append(f'  {path}{key}: was {old}, is {new}')
    return lines


@pytest.mark.parametrize('version', VERSIONS)
def test_a_version_is_what_it_was(version: str, toy_config: ToyConfig, request: pytest.FixtureRequest) -> None:
    found, pins = identity(version, toy_config), json.loads(PINS.read_text())
    if version in request.config.getoption('--renew-identity'):
        pins[version] = found
        PINS.write_text(json.dumps(dict(sorted(pins.items())), indent=1) + '\n')
    lines = differences(pins.get(version, {}), found)
    assert not lines, '\n'.join([
        f'CDMamba {version} has changed:', *lines,
        'If another version was to be changed, give that one its own part or key; if this one was, renew its identity:',
        f'  pytest tests/test_identity.py --renew-identity {version}'])


def test_only_versions_are_pinned() -> None:
    assert sorted(json.loads(PINS.read_text())) == sorted(VERSIONS)


@pytest.mark.parametrize(('version', 'options', 'seen'), [
    ('v5', {'model.neck.difference.type': 'FullDifferenceBlock'}, {'weights: neck.differences', 'outputs: final'}),
    ('v6_1', {'model.decode_head.fusion.gate': 'sigmoid'}, {'outputs: final'}),
    ('v8', {'model.decode_head.edge.sigma': 1.0}, {'outputs: final'}),
    ('v8', {'model.decode_head.loss_decode.focal.alpha': 0.25}, {'losses: loss_focal'}),
])
def test_a_change_is_noticed(version: str, options: dict, seen: set, toy_config: ToyConfig) -> None:
    name = f'cdmamba_{version}_levircd.py'
    full, toy = Config.fromfile(CONFIGS / name), toy_config(name)
    for cfg in (full, toy):
        cfg.merge_from_dict(options)
    pins = json.loads(PINS.read_text())[version]
    lines = differences({**pins, 'training': {}}, dict(weights=weights(full), training={}, **computed(toy)))
    places = {line.strip().split(': was')[0] for line in lines}
    assert seen <= places and (('weights: neck.differences' in seen) == any('weights' in place for place in places))
