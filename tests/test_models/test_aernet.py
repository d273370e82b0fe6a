"""AERNet: the numbers of the authors' code, edges and refinement by hand, images of any size."""
from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.structures import PixelData
from mmengine.utils import digit_version
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from mamba_cd_plugin.export.export import ExportableModel, trace
from mamba_cd_plugin.models.decode_heads.aernet_head import EdgeRefinement, GlobalContext, edges_of

exports = pytest.mark.skipif(digit_version(torch.__version__) < digit_version('2.9'), reason='needs torch 2.9')
CONFIG = Path(__file__).parents[2] / 'configs/baselines/aernet_levircd.py'
FIXTURE = Path(__file__).parent / 'data/aernet.npz'
# The authors' names, in this order of replacement, for ours.
RENAMES = (
    (r'^encoder\.', 'backbone.'),
    (r'^decoder\.bam\.(query|key|value)_conv', r'context.0.\1'),
    (r'^decoder\.db1\.0', 'context.1.conv'), (r'^decoder\.db1\.1', 'context.1.bn'),
    (r'^decoder\.db1\.3', 'context.2'), (r'^decoder\.db1\.4', 'ups.4'),
    (r'^decoder\.db([2-5])\.de_block4', lambda m: f'level_outputs.{5 - int(m[1])}'),
    (r'^decoder\.db([2-5])\.de_block5', lambda m: f'ups.{5 - int(m[1])}'),
    (r'^decoder\.db([2-5])\.', lambda m: f'blocks.{5 - int(m[1])}.'),
    (r'de_block1\.0', 'join.conv'), (r'de_block1\.1', 'join.bn'),
    (r'de_block2', 'attend.0'), (r'\.att\.', '.attend.1.'), (r'de_block3', 'attend.2'),
    (r'attend\.1\.conv1', 'attend.1.bottleneck.conv'), (r'attend\.1\.bn1', 'attend.1.bottleneck.bn'),
    (r'conv_h', 'rows'), (r'conv_w', 'columns'),
    (r'depth_conv', '0'), (r'point_conv\.0', '1.conv'), (r'point_conv\.1', '1.bn'),
    (r'^decoder\.classifier1\.0', 'edge.0.conv'), (r'^decoder\.classifier1\.1', 'edge.0.bn'),
    (r'^decoder\.classifier1\.3', 'edge.1'),
    (r'^decoder\.classifier2\.0', 'final.conv'), (r'^decoder\.classifier2\.1', 'final.bn'),
    (r'^decoder\.classifier2\.3', 'conv_seg'),
    (r'^decoder\.refine\.dir_head\.0', 'refine.direction.0.conv'),
    (r'^decoder\.refine\.dir_head\.1', 'refine.direction.0.bn'),
    (r'^decoder\.refine\.dir_head\.3', 'refine.direction.1'),
)


def our_name(name: str) -> str:
    for pattern, new in RENAMES:
        name = re.sub(pattern, new, name)
    if name.startswith('backbone.'):
        return name
    name = name.replace('refine.conv0.weight', 'refine.kernels').replace('decoder.', '')
    return f'decode_head.{name}'


def converted(official: dict[str, Tensor]) -> dict[str, Tensor]:
    """The authors' weights under our names. A bias before a BatchNorm is taken from its running mean."""
    ours = {our_name(name): value for name, value in official.items() if name != 'decoder.bam.gamma'}  # never used
    for key in [key for key in ours if key.endswith('.conv.bias')]:
        ours[key.replace('.conv.bias', '.bn.running_mean')] -= ours.pop(key)
    return ours


def build(**head: object) -> nn.Module:
    cfg = Config.fromfile(CONFIG).model
    cfg.backbone.init_cfg = None
    cfg.decode_head.update(head)
    return MODELS.build(cfg).eval()


def small(**head: object) -> nn.Module:
    cfg = Config.fromfile(CONFIG).model
    cfg.backbone.update(depth=18, base_channels=8, init_cfg=None)
    cfg.neck.in_channels = cfg.decode_head.in_channels = [8, 8, 16, 32, 64]
    cfg.decode_head.update(head)
    return MODELS.build(cfg).eval()


@torch.no_grad()
def test_all_outputs_are_those_of_the_official_code(noise: Callable, weight: Callable) -> None:
    arrays = np.load(FIXTURE)
    model = build()
    model.load_state_dict(converted({
        name: weight(name, tuple(map(int, shape.split())))
        for name, shape in zip(arrays['names'].tolist(), arrays['shapes'].tolist())}))
    pyramid = model.extract_feat(noise('pair', (1, 6, 256, 512)))  # two cells of the global context
    outs, x = model.decode_head.decode(pyramid)
    for i, out in enumerate(outs):
        level = model.decode_head.level_outputs[i](out)[0, 0, ::8 >> i, ::8 >> i]
        torch.testing.assert_close(level, torch.from_numpy(arrays[f'level{i + 1}']), atol=1e-5, rtol=1e-5)
    refined, edge = model.decode_head.classify(outs, x)
    assert 0.1 < (edge > 0).float().mean() < 0.9 and refined.std() > 0.1
    torch.testing.assert_close(refined[0, 0, ::8, ::8], torch.from_numpy(arrays['refined']), atol=1e-5, rtol=1e-5)
    # By the statistics of the batch, each date by its own.
    training = model.train()(noise('pair', (1, 6, 256, 512)))[0, 0, ::8, ::8]
    torch.testing.assert_close(training, torch.from_numpy(arrays['training']), atol=1e-4, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize('size', [(64, 64), (50, 33), (288, 32)])
def test_images_of_any_size_keep_it(size: tuple[int, int]) -> None:
    """The authors' code needs multiples of 256."""
    assert small()(torch.zeros(1, 6, *size)).shape == (1, 1, *size)


@exports
@torch.no_grad()
def test_it_is_exported_for_one_size() -> None:
    model = small()
    pair = 255 * torch.rand(1, 6, 288, 288)  # four cells of the global context
    torch.testing.assert_close(trace(model, 288).module()(pair), ExportableModel(model)(pair))
    with pytest.raises(ValueError, match='AERNetHead can be exported for one size of images only; give --size'):
        trace(model, None)


@exports
def test_what_is_no_encoder_decoder_is_not_exported() -> None:
    with pytest.raises(ValueError, match='Conv2d cannot be exported, only mmseg.s EncoderDecoder'):
        trace(nn.Conv2d(6, 1, 1), None)


@torch.no_grad()
def test_one_cell_adds_its_mean_to_every_pixel(noise: Callable) -> None:
    context = GlobalContext(8, pool=8)
    nn.init.dirac_(context.value.weight)
    nn.init.zeros_(context.value.bias)
    x = noise('x', (1, 8, 5, 3))
    torch.testing.assert_close(context(x), x + x.mean(dim=(2, 3), keepdim=True))


def test_edges_by_hand() -> None:
    label = torch.tensor([[[0, 0, 0, 0, 0, 255],
                           [0, 0, 1, 1, 0, 0],
                           [0, 0, 1, 1, 0, 0],
                           [0, 0, 0, 0, 0, 0],
                           [0, 0, 0, 0, 0, 0]]])
    edges = edges_of(label, 255)
    assert edges.tolist() == [[[0, 1, 1, 1, 255, 255],
                               [0, 1, 1, 1, 255, 255],
                               [0, 1, 1, 1, 1, 0],
                               [0, 1, 1, 1, 1, 0],
                               [0, 0, 0, 0, 0, 0]]]
    assert edges_of(torch.ones(1, 4, 4, dtype=torch.long), 255).sum() == 0


@torch.no_grad()
@pytest.mark.parametrize(('direction', 'row', 'column'), [(0, 0, -1), (2, -1, 0), (5, 1, 1), (7, 1, -1)])
def test_an_edge_pixel_takes_the_logit_of_the_neighbour_it_is_sent_to(direction: int, row: int, column: int) -> None:
    refine = EdgeRefinement(4, dict(type='BN')).eval()
    nn.init.zeros_(refine.direction[1].weight)
    refine.direction[1].bias.copy_(100. * (torch.arange(8) == direction))
    logits = torch.arange(25.).view(1, 1, 5, 5)
    edge = torch.full((1, 1, 5, 5), -1.)
    edge[0, 0, 2, 2] = 1.
    refined = refine(torch.zeros(1, 4, 5, 5), logits, edge)
    assert refined[0, 0, 2, 2] == logits[0, 0, 2 + row, 2 + column]
    logits[0, 0, 2, 2] = refined[0, 0, 2, 2]
    assert torch.equal(refined, logits)  # all others stay


@pytest.mark.parametrize('loss_edge', [None, dict(type='SWBCELoss')])
def test_six_losses_or_the_five_of_the_public_code(loss_edge: dict | None, noise: Callable) -> None:
    labels = torch.zeros(2, 1, 64, 64, dtype=torch.long)
    labels[..., 10:30, 20:40] = 1
    samples = [SegDataSample(gt_sem_seg=PixelData(data=label)) for label in labels]
    model = small(loss_edge=loss_edge).train()
    losses = model(noise('pair', (2, 6, 64, 64)), samples, mode='loss')
    assert list(losses) == [f'decode.{name}loss_swbce' for name in (
        '', 'level1.', 'level2.', 'level3.', 'level4.', *(['edge.'] if loss_edge else []))]
    sum(losses.values()).backward()
    assert (model.decode_head.edge[1].weight.grad is not None) == bool(loss_edge)


def test_imagenet_weights_are_read_as_torchvision_writes_them(tmp_path: Path) -> None:
    """With a classifier, and without BatchNorm's counters."""
    source, path = small().backbone, tmp_path / 'resnet.pth'
    weights = {key: value for key, value in source.state_dict().items() if not key.endswith('num_batches_tracked')}
    torch.save({**weights, 'fc.weight': torch.zeros(10, 64), 'fc.bias': torch.zeros(10)}, path)
    model = small().backbone
    model.init_cfg = dict(type='Pretrained', checkpoint=str(path))
    model.init_weights()
    assert all(torch.equal(value, weights[key]) for key, value in model.state_dict().items() if key in weights)
    weights.pop('layer2.0.conv1.weight')
    torch.save(weights, path)
    with pytest.raises(ValueError, match='do not fit SiameseResNet: missing: layer2.0.conv1.weight'):
        model.init_weights()
    model.init_cfg['checkpoint'] = str(tmp_path / 'nowhere.pth')
    with pytest.raises(FileNotFoundError, match='nowhere.pth do not exist. .*torchvision'):
        model.init_weights()
