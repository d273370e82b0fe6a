"""Images of any size: no pixel is moved, and what the model adds at the border counts nowhere."""
from collections.abc import Callable

import numpy as np
import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.structures import PixelData
from mmseg.models import EncoderDecoder
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor

from mamba_cd_plugin.models.backbones import pad_by_reflection, reflected

CHANNELS = [8, 16, 32, 64]
Build = Callable[[str], EncoderDecoder]


@pytest.fixture(scope='module')
def build(toy_config: Callable[[str], Config]) -> Build:
    """A config's model at d = 8, each built once."""
    built = {}

    def one(name: str) -> EncoderDecoder:
        if name not in built:
            cfg = toy_config(name)
            cfg.model.backbone.arch = dict(embed_dims=8, depths=(1, 1, 1, 1), ssm_ratio=1.0)
            cfg.model.neck.in_channels = cfg.model.decode_head.in_channels = CHANNELS
            built[name] = MODELS.build(cfg.model).eval()
            built[name].decode_head.conv_seg.weight.data.normal_(std=1.)  # logits of order 1
        return built[name]

    return one


def extended(pair: Tensor) -> Tensor:
    """To multiples of 32 by numpy, whose reflection goes on for as long as needed."""
    height, width = pair.shape[2:]
    return torch.from_numpy(np.pad(pair, ((0, 0), (0, 0), (0, -height % 32), (0, -width % 32)), mode='reflect'))


def samples(labels: Tensor) -> list[SegDataSample]:
    """Data samples for labels (N, H, W)."""
    return [SegDataSample(gt_sem_seg=PixelData(data=label[None])) for label in labels]


@pytest.mark.parametrize(('size', 'pixels'), [(1, [0, 0, 0, 0, 0, 0, 0]), (2, [0, 1, 0, 1, 0, 1, 0]),
                                              (3, [0, 1, 2, 1, 0, 1, 2]), (5, [0, 1, 2, 3, 4, 3, 2])])
def test_reflection_by_hand(size: int, pixels: list) -> None:
    assert reflected(size, 7).tolist() == pixels


def test_multiples_of_the_stride_are_left_alone() -> None:
    images = torch.zeros(1, 3, 64, 32)
    assert pad_by_reflection(images, 32) is images


@pytest.mark.parametrize('size', [(1, 1), (31, 33), (250, 310), (481, 487)])
def test_every_pixel_stays_where_it_is(size: tuple[int, int], build: Build) -> None:
    """What is computed at any size is, pixel by pixel, what is computed of the extended pair."""
    model, pair = build('cdmamba_v8_levircd.py'), torch.randn(1, 6, *size)
    with torch.no_grad():
        logits, whole = model(pair), model(extended(pair))
    assert logits.shape == (1, 1, *size)
    torch.testing.assert_close(logits, whole[..., :size[0], :size[1]])


@pytest.mark.parametrize('name', ['cdmamba_v1_levircd.py', 'cdmamba_v4_levircd.py', 'cdmamba_v7_levircd.py',
                                  'ablations/trunk_without_final_head.py'])
def test_so_does_every_output_of_every_head(name: str, build: Build) -> None:
    model, pair = build(name), torch.randn(2, 6, 31, 33)
    with torch.no_grad():
        outputs, wholes = (model.decode_head.all_logits(model.extract_feat(x)) for x in (pair, extended(pair)))
    assert len(outputs) == (5 if model.decode_head.level_outputs else 1)
    for logits, whole in zip(outputs, wholes):
        torch.testing.assert_close(logits, whole[..., :31, :33])


@pytest.mark.parametrize('name', ['cdmamba_v8_levircd.py', 'cdmamba_v7_levircd.py'])
def test_added_pixels_count_in_no_loss(name: str, build: Build) -> None:
    model, pair = build(name), torch.randn(2, 6, 50, 33)
    labels = (torch.rand(2, 50, 33) > 0.7).long()
    ignored = torch.nn.functional.pad(labels, (0, 31, 0, 14), value=255)
    with torch.no_grad():
        found = model.loss(pair, samples(labels))
        expected = model.loss(extended(pair), samples(ignored))
    assert found.keys() == expected.keys() and len(found) >= 2
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize('window', [None, 40])
def test_predictions_of_both_protocols(window: int, build: Build) -> None:
    """Whole images, and mmseg's sliding window, whose last windows end with the image."""
    model, pair = build('cdmamba_v8_levircd.py'), torch.randn(1, 6, 40, 75)
    model.test_cfg = ConfigDict(mode='whole') if window is None else ConfigDict(
        mode='slide', crop_size=(window, window), stride=(window, window))
    with torch.no_grad():
        if window is None:
            expected = model(extended(pair))[..., :40, :75]
        else:
            left, right = (model(extended(part))[..., :40, :40] for part in (pair[..., :40], pair[..., 35:]))
            expected = torch.cat([left[..., :35], (left[..., 35:] + right[..., :5]) / 2, right[..., 5:]], dim=-1)
        sample, = model.predict(pair)
    torch.testing.assert_close(sample.seg_logits.data, expected[0].sigmoid())


def test_labels_of_another_size_are_refused(build: Build) -> None:
    model = build('cdmamba_v8_levircd.py')
    with pytest.raises(ValueError, match=r'labels have \(32, 64\) pixels \(H, W\) but the images \(33, 64\)'):
        model.loss(torch.randn(1, 6, 33, 64), samples(torch.zeros(1, 32, 64, dtype=torch.long)))
