"""``mamba-cd`` itself: its commands, how configs are found and copied, and how it ends."""
import re
import signal
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path

import pytest
from mmengine.config import Config

from mamba_cd_plugin.cli.main import COMMANDS, Stopped, interruptions_kept, main
from mamba_cd_plugin.resources import bases_of, configs_dir, copy_config, find_config, list_configs

ROOT = Path(__file__).parents[2]
SHIMS = sorted(path for path in (ROOT / 'tools').rglob('*.py') if 'run_tool' in path.read_text('utf-8'))


@pytest.mark.parametrize('name', COMMANDS)
def test_every_command_has_its_parts(name: str, capsys: pytest.CaptureFixture) -> None:
    module = import_module(f'mamba_cd_plugin.{COMMANDS[name].module}')
    assert module.__doc__ and callable(module.run)
    with pytest.raises(SystemExit) as ended:
        main([name, '--help'])
    assert ended.value.code == 0 and capsys.readouterr().out.startswith(f'usage: mamba-cd {name}')


def test_the_list_names_every_command_once(capsys: pytest.CaptureFixture) -> None:
    assert main(['--help']) == 0
    listed = re.findall(r'^  ([\w-]+) {2,}\S', capsys.readouterr().out, re.M)
    assert listed == [*COMMANDS] and len(listed) >= 15


def test_an_interruption_while_libraries_load_ends_the_process_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def load(name: str) -> None:
        seen.append(signal.getsignal(signal.SIGINT))
        raise ImportError('stop here')

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        monkeypatch.setattr(import_module('mamba_cd_plugin.cli.main'), 'import_module', load)
        with pytest.raises(SystemExit, match='stop here'):
            main(['train', 'x'])
        assert seen == [signal.SIG_DFL] and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # as shells do for what runs in the background
        with pytest.raises(SystemExit, match='stop here'):
            main(['train', 'x'])
        assert seen[1] == signal.SIG_IGN == signal.getsignal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


def test_an_interruption_where_nothing_may_be_raised_is_raised_again(capfd: pytest.CaptureFixture) -> None:

    class Dying:

        def __del__(self) -> None:
            nonlocal deaths
            deaths += 1
            signal.raise_signal(signal.SIGINT)
            raise AssertionError('not reached')

    deaths, before = 0, (sys.unraisablehook, signal.getsignal(signal.SIGALRM))
    with pytest.raises(KeyboardInterrupt), interruptions_kept():
        Dying()  # Python ignores what its destructor raises
        time.sleep(30)
        pytest.fail('it was lost')
    assert deaths == 1 and before == (sys.unraisablehook, signal.getsignal(signal.SIGALRM))
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0) and 'KeyboardInterrupt' not in capfd.readouterr().err


def test_an_interruption_that_a_library_has_made_an_error_of(monkeypatch: pytest.MonkeyPatch) -> None:
    def format_config(args: object) -> None:
        try:
            raise KeyboardInterrupt
        except BaseException:
            raise SyntaxError('cannot be formatted')  # noqa: B904  as mmengine does in Config.pretty_text

    monkeypatch.setattr(import_module('mamba_cd_plugin.cli.models'), 'run', format_config)
    with pytest.raises(Stopped, match='stopped'):
        main(['models'])


def test_wrong_use_ends_with_one_line() -> None:
    assert main([]) == 2
    with pytest.raises(SystemExit, match="there is no command 'trian'; there are train, test"):
        main(['trian'])
    with pytest.raises(SystemExit, match='^error: config no_such does not exist; `mamba-cd configs` lists'):
        main(['train', 'no_such'])


@pytest.mark.parametrize('shim', SHIMS, ids=lambda path: path.name)
def test_a_script_is_a_command(shim: Path) -> None:
    name = re.search(r"run_tool\('([\w-]+)'", shim.read_text('utf-8')).group(1)
    assert name in COMMANDS and len(SHIMS) >= 15


def test_nothing_but_the_command_is_said() -> None:
    """What the stack prints at every import is held back."""
    run = subprocess.run([sys.executable, '-m', 'mamba_cd_plugin', 'publish', '--help'], cwd=ROOT, capture_output=True,
                         text=True, check=True)
    assert run.stdout.startswith('usage: mamba-cd publish') and run.stderr == ''


@pytest.mark.parametrize(('name', 'path'), [
    ('cdmamba_v8_levircd', 'cdmamba_v8_levircd.py'),  # and not that of opencd/
    ('cdmamba_v8_levircd.py', 'cdmamba_v8_levircd.py'),
    ('configs/cdmamba_v8_levircd.py', 'cdmamba_v8_levircd.py'),
    ('103255_v6_1', 'runs/103255_v6_1.py'),
    ('opencd/cdmamba_v8_levircd', 'opencd/cdmamba_v8_levircd.py'),
])
def test_a_config_is_found_by_its_name(name: str, path: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_config(name) == configs_dir() / path


def test_a_file_wins_over_a_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    Path('cdmamba_v8_levircd.py').write_text('a = 1')
    assert find_config('cdmamba_v8_levircd.py').resolve() == tmp_path / 'cdmamba_v8_levircd.py'
    with pytest.raises(FileNotFoundError, match='similar names: cdmamba_v8_whu_cd'):
        find_config('cdmamba_v8_whu')


def test_every_config_can_be_copied_with_its_bases_and_loads_the_same(tmp_path: Path) -> None:
    for number, (name, path) in enumerate(list_configs().items()):
        copy, *bases = copy_config(name, tmp_path / str(number))
        assert len(bases) == len(bases_of(path)) > 0
        if number % 12 == 0:  # reading takes long
            assert Config.fromfile(copy).to_dict() == Config.fromfile(path).to_dict()


def test_a_copy_overwrites_nothing(tmp_path: Path) -> None:
    first = copy_config('cdmamba_v8_levircd', tmp_path)
    assert copy_config('cdmamba_v8_levircd', tmp_path) == first  # the same content stays
    (tmp_path / '_base_/default_runtime.py').write_text('mine = 1')
    with pytest.raises(FileExistsError, match='default_runtime.py exists and differs .* choose another folder'):
        copy_config('cdmamba_v8_whu_cd', tmp_path)
    assert not (tmp_path / 'cdmamba_v8_whu_cd.py').exists()
    with pytest.raises(ValueError, match='only the configs of this project are copied'):
        copy_config(tmp_path / 'cdmamba_v8_levircd.py', tmp_path / 'other')
