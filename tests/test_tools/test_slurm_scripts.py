"""The scripts that start several processes, with stand-ins for Python and for srun: nobody here has a cluster."""
import os
import subprocess
from pathlib import Path

import pytest

from mamba_cd_plugin.resources import tools_dir

SRUN = '#!/bin/sh\nfor word in "$@"; do echo "$word"; done > asked\nwhile [ "$1" != my-python ]; do shift; done\n"$@"\n'
PYTHON = '#!/bin/sh\npwd > started\nfor word in "$@"; do echo "$word"; done >> started\n'


@pytest.mark.parametrize(('name', 'arguments'), [
    ('train', ['my config.py', '--amp']),
    ('test', ['my config.py', 'best.pth', '--tta'])])
def test_from_another_folder(tmp_path: Path, name: str, arguments: list[str]) -> None:
    for program, text in (('srun', SRUN), ('my-python', PYTHON)):
        (tmp_path / program).write_text(text)
        (tmp_path / program).chmod(0o755)
    script = tools_dir() / f'slurm_{name}.sh'
    env = {'PATH': f'{tmp_path}:{os.environ["PATH"]}', 'PYTHON': 'my-python', 'GPUS': '16', 'GPUS_PER_NODE': '8',
           'SRUN_ARGS': '--qos=long --exclusive'}
    subprocess.run(['bash', str(script), 'a100', 'a job', *arguments], cwd=tmp_path, env=env, check=True, timeout=60)
    asked = (tmp_path / 'asked').read_text().splitlines()
    assert asked[:6] == ['-p', 'a100', '--job-name=a job', '--gres=gpu:8', '--ntasks=16', '--ntasks-per-node=8']
    assert {'--qos=long', '--exclusive'} <= set(asked)
    assert ('--signal=TERM@120' in asked) == (name == 'train')  # upon which a training writes a checkpoint
    places = 1 if name == 'train' else 2
    assert (tmp_path / 'started').read_text().splitlines() == [
        str(tmp_path), '-u', str(tools_dir() / f'{name}.py'), *arguments[:places], '--launcher', 'slurm',
        *arguments[places:]]
    answer = subprocess.run(['bash', str(script), 'a100'], capture_output=True, text=True, check=False, timeout=60)
    assert answer.returncode == 2 and answer.stderr.startswith('usage: ')


@pytest.mark.parametrize(('name', 'places'), [('train', ['my config.py']), ('test', ['my config.py', 'best.pth'])])
@pytest.mark.parametrize(('port', 'where'), [('29501', '--master_port=29501'), ('', '--standalone')])
def test_processes_of_one_machine(tmp_path: Path, name: str, places: list[str], port: str, where: str) -> None:
    (tmp_path / 'my-python').write_text(PYTHON)
    (tmp_path / 'my-python').chmod(0o755)
    env = {'PATH': f'{tmp_path}:{os.environ["PATH"]}', 'PYTHON': 'my-python', 'PORT': port}
    script = tools_dir() / f'dist_{name}.sh'
    words = ['bash', str(script), *places, '3', '--work-dir', 'a b']
    subprocess.run(words, cwd=tmp_path, env=env, check=True, timeout=60)
    assert (tmp_path / 'started').read_text().splitlines() == [
        str(tmp_path), '-m', 'torch.distributed.run', where, '--nproc_per_node=3', str(tools_dir() / f'{name}.py'),
        *places, '--launcher', 'pytorch', '--work-dir', 'a b']
    answer = subprocess.run(['bash', str(script), *places], capture_output=True, text=True, check=False, timeout=60)
    assert answer.returncode == 2 and answer.stderr.startswith('usage: ')
