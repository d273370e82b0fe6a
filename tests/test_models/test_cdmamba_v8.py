"""The whole V8 as mmseg's EncoderDecoder runs it."""
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.structures import PixelData
from mmseg.models import EncoderDecoder
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

from mamba_cd_plugin.models import ChangeTTAModel, PairDataPreProcessor, SiameseVSSM
from mamba_cd_plugin.models.necks import BitemporalFusionNeck

CONFIGS = Path(__file__).parents[2] / 'configs'


def samples(labels: torch.Tensor) -> list:
    """Data samples for labels (N, H, W)."""
    return [SegDataSample(gt_sem_seg=PixelData(data=label[None])) for label in labels]


def test_runs_in_mmsegs_own_class(toy_v8: EncoderDecoder) -> None:
    assert type(toy_v8) is EncoderDecoder


@pytest.mark.parametrize('size', [(64, 64), (70, 51), (33, 97)])
def test_predicts_at_the_size_of_the_input(size: tuple, toy_v8: EncoderDecoder) -> None:
    model = toy_v8.eval()
    with torch.no_grad():
        prediction = model(torch.randn(2, 6, *size), mode='predict')
    assert len(prediction) == 2
    assert prediction[0].pred_sem_seg.data.shape == prediction[0].seg_logits.data.shape == (1, *size)
    assert set(prediction[0].pred_sem_seg.data.unique().tolist()) <= {0., 1.}


def test_every_parameter_gets_a_gradient(toy_v8: EncoderDecoder) -> None:
    model = toy_v8.train()
    labels = torch.zeros(2, 64, 64, dtype=torch.long)
    labels[:, 10:30, 20:40] = 1
    losses = model(torch.randn(2, 6, 64, 64), samples(labels), mode='loss')
    assert set(losses) == {'decode.loss_focal', 'decode.loss_lovasz'}
    sum(losses.values()).backward()
    # Of a bias in front of a BatchNorm only rounding noise is seen; see tests/test_configs.py.
    without = [name for name, p in model.named_parameters()
               if p.grad is None or not (name.endswith('bias') or p.grad.abs().sum() > 0)]
    assert without == []


def test_full_size_has_25_to_40_million_parameters_and_trains_at_256() -> None:
    model = MODELS.build(Config.fromfile(CONFIGS / 'cdmamba_v8_levircd.py').model)
    assert 25e6 < sum(p.numel() for p in model.parameters()) < 40e6
    model(torch.randn(1, 6, 256, 256)).mean().backward()


def test_two_tensors_and_six_channels_are_the_same_call() -> None:
    encoder = SiameseVSSM('toy').eval()
    a, b = torch.randn(2, 3, 64, 64), torch.randn(2, 3, 64, 64)
    joined, separate = encoder(torch.cat([a, b], 1)), encoder(a, b)
    for x, y in zip(joined.a + joined.b, separate.a + separate.b):
        torch.testing.assert_close(x, y)
    # The weights are shared and the batch halves do not mix: A alone against itself gives A's features twice.
    for x, y, z in zip(joined.a, *encoder(a, a)[:2]):
        torch.testing.assert_close(x, y)
        torch.testing.assert_close(x, z)


def test_strides_and_channels() -> None:
    features = SiameseVSSM('toy').eval()(torch.randn(1, 6, 64, 96))
    assert [tuple(f.shape) for f in features.a] == [(1, 16, 16, 24), (1, 32, 8, 12), (1, 64, 4, 6), (1, 128, 2, 3)]


@pytest.mark.parametrize(('arguments', 'message'), [
    (dict(arch='vmamba_x'), "arch 'vmamba_x' is unknown; there are cdmamba"),
    (dict(arch=dict(embed_dims=8, depth=(1,))), 'missing or unknown'),
])
def test_encoder_names_a_wrong_arch(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SiameseVSSM(**arguments)


@pytest.mark.parametrize('shapes', [[(1, 3, 64, 64)], [(1, 3, 64, 64), (1, 3, 64, 32)], [(1, 4, 64, 64)] * 2])
def test_encoder_names_a_wrong_input(shapes: list) -> None:
    with pytest.raises(ValueError, match=r'expected .*\(N, [36], H, W\)'):
        SiameseVSSM('toy')(*(torch.zeros(s) for s in shapes))


def test_neck_names_channels_that_do_not_fit() -> None:
    neck = BitemporalFusionNeck([8, 16, 32, 64], dict(type='DifferenceBlock'), dict(type='BN'), dict(type='ReLU'))
    with pytest.raises(ValueError, match=r'encoder gives \(16, 32, 64, 128\) channels'):
        neck(SiameseVSSM('toy')(torch.randn(1, 6, 64, 64)))


def test_preprocessor_normalises_both_dates_alike() -> None:
    preprocessor = PairDataPreProcessor(mean=[10., 20., 30.], std=[1., 2., 4.], size_divisor=1)
    image = torch.tensor([11., 24., 38., 10., 20., 30.]).view(6, 1, 1).expand(6, 2, 2)
    out = preprocessor(dict(inputs=[image], data_samples=[SegDataSample()]))['inputs']
    assert out[0, :, 0, 0].tolist() == [1., 2., 2., 0., 0., 0.]


@pytest.mark.parametrize(('bad', 'message'), [(dict(mean=[0.] * 6, std=[1.] * 6), 'one RGB image'),
                                              (dict(mean=[0.] * 3, std=[1.] * 3, bgr_to_rgb=True), 'never swapped')])
def test_preprocessor_refuses_what_it_would_do_wrong(bad: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PairDataPreProcessor(**bad)


def test_tta_averages_probabilities() -> None:
    class Module(torch.nn.Module):
        decode_head = type('Head', (), dict(threshold=0.5))

        def test_step(self) -> None:
            """mmengine asks for it."""

    views = [SegDataSample(seg_logits=PixelData(data=torch.tensor([[[p, q]]]))) for p, q in ((0.2, 0.9), (0.4, 0.3))]
    merged = ChangeTTAModel(module=Module()).merge_preds([views])[0]
    torch.testing.assert_close(merged.seg_logits.data, torch.tensor([[[0.3, 0.6]]]))
    assert merged.pred_sem_seg.data.tolist() == [[[0., 1.]]]
