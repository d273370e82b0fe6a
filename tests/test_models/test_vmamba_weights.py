"""Official VMamba and ChangeMamba weights: conversion, loading, and the numbers of the official code."""
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmseg.registry import MODELS
from torch import Tensor

from mamba_cd_plugin.cli.convert_weights import convert_file
from mamba_cd_plugin.models import SiameseVSSM
from mamba_cd_plugin.models.backbones import ARCHS
from mamba_cd_plugin.models.converters import convert_state_dict
from mamba_cd_plugin.models.converters.vmamba import recognise_arch, unwrap

ROOT = Path(__file__).parents[2]

@pytest.fixture(autouse=True)
def _arch_of_the_fixture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ARCHS, 'fixture', (6, (1, 2, 1, 1), 2.0))


@pytest.fixture(scope='module')
def official() -> dict[str, Tensor]:
    """What the official code computed: 'weights/<name>', 'input', 'features/<level>' (see data/README.md)."""
    arrays = np.load(Path(__file__).parent / 'data/vmamba_toy.npz')
    return {name: torch.from_numpy(arrays[name]).float() for name in arrays.files}


@pytest.fixture
def weights(official: dict[str, Tensor]) -> dict[str, Tensor]:
    """The official weights alone, to be changed at will."""
    return {name[len('weights/'):]: value.clone() for name, value in official.items() if name.startswith('weights/')}


def assert_same_features(encoder: SiameseVSSM, official: dict[str, Tensor]) -> None:
    with torch.no_grad():
        features = encoder.eval().encode(official['input'])
    assert len(features) == 4
    for level, feature in enumerate(features):
        torch.testing.assert_close(feature, official[f'features/{level}'], atol=1e-5, rtol=0)


@pytest.mark.parametrize('backend', ['auto', 'torch', 'ref'])
def test_features_are_those_of_the_official_code(backend: str, weights: dict, official: dict) -> None:
    conversion = convert_state_dict(weights)
    assert (conversion.arch, conversion.dropped, conversion.fresh) == ('fixture', [], [])
    encoder = SiameseVSSM('fixture', scan_backend=backend)
    encoder.load_state_dict(conversion.state_dict)
    assert_same_features(encoder, official)


def test_a_converted_file_loads_by_init_cfg(tmp_path: Path, weights: dict, official: dict) -> None:
    torch.save(dict(model=weights), tmp_path / 'official.pth')
    convert_file(tmp_path / 'official.pth', tmp_path / 'new/ours.pth')
    assert [path.name for path in (tmp_path / 'new').glob('[!.]*')] == ['ours.pth']
    encoder = SiameseVSSM('fixture', init_cfg=dict(type='Pretrained', checkpoint=str(tmp_path / 'new/ours.pth')))
    encoder.init_weights()
    assert_same_features(encoder, official)


def as_changemamba(weights: dict) -> dict:
    return {**{f'encoder.{key}': value for key, value in weights.items()}, 'decoder.x.weight': torch.zeros(1),
            'main_clf.weight': torch.zeros(1), 'main_clf.bias': torch.zeros(1)}


def as_dense_vmamba(weights: dict) -> dict:
    return dict(state_dict={f'backbone.{key}': value for key, value in weights.items()})


def as_convolutions(weights: dict) -> dict:
    """Linear layers stored as 1x1 convolutions, which VMamba's channels-first form allows."""
    return {key: value[:, :, None, None] if value.dim() == 2 and key.endswith('.weight') else value
            for key, value in weights.items()}


@pytest.mark.parametrize(('form', 'dropped'), [(as_changemamba, ['decoder (1)', 'main_clf (2)']), (as_dense_vmamba, []),
                                               (as_convolutions, [])])
def test_every_official_form_gives_the_same_weights(form: Callable[[dict], dict], dropped: list, weights: dict) -> None:
    plain = convert_state_dict(weights)
    other = convert_state_dict(unwrap(form(weights)))
    assert other.dropped == dropped
    assert list(other.state_dict) == list(plain.state_dict)
    assert all(torch.equal(value, other.state_dict[key]) for key, value in plain.state_dict.items())


@pytest.mark.parametrize('norm, head', [('classifier.norm', 'classifier.head'), ('norm', 'head')])
def test_classification_head_is_dropped_and_level_norms_start_fresh(norm: str, head: str, weights: dict) -> None:
    for key in [key for key in weights if key.startswith('outnorm')]:
        del weights[key]
    weights.update({f'{name}.{kind}': torch.zeros(1) for name in (norm, head) for kind in ('weight', 'bias')})
    conversion = convert_state_dict(weights)
    assert sum(int(text.split('(')[1].rstrip(')')) for text in conversion.dropped) == 4
    assert conversion.fresh == [f'out_norms.{i}.{kind}' for i in range(4) for kind in ('weight', 'bias')]
    for key in conversion.fresh:
        assert conversion.state_dict[key].unique().tolist() == [1. if key.endswith('weight') else 0.]
    for word in ('not part of the encoder', norm.split('.')[0], 'out_norms.3.bias'):
        assert word in conversion.describe()


@pytest.mark.parametrize('arch', ARCHS)
def test_every_size_is_recognised_by_its_shapes(arch: str) -> None:
    dims, depths, ssm_ratio = ARCHS[arch]
    weights = {f'stages.{i}.{j}.norm1.weight': torch.empty(0) for i, n in enumerate(depths) for j in range(n)}
    weights['stem.3.weight'] = torch.empty(dims, dims // 2, 3, 3)
    weights['stages.0.0.ss2d.Ds'] = torch.empty(int(4 * dims * ssm_ratio))
    assert recognise_arch(weights) == arch


def drop(key: str) -> Callable[[dict], None]:
    return lambda weights: weights.pop(key)


def put(key: str, *shape: int, value: float = 0.) -> Callable[[dict], None]:
    return lambda weights: weights.update({key: torch.full(shape, value)})


@pytest.mark.parametrize(('damage', 'message'), [
    (drop('layers.1.blocks.0.op.A_logs'), r'Missing:\s+stages.1.0.ss2d.A_logs'),
    (drop('outnorm2.bias'), r'Missing:\s+out_norms.2.bias\s+Left over: none'),
    (drop('patch_embed.5.weight'), r'lacks what becomes our stem.3.weight'),
    (put('layers.3.downsample.1.weight', 96, 48, 3, 3), r'Left over:\s+downsamples.3.0.weight'),
    (put('layers.0.blocks.0.op.in_proj.bias', 24), r'Left over:\s+stages.0.0.ss2d.in_proj.bias'),
    (put('pos_embed', 1, 6, 4, 4), r'no place in ours:\s+pos_embed'),
    (put('layers.0.blocks.0.op.in_proj.weight', 24, 6), r'in_proj.weight has shape \(24, 6\), expected \(12, 6\)'),
    (put('layers.0.blocks.0.op.A_logs', 48, 16), r'A_logs has shape \(48, 16\), expected \(48, 1\).*d_state 1'),
    (put('layers.2.blocks.0.op.Ds', 96 * 2, value=float('nan')), 'stages.2.0.ss2d.Ds holds NaN or infinity'),
    (put('layers.0.blocks.1.norm.weight', 6), r'embed_dims 6, depths \(2, 2, 1, 1\) and ssm_ratio 2, .*\n +cdmamba:'),
])
def test_a_checkpoint_that_does_not_fit_is_refused_by_name(damage: Callable, message: str, weights: dict) -> None:
    damage(weights)
    with pytest.raises(ValueError, match=message):
        convert_state_dict(weights)


@pytest.mark.parametrize(('content', 'message'), [
    (dict(epoch=3), r"no named weights, but dict \['epoch'\]"),
    (torch.zeros(2), 'no named weights, but Tensor'),
    (dict(conv1=torch.zeros(2)), r"no weights under patch_embed.*\['conv1'\]"),
    (dict(model={}, config=Path('x')), 'could run code'),
])
def test_a_wrong_file_is_refused_and_writes_nothing(content: object, message: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / 'wrong.pth')
    with pytest.raises(ValueError, match=message) as error:
        convert_file(tmp_path / 'wrong.pth', tmp_path / 'ours.pth')
    assert 'wrong.pth' in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == ['wrong.pth']


def test_a_source_is_never_overwritten(tmp_path: Path, weights: dict) -> None:
    torch.save(weights, tmp_path / 'official.pth')
    with pytest.raises(ValueError, match='is one of the inputs'):
        convert_file(tmp_path / 'official.pth', tmp_path / '.' / 'official.pth')


def test_tool_says_what_it_did(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weights: dict, capsys: Any) -> None:
    source, target = tmp_path / 'official.pth', tmp_path / 'ours.pth'
    torch.save(weights, source)
    monkeypatch.setattr(sys, 'argv', ['vmamba.py', str(source), str(target)])
    runpy.run_path(str(ROOT / 'tools/model_converters/vmamba.py'), run_name='__main__')
    assert f"arch 'fixture', {len(weights)} encoder weights converted" in capsys.readouterr().out
    assert torch.load(target)['meta'] == dict(arch='fixture', source='official.pth', fresh=[])
    monkeypatch.setattr(sys, 'argv', ['vmamba.py', str(source), str(source)])
    with pytest.raises(SystemExit, match='is one of the inputs'):
        runpy.run_path(str(ROOT / 'tools/model_converters/vmamba.py'), run_name='__main__')


def pretrained(path: Path, **kwargs: str) -> dict:
    return dict(type='Pretrained', checkpoint=str(path), **kwargs)


def test_pretrained_weights_under_a_prefix(tmp_path: Path) -> None:
    source = SiameseVSSM('toy')
    torch.save({f'backbone.{key}': value for key, value in source.state_dict().items()}, tmp_path / 'model.pth')
    encoder = SiameseVSSM('toy', init_cfg=pretrained(tmp_path / 'model.pth', prefix='backbone'))
    encoder.init_weights()
    assert all(torch.equal(value, encoder.state_dict()[key]) for key, value in source.state_dict().items())


def test_pretrained_weights_that_do_not_fit_stop_the_run(tmp_path: Path, weights: dict) -> None:
    torch.save(SiameseVSSM(dict(embed_dims=16, depths=(1, 1, 2, 1), ssm_ratio=1.)).state_dict(), tmp_path / 'deep.pth')
    torch.save(SiameseVSSM(dict(embed_dims=8, depths=(1, 1, 1, 1), ssm_ratio=1.)).state_dict(), tmp_path / 'thin.pth')
    torch.save(dict(state_dict=weights), tmp_path / 'official.pth')
    for name, message in [('deep.pth', r'unknown: stages.2.1.norm1.weight, .* and 10 more\. Choose the arch'),
                          ('thin.pth', r'reshaped: stem.0.weight \(4, 3, 3, 3\) instead of \(8, 3, 3, 3\)'),
                          ('official.pth', "VMamba's own names; convert it first: python tools/model_converters")]:
        with pytest.raises(ValueError, match=message) as error:
            SiameseVSSM('toy', init_cfg=[pretrained(tmp_path / name)]).init_weights()
        assert name in str(error.value)
    with pytest.raises(ValueError, match='missing: stem.0.weight'):
        SiameseVSSM('toy', init_cfg=pretrained(tmp_path / 'thin.pth', prefix='backbone.')).init_weights()


@pytest.mark.parametrize(('size', 'arch'), [('t', 'vmamba_t_s1l8'), ('s', 'vmamba_s_s2l15')])
def test_configs_point_to_the_converter(size: str, arch: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f'MAMBA_CD_VMAMBA_{size.upper()}', 'somewhere/else.pth')
    cfg = Config.fromfile(ROOT / f'configs/cdmamba_v8_vmamba_{size}_levircd.py').model
    assert cfg.backbone.arch == arch
    assert cfg.neck.in_channels == cfg.decode_head.in_channels == [ARCHS[arch][0] * 2**i for i in range(4)]
    # The widths are what the test is about: the real ones take seconds to build.
    cfg.backbone.arch = dict(embed_dims=96, depths=(1, 1, 1, 1), ssm_ratio=1.)
    model = MODELS.build(cfg.backbone)
    with pytest.raises(FileNotFoundError, match='somewhere/else.pth do not exist.*python tools/model_conv'):
        model.init_weights()
