"""The maps of gates and edges against values recomputed from what goes into and comes out of the parts."""
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmseg.registry import MODELS
from torch import Tensor, nn

from mamba_cd_plugin.report.pictures import head_maps, watched_parts

PAIR = np.random.RandomState(0).randint(0, 256, (64, 64, 6), np.uint8)


def build(toy_config: Callable[[str], Config], name: str) -> nn.Module:
    return MODELS.build(toy_config(name).model).eval()


def spy(module: nn.Module) -> list:
    """Inputs and output of a module's calls, from now on."""
    calls: list = []
    module.register_forward_hook(lambda _, inputs, output: calls.append((inputs, output)))
    return calls


def test_v8_has_a_gate_and_a_dog_on_every_level(toy_config: Callable[[str], Config]) -> None:
    model = build(toy_config, 'cdmamba_v8_levircd.py')
    level = model.decode_head.levels[1]
    fusion_calls, dog_calls = spy(level.fusion), spy(level.edge.dog)
    maps = head_maps(model, PAIR)
    assert [(one.kind, one.part) for one in maps] == [
        (kind, f'level {number}') for number in (4, 3, 2, 1) for kind in ('gate', 'edge')]
    gate, edge = (next(one for one in maps if (one.kind, one.part) == (kind, 'level 2')) for kind in ('gate', 'edge'))
    assert gate.values.shape == edge.values.shape == (8, 8) and gate.neutral == 1

    (trunk, branch), out = fusion_calls[0]
    # out = w * trunk + (2 - w) * branch
    weight = (out - 2 * branch) / (trunk - branch)
    assert np.median(np.abs(gate.values - weight[0].mean(0).numpy())) < 1e-3
    (fused, ), _ = dog_calls[0]
    padded = F.pad(fused, (3, 3, 3, 3), mode='replicate')
    response = F.conv2d(padded, level.edge.dog.weight, groups=fused.shape[1])
    np.testing.assert_allclose(edge.values, response[0].abs().mean(0).detach().numpy(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize('name, neutral, parts', [
    ('cdmamba_v6_1_levircd.py', 1, {'level 1', 'level 4', 'image A', 'image B'}),
    ('cdmamba_v6_levircd.py', 0.5, {'level 1', 'level 4', 'image A', 'image B'}),
    ('cdmamba_v6_gelu_levircd.py', 0.5, {'level 1', 'level 4', 'image A', 'image B'}),
    ('cdmamba_v4_levircd.py', 1, {'level 1', 'level 4', 'images'}),
    ('cdmamba_v1_levircd.py', 1, {'chain 0', 'chain join'}),
])
def test_older_versions(toy_config: Callable[[str], Config], name: str, neutral: float, parts: set) -> None:
    maps = head_maps(build(toy_config, name), PAIR)
    assert parts <= {one.part for one in maps}
    assert {one.neutral for one in maps if one.kind == 'gate'} == {neutral}
    assert all(np.isfinite(one.values).all() for one in maps)


def test_nothing_stays_behind(toy_v8: nn.Module) -> None:
    toy_v8.eval()
    with torch.inference_mode():
        x = torch.from_numpy(PAIR.transpose(2, 0, 1).copy())[None].float()
        before: Tensor = toy_v8(x)
        head_maps(toy_v8, PAIR)
        assert torch.equal(before, toy_v8(x))
    assert not any(source._forward_hooks for *_, source in watched_parts(toy_v8.decode_head))


def test_a_head_without_such_parts(toy_config: Callable[[str], Config]) -> None:
    cfg = toy_config('cdmamba_v8_levircd.py')
    cfg.model.decode_head.edge = cfg.model.decode_head.fusion = None
    assert head_maps(MODELS.build(cfg.model).eval(), PAIR) == []
