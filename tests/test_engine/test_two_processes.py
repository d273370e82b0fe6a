"""Two processes on the CPU, started by the script that users start, against one process with the same batch."""
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import EMAHook
from mmengine.runner import Runner

from mamba_cd_plugin.cli.experiment import build_runner

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


def validate_in_process(rank: int, folder: str) -> None:
    """One of two processes: its BatchNorm has seen other pairs, and so have the averages of its statistics."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group('gloo', init_method=f'file://{folder}/rendezvous', rank=rank, world_size=2)
    sys.path.insert(0, str(HERE))  # for the conftest that the config imports
    runner = build_runner(Config.fromfile(f'{folder}/tiny.py'))
    averaged, = (hook for hook in runner.hooks if isinstance(hook, EMAHook))
    averaged.before_run(runner)
    for number, model in enumerate((runner.model, averaged.ema_model.module), 1):
        model.decode_head.convs[0].bn.running_mean.fill_(10 * number + rank)
    seen = []
    for step in (lambda: runner.call_hook('before_val_epoch'), lambda: averaged.after_val_epoch(runner)):
        step()
        seen.append(runner.model.decode_head.convs[0].bn.running_mean[0].item())
    torch.save(seen, Path(folder) / f'means_{rank}.pt')
    torch.distributed.destroy_process_group()


def test_all_processes_validate_the_model_that_is_saved(make_runner: Callable[..., Runner], tmp_path: Path) -> None:
    """That of the first one, 20 by its averages; without them each goes on with what it has seen, 10 and 11."""
    options = {'custom_imports': {'imports': ['mamba_cd_plugin.registration', 'conftest']},
               'model.decode_head.num_convs': 1, 'model.decode_head.norm_cfg': {'type': 'BN'}}
    make_runner(options, [{'type': 'EMAHook', 'update_buffers': True}]).cfg.dump(tmp_path / 'tiny.py')
    torch.multiprocessing.spawn(validate_in_process, (str(tmp_path), ), nprocs=2)
    assert [torch.load(tmp_path / f'means_{rank}.pt') for rank in range(2)] == [[20., 10.], [20., 11.]]
