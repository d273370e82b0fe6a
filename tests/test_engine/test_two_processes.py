"""Two processes on the CPU, started by the script that users start, against one process with the same batch."""
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from mmengine.runner import Runner

HERE = Path(__file__).parent
TOOLS = HERE.parents[1] / 'tools'


def run(folder: Path, command: list[str]) -> str:
    """Run a tool in a folder that is not the checkout; its output."""
    paths = [str(HERE), str(HERE.parents[1]), os.environ.get('PYTHONPATH', '')]
    env = dict(os.environ, PYTHON=sys.executable, OMP_NUM_THREADS='1', PYTHONPATH=os.pathsep.join(paths))
    done = subprocess.run(command, cwd=folder, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          timeout=300)
    assert done.returncode == 0, done.stdout[-3000:]
    return done.stdout


def test_two_processes_train_what_one_does(make_runner: Callable[..., Runner], tmp_path: Path) -> None:
    options = {
        'custom_imports': {'imports': ['mamba_cd_plugin.registration', 'conftest'], 'allow_failed_imports': False},
        'train_cfg': {'type': 'CDTrainLoop', 'max_epochs': 2, 'val_interval': 1, '_delete_': True},
        'default_hooks.checkpoint.type': 'ResumableCheckpointHook',
        'default_hooks.sampler_seed': {'type': 'DistSamplerSeedHook'},
        'train_dataloader.sampler.shuffle': True, 'train_dataloader.dataset.noise': 20.,
        'train_dataloader.dataset.sizes': [[32, 32]] * 8, 'optim_wrapper.optimizer.lr': 1e-4,
        'train_dataloader.batch_size': 4, 'work_dir': str(tmp_path / 'one')}
    runner = make_runner(options)
    runner.train()
    runner.cfg.dump(tmp_path / 'tiny.py')
    run(tmp_path, ['bash', str(TOOLS / 'dist_train.sh'), 'tiny.py', '2', '--work-dir', 'two', '--cfg-options',
                   'train_dataloader.batch_size=2'])
    one, two = (torch.load(tmp_path / name / 'epoch_2.pth', weights_only=False) for name in ('one', 'two'))
    assert one['meta']['iter'] == two['meta']['iter'] == 4
    for name, weight in one['state_dict'].items():
        torch.testing.assert_close(two['state_dict'][name], weight, rtol=1e-5, atol=1e-7, msg=name)
    assert two['message_hub']['runtime_info']['best_score'] == pytest.approx(
        one['message_hub']['runtime_info']['best_score'])
