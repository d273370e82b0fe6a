import errno
import json

import numpy as np
import pytest

from mamba_cd_plugin.inference import job
from mamba_cd_plugin.inference.job import NODATA, Spool, Strip, make_folder, quantize

JOB = dict(model='x', numbers=(1, 2))


def strip(rows, value):
    probability = np.full((rows, 5), value, np.float32)
    return Strip(probability, (probability > 0.5).astype(np.uint8))


def carry(value):
    return np.full((2, 5), value, np.float32)


def test_strips_come_back_as_they_were(tmp_path):
    spool = Spool(tmp_path / 's', (7, 5), 'float32', JOB)
    spool.append(strip(4, 0.25), carry(1))
    spool.append(strip(3, 0.75), carry(2))
    assert spool.open('probability')[:, 0].tolist() == [0.25] * 4 + [0.75] * 3
    assert spool.open('mask')[:, 0].tolist() == [0] * 4 + [1] * 3
    spool.remove()
    assert not (tmp_path / 's').exists()


def test_goes_on_after_the_last_complete_strip(tmp_path):
    first = Spool(tmp_path / 's', (7, 5), 'uint8', JOB)
    first.batch_size = 3
    first.append(strip(4, 0.25), carry(1))
    # Killed while writing the second strip: bytes beyond the state, and a carry that nothing points to.
    with first.files['mask'].open('ab') as file:
        file.write(b'\x07' * 12)
    np.save(tmp_path / 's' / 'carry_2.npy', carry(9))

    second = Spool(tmp_path / 's', (7, 5), 'uint8', JOB)
    assert (second.next_row, second.rows_done, second.batch_size) == (1, 4, 3)
    assert (second.carry == 1).all()
    second.append(strip(3, 1.), carry(2))
    assert second.open('mask')[:, 0].tolist() == [0] * 4 + [1] * 3
    assert second.open('probability')[:, 0].tolist() == [64] * 4 + [254] * 3  # 0.25 * 254 + 0.5 = 64


@pytest.mark.parametrize('damage', [
    lambda folder: (folder / 'state.json').write_text('{'),
    lambda folder: (folder / 'carry_1.npy').unlink(),
    lambda folder: (folder / 'state.json').write_text(json.dumps(dict(job=dict(model='y'), next_row=1))),
])
def test_another_job_or_a_damaged_state_begins_anew(tmp_path, damage):
    Spool(tmp_path / 's', (7, 5), 'uint8', JOB).append(strip(4, 0.25), carry(1))
    damage(tmp_path / 's')
    spool = Spool(tmp_path / 's', (7, 5), 'uint8', JOB)
    assert (spool.next_row, spool.carry) == (0, None)
    assert list((tmp_path / 's').iterdir()) == []


def test_quantize_by_hand():
    probability = np.array([[0, 0.5, 1, np.nan]], np.float32)
    mask = np.array([[0, 0, 1, NODATA]], np.uint8)
    assert quantize(Strip(probability, mask)).tolist() == [[0, 127, 254, 255]]


def test_a_disk_too_small_is_seen_before_anything_is_computed(tmp_path, monkeypatch):
    usage = job.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(job.shutil, 'disk_usage', lambda folder: usage._replace(free=40_000_000))
    with pytest.raises(OSError, match='the disk has 40 MB free, and the prediction needs up to 64 MB'):
        Spool(tmp_path / 's', (1000, 10_000), 'uint8', JOB)


def test_folder_that_cannot_be_written(tmp_path):
    (tmp_path / 'file').write_text('in the way')
    with pytest.raises(OSError, match='file.out: cannot be written to, a part of its path is a file. Choose'):
        make_folder(tmp_path / 'file' / 'out')


def test_read_only_folder(tmp_path, monkeypatch):
    # chmod does not bind the root user, as whom tests often run in a container; so the system call itself says no.
    def refuse(self, data):
        raise PermissionError(errno.EACCES, 'Permission denied')

    monkeypatch.setattr(job.Path, 'write_bytes', refuse)
    with pytest.raises(PermissionError, match='cannot be written to, writing there is not permitted. Choose'):
        make_folder(tmp_path)
