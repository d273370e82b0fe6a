"""Two processes on the CPU, started by the script that users start, against one process with the same batch."""
import json
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
        'train_dataloader.batch_size': 4, 'work_dir': str(tmp_path / 'one'),
        # An odd number of pairs: the sampler fills up with a pair that must not count twice.
        **{f'{loader}.dataset.sizes': [[32, 32]] * 5 for loader in ('val_dataloader', 'test_dataloader')},
        # Some pixels are found, and some of them rightly.
        'model.data_preprocessor': {'type': 'PairDataPreProcessor', 'mean': [100.] * 3, 'std': [50.] * 3,
                                    'size': (32, 32), 'test_cfg': None, '_delete_': True},
        'model.decode_head.threshold': 0.45}
    runner = make_runner(options)
    runner.train()
    runner.cfg.dump(tmp_path / 'tiny.py')
    run(tmp_path, ['bash', str(TOOLS / 'dist_train.sh'), 'tiny.py', '2', '--work-dir', 'two', '--cfg-options',
                   'train_dataloader.batch_size=2'])
    one, two = (torch.load(tmp_path / name / 'epoch_2.pth', weights_only=False) for name in ('one', 'two'))
    assert one['meta']['iter'] == two['meta']['iter'] == 4
    for name, weight in one['state_dict'].items():
        torch.testing.assert_close(two['state_dict'][name], weight, rtol=1e-5, atol=1e-7, msg=name)
    assert 0.05 < one['message_hub']['runtime_info']['best_score'] < 1
    assert two['message_hub']['runtime_info']['best_score'] == one['message_hub']['runtime_info']['best_score']

    run(tmp_path, ['bash', str(TOOLS / 'dist_test.sh'), 'tiny.py', 'two/epoch_2.pth', '2', '--work-dir', 'scores'])
    written, = (tmp_path / 'scores').glob('*/*.json')
    runner.load_checkpoint(str(tmp_path / 'two/epoch_2.pth'))
    expected = runner.test()
    scores = json.loads(written.read_text())
    assert {key: scores[key] for key in expected} == pytest.approx(expected, abs=1e-4)  # the file has four digits
