"""The parts of check-disks and check-soak that can be tried in a second."""
import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mamba_cd_plugin.analysis.disks import Case, Disk, QuotaDisk, damaged_files, try_case
from mamba_cd_plugin.analysis.soak import Sample, Soak, judge, watch
from mamba_cd_plugin.cli.check_soak import report
from mamba_cd_plugin.io import files
from mamba_cd_plugin.io.files import RECORD, OutputFolder, own_outputs, place_errors, whole_file


def a_run(minutes: float, leak: float = 0., files_an_hour: float = 0.) -> list[Sample]:
    """A run at 700 MiB, give or take ten, whose first fifth is a warm-up; ``leak`` is in MiB for half an hour."""
    draw = np.random.default_rng(0)
    samples = []
    for second in np.arange(2, 60 * minutes, 2.):
        warm = min(1., second / (12 * minutes))
        memory = int((300 + 400 * warm + leak * second / 1800 + draw.uniform(-10, 10)) * 2**20)
        samples.append(Sample(second, memory, 0, 10 + int(files_an_hour * second / 3600), 4))
    return samples


def test_a_run_is_judged_by_what_half_an_hour_adds() -> None:
    flat, leaking = judge(a_run(30)), judge(a_run(30, leak=50, files_an_hour=60))
    assert {name: verdict.word for name, verdict in flat.items()} == dict.fromkeys(
        ('memory', 'children', 'files', 'threads'), 'flat')
    assert flat['threads'] == (0, 0, 'flat') and flat['memory'].low < 0 < flat['memory'].high < 0.03 * 700 * 2**20
    assert leaking['memory'].word == leaking['files'].word == 'grew' and leaking['threads'].word == 'flat'
    assert leaking['memory'].low < 50 * 2**20 < leaking['memory'].high
    assert leaking['files'].low <= 30 <= leaking['files'].high


def test_a_short_run_is_not_judged_by_its_noise() -> None:
    assert {judge(a_run(minutes))['memory'].word for minutes in (0.6, 1, 1.5, 2)} == {'uncertain'}
    assert judge(a_run(0.4)) == judge([]) == {}
    soak = Soak('prediction', a_run(1), 0, '3 pairs')
    assert report(soak) == report(soak._replace(samples=[])) == 1
    assert report(soak._replace(samples=a_run(30))) == 0 and report(soak._replace(samples=a_run(30), status=1)) == 1


def test_a_process_and_its_children_are_watched(tmp_path: Path) -> None:
    # Of the two children the first has ended, and nobody has asked for its exit status.
    script = ('import subprocess, sys; ended = subprocess.Popen(["true"]); '
              'subprocess.run([sys.executable, "-c", "import time; time.sleep(60)"])')
    samples, status = watch([sys.executable, '-c', script], 5, tmp_path / 'log')
    assert status == -15 and samples[-1].children > 1 << 20 < samples[-1].memory and samples[-1].threads == 2


@pytest.mark.parametrize('named', [True, False])
def test_errors_of_a_disk_say_where_and_how_much(tmp_path: Path, named: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files.shutil, 'disk_usage', lambda path: shutil._ntuple_diskusage(10**6, 10**6, 1234))
    path = tmp_path / 'x' / 'y.json'
    error = OSError(errno.ENOSPC, 'No space left on device', *([str(path)] if named else []))
    expected = path if named else tmp_path
    with pytest.raises(OSError, match=rf'^{expected}: cannot be written, the disk is full \(1,234 bytes are free\)'), \
            place_errors(tmp_path):
        raise error
    with pytest.raises(OSError, match='^in words already$'), place_errors(tmp_path):
        raise OSError('in words already')
    with pytest.raises(PermissionError, match='Permission denied'), place_errors(tmp_path):  # of a file to read, maybe
        raise PermissionError(errno.EACCES, 'Permission denied', str(path))


def test_a_record_that_a_full_disk_has_cut_names_the_next_file(tmp_path: Path) -> None:
    (tmp_path / RECORD).write_bytes(b'a.png\nb.p')
    for name in ('b.png', 'c.png'):
        with OutputFolder(tmp_path).write(name) as part:
            part.write_bytes(b'x')
    assert own_outputs(tmp_path) == {'b.png', 'c.png'}


def test_damaged_files_are_found(tmp_path: Path) -> None:
    Image.new('L', (8, 8)).save(tmp_path / 'whole.png')
    (tmp_path / 'half.png').write_bytes((tmp_path / 'whole.png').read_bytes()[:40])
    (tmp_path / 'half.json').write_text('{"a": 1')
    (tmp_path / 'page.html').write_text('<html>')
    (tmp_path / '.part.png').write_bytes(b'')
    assert [line.split()[0] for line in damaged_files(tmp_path)] == ['half.json', 'half.png', 'page.html']


def mount_is_possible(folder: Path) -> bool:
    """Whether this process may mount a tmpfs."""
    try:
        with Disk(folder).mounted():
            return True
    except (PermissionError, FileNotFoundError):
        return False


def write_badly(words: list[str]) -> int:
    """A command that leaves half a file on a full disk, and says nothing of it."""
    try:
        (Path(words[0]) / 'result.json').write_text('{"a": "' + 'b' * 40_000 + '"}')
    except OSError:
        return 0
    return 0


def test_a_command_that_leaves_half_a_file_is_found_out(tmp_path: Path) -> None:
    if not mount_is_possible(tmp_path / 'try'):
        pytest.skip('only root may mount a small disk')
    case = Case('bad', ['{out}'])
    trials = list(try_case(case, Disk(tmp_path / 'disk'), write_badly, tmp_path / 'log'))
    assert [trial.fault for trial in trials][-1] == 'read-only'
    half = next(trial for trial in trials if trial.fault.startswith('full at 70%'))
    assert 'ended as if all were well' in half.wrong
    assert any(wrong.startswith('half-written: result.json') for wrong in half.wrong)
    assert not os.path.ismount(tmp_path / 'disk')
    assert subprocess.run(['mountpoint', '-q', str(tmp_path / 'disk')], check=False).returncode


@pytest.mark.skipif(not shutil.which('mkfs.btrfs'), reason='btrfs-progs is not installed')
def test_a_quota_that_is_used_up_is_named(tmp_path: Path) -> None:
    if not mount_is_possible(tmp_path / 'try'):
        pytest.skip('only root may mount a small disk')
    disk = QuotaDisk(tmp_path / 'disk')
    path = disk.place / 'result.bin'
    with disk.mounted():
        disk.set(str(disk.used()[0] + (1 << 20)))
        with pytest.raises(OSError, match=rf'^{path}: cannot be written, the disk quota is used up \([1-9]'), \
                whole_file(path) as part:
            for _ in range(64):
                with part.open('ab') as file:
                    file.write(bytes(1 << 16))
        assert not list(disk.place.iterdir())
        disk.mend()
        with whole_file(path) as part:
            part.write_bytes(bytes(2 << 20))
    assert not os.path.ismount(disk.place.parent)
