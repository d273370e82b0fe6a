"""The wheel, installed outside of the checkout: configs, training, test and prediction with nothing else."""
import os
import shutil
import subprocess
import sys
import venv
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PIP = (sys.executable, '-m', 'pip')
CONFIGS = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / 'configs').rglob('*.py'))
# A config that trains in a second: narrow, in this process, for one epoch of two iterations.
TOY = ('model.backbone.arch=toy', 'model.neck.in_channels=[16,32,64,128]',
       'model.decode_head.in_channels=[16,32,64,128]', 'train_dataloader.batch_size=2', 'train_cfg.max_epochs=1',
       'train_cfg.val_interval=1', *(f'{split}_dataloader.{setting}' for split in ('train', 'val', 'test')
                                     for setting in ('num_workers=0', 'persistent_workers=False')))


def run(*command: object, cwd: Path, **environment: str) -> str:
    """Run a command; gives what it printed."""
    variables = {key: value for key, value in os.environ.items() if key != 'PYTHONPATH'}
    done = subprocess.run(list(map(str, command)), cwd=cwd, capture_output=True, text=True,
                          env=dict(variables, **environment))
    assert done.returncode == 0, f'{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}'
    return done.stdout


@pytest.fixture(scope='module')
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of what belongs to a source distribution."""
    folder = tmp_path_factory.mktemp('wheel')
    source = folder / 'source'
    unwanted = shutil.ignore_patterns('__pycache__', '*.pyc')
    for name in ('mamba_cd_plugin', 'configs', 'tools'):
        shutil.copytree(ROOT / name, source / name, ignore=unwanted)
    for name in ('pyproject.toml', 'setup.py', 'README.md', 'LICENSE', 'model-index.yml', 'MANIFEST.in'):
        shutil.copy(ROOT / name, source)
    # What an earlier build left behind must not come along.
    stale = source / 'build/lib/mamba_cd_plugin/no_more.py'
    stale.parent.mkdir(parents=True)
    stale.write_text('')
    run(*PIP, 'wheel', '--quiet', '--no-index', '--no-build-isolation', '--no-deps', '-w', folder, source, cwd=folder)
    return next(folder.glob('mamba_cd_plugin-*.whl'))


@pytest.fixture(scope='module')
def mamba_cd(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """The command of an environment that has the wheel and, by its path alone, the stack of this one."""
    home = tmp_path_factory.mktemp('environment')
    venv.create(home, with_pip=False, symlinks=True)
    site = next(home.glob('lib/python*/site-packages'))
    python = home / 'bin/python'
    run(*PIP, '--python', python, 'install', '--quiet', '--no-index', '--no-deps', wheel, cwd=home)
    # A path in a .pth file: the editable install of this environment, a .pth file itself, is not read.
    stack = {Path(path) for path in sys.path if path.endswith('site-packages')}
    (site / 'stack.pth').write_text(''.join(f'{path}\n' for path in stack))
    work = tmp_path_factory.mktemp('elsewhere')

    def call(*arguments: object) -> str:
        return run(home / 'bin/mamba-cd', *arguments, cwd=work, OMP_NUM_THREADS='1')

    call.work = work
    return call


def test_the_wheel_has_configs_tools_and_model_index_and_nothing_stale(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        sizes = [entry.file_size for entry in archive.infolist()]
    weights = (ROOT / 'mamba_cd_plugin/weights').glob('[!.]*')
    assert {path.relative_to(ROOT).as_posix() for path in weights} <= names
    assert max(sizes) < 8_000_000  # everybody who installs the package downloads it
    assert CONFIGS and {f'mamba_cd_plugin/.mim/{name}' for name in CONFIGS} <= names
    assert {'mamba_cd_plugin/.mim/tools/train.py', 'mamba_cd_plugin/.mim/configs/metafile.yml',
            'mamba_cd_plugin/.mim/model-index.yml', 'mamba_cd_plugin/ops/csrc/tasks.c',
            'mamba_cd_plugin/py.typed'} <= names
    assert 'mamba_cd_plugin/no_more.py' not in names
    assert {name.split('/')[0].split('-')[0] for name in names} == {'mamba_cd_plugin'}  # no top-level tests or tools


def test_it_lists_trains_tests_predicts_and_reports(mamba_cd: Callable[..., str], tiny_pairs: Path) -> None:
    listed = [line.split()[0] for line in mamba_cd('configs').splitlines()]
    assert len(listed) == sum('/_base_/' not in name for name in CONFIGS)
    name = 'cdmamba_v8_small_synthetic'
    mamba_cd('train', name, '--cfg-options', f'data_root={tiny_pairs}', *TOY)
    best = f'work_dirs/{name}/best_changed_F1.pth'
    said = mamba_cd('test', name, best, '--cfg-options', f'data_root={tiny_pairs}', *TOY)
    assert 'changed-class F1 on whole images: ' in said
    pair = [tiny_pairs / 'test' / date / '0.png' for date in 'AB']
    mamba_cd('predict', *pair, '--checkpoint', best, '--out', 'changes', '--device', 'cpu')
    assert list((mamba_cd.work / 'changes').glob('*_mask.png'))
    mamba_cd('report', f'work_dirs/{name}', '--no-speed', '--no-maps', '--resamples', 20, '--device', 'cpu')
    assert (mamba_cd.work / f'work_dirs/{name}/report/report.html').is_file()
