"""The line that says what a run runs on, and an import that says nothing."""
import subprocess
import sys
from types import SimpleNamespace

import torch
from torch import nn

from mamba_cd_plugin.engine.hooks import RunSummaryHook
from mamba_cd_plugin.ops import resolve_backend
from mamba_cd_plugin.version import __version__


def test_one_line_at_the_start(toy_v8: nn.Module) -> None:
    lines = []
    RunSummaryHook().before_run(SimpleNamespace(model=toy_v8, logger=SimpleNamespace(info=lines.append)))
    line, = lines
    assert line.startswith(f'mamba_cd_plugin {__version__} | scan {resolve_backend("auto", "cpu")} | cpu | ')
    assert f'{torch.get_num_threads()} threads | torch {torch.__version__} | mmengine 0.' in line
    assert '| mmcv 2.' in line and '| mmseg 1.' in line


def test_a_model_without_a_scan() -> None:
    lines = []
    RunSummaryHook().before_run(SimpleNamespace(model=nn.Linear(1, 1), logger=SimpleNamespace(info=lines.append)))
    assert ' | scan none | cpu | ' in lines[0]


def test_importing_the_plugin_prints_nothing() -> None:
    run = subprocess.run([sys.executable, '-c', 'import mamba_cd_plugin.registration'], capture_output=True, text=True,
                         check=True)
    assert (run.stdout, run.stderr) == ('', '')
