"""Parameters and FLOPs against counts by hand and against published ones."""
import json
import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from mamba_cd_plugin.analysis.complexity import (
    count_flops,
    count_parameters,
    measure_complexity,
    part_of,
    uninitialised_model,
)
from mamba_cd_plugin.models import SiameseVSSM
from mamba_cd_plugin.models.layers import VSSBlock

ROOT = Path(__file__).parents[2]
SHAPE = (64, 64)


@pytest.mark.parametrize(('states', 'scan_backend'), [(1, 'auto'), (3, 'ref')])
def test_a_vss_block_by_hand(states: int, scan_backend: str) -> None:
    channels, pixels = 8, 4 * 6
    rank = 1  # ceil(8 / 16)
    by_hand = {
        'norm1': 5 * channels * pixels,
        'ss2d.in_proj': channels**2 * pixels,
        'ss2d.conv2d': 9 * channels * pixels,
        # x_proj on four directions; per direction and element the scan, 9 for each state and 1 for D, and the step
        # raised from its rank
        'ss2d': 4 * channels * pixels * ((rank + 2 * states) + (9 * states + 1) + rank),
        'ss2d.out_norm': 5 * channels * pixels,
        'ss2d.out_proj': channels**2 * pixels,
        'norm2': 5 * channels * pixels,
        'mlp.0': 4 * channels**2 * pixels,
        'mlp.2': 4 * channels**2 * pixels,
    }
    block = VSSBlock(channels, states, scan_backend=scan_backend)
    flops, uncounted = count_flops(block, torch.zeros(1, channels, 4, 6))
    assert {name: count for name, count in flops.items() if count} == by_hand
    assert uncounted == dict(add=2, exp=1, gelu=1, neg=1, silu=1)


def test_the_encoder_costs_what_vmamba_publishes() -> None:
    # VMamba's README: VMamba-T[s1l8], 224 x 224, 4.9 G with its head, which is 0.8 M; here two images.
    flops, _ = count_flops(SiameseVSSM('vmamba_t_s1l8').eval(), torch.zeros(1, 6, 224, 224))
    assert sum(flops.values()) / 2e9 == pytest.approx(4.9, abs=0.05)


def test_v7_pays_for_its_level_outputs_in_training_only() -> None:
    v6_1, v7 = (measure_complexity(Config.fromfile(ROOT / f'configs/cdmamba_{version}_levircd.py'), SHAPE)
                for version in ('v6_1', 'v7'))
    assert v7.sum_of().flops == v6_1.sum_of().flops == v6_1.sum_of().training_flops
    # The diary: parameters hardly change, FLOPs grow a lot. All of it is in the outputs, which a prediction leaves out.
    growth = v7.sum_of().training_flops - v6_1.sum_of().training_flops
    outputs = v7.parts['decode_head.level_outputs']
    assert growth == outputs.training_flops > 0.2 * v6_1.sum_of().flops and outputs.flops == 0
    # By hand: 1x1 to 32 channels at each level; at full size bilinear (4 per element), 3x3 and BN (2), 1x1 to a logit.
    pixels = SHAPE[0] * SHAPE[1]
    squeezes = sum(64 * 2**i * 32 * pixels // 16 // 4**i for i in range(4))
    assert outputs.training_flops == squeezes + 4 * pixels * (32 * 4 + 9 * 32 * 32 + 32 * 2 + 32)


def test_parts_add_up(toy_config: Callable[[str], Config]) -> None:
    cfg = toy_config('cdmamba_v8_levircd.py')
    complexity = measure_complexity(cfg, SHAPE)
    model = uninitialised_model(cfg)
    total = sum(p.numel() for p in model.parameters())
    assert complexity.sum_of().parameters == count_parameters(cfg) == total
    assert complexity.sum_of('decode_head.').parameters == sum(p.numel() for p in model.decode_head.parameters())
    flops, _ = count_flops(model.eval(), torch.zeros(1, 6, *SHAPE))
    assert complexity.sum_of().flops == sum(flops.values())
    assert list(complexity.parts) == [
        'backbone.stem', 'backbone.stages', 'backbone.downsamples', 'backbone.out_norms', 'neck.differences',
        'decode_head.conv_seg', 'decode_head.levels.squeeze', 'decode_head.levels.skip.block',
        'decode_head.levels.skip', 'decode_head.levels.edge', 'decode_head.levels.fusion', 'decode_head.final',
        'decode_head.levels'
    ]


@pytest.mark.parametrize(('name', 'part'), [
    ('backbone.stages.2.0.ss2d.Ds', 'backbone.stages'),
    ('neck.differences.0', 'neck.differences'),
    ('decode_head.levels.3', 'decode_head.levels'),
    ('decode_head.levels.3.skip.fusion.conv.weight', 'decode_head.levels.skip'),
    ('decode_head.levels.3.skip.block.vss.norm1.weight', 'decode_head.levels.skip.block'),
    ('decode_head.levels.3.skip.block_of_another_kind', 'decode_head.levels.skip'),
    ('decode_head.conv_seg.bias', 'decode_head.conv_seg'),
    ('', ''),
])
def test_part_of(name: str, part: str) -> None:
    assert part_of(name) == part


def run_tool(monkeypatch: pytest.MonkeyPatch, *args: str) -> None:
    monkeypatch.setattr(sys, 'argv', ['get_flops.py', *args])
    runpy.run_path(str(ROOT / 'tools/analysis_tools/get_flops.py'), run_name='__main__')


def test_the_tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    config, file = str(ROOT / 'configs/cdmamba_v8_small_synthetic.py'), tmp_path / 'cost.json'
    toy = [f'{part}.in_channels=[16,32,64,128]' for part in ('model.neck', 'model.decode_head')]
    run_tool(monkeypatch, config, '--shape', '32', '64', '--json', str(file), '--cfg-options',
             'model.backbone.arch=toy', *toy)
    text, result = capsys.readouterr().out, json.loads(file.read_text())
    assert result['shape'] == [32, 64] and result['config'] == config
    assert f"| **total** | {result['total']['parameters'] / 1e6:.3f} |" in text
    assert '| decode_head.levels.fusion |' in text and 'one pair of 32 x 64 px' in text and 'silu' in text


@pytest.mark.parametrize(('args', 'message'), [
    (['--shape', '1', '2', '3'], r'got \(1, 2, 3\), expected height and width'),
    (['--cfg-options', 'model.head.x=1'], "no key 'head'"),
])
def test_the_tool_names_what_is_wrong(args: list, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit, match=message):
        run_tool(monkeypatch, str(ROOT / 'configs/cdmamba_v8_small_synthetic.py'), *args)
