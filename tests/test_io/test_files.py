"""Whole-file writes and the guard over outputs."""
import errno
import os
import shutil
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mamba_cd_plugin.cli.main import main
from mamba_cd_plugin.io.files import OutputFolder, guard_output, output_file, own_outputs, whole_file


class TestWholeFile:

    def test_a_reader_sees_the_old_content_until_the_end(self, tmp_path):
        path = tmp_path / 'new' / 'scores.json'
        with whole_file(path) as part:
            part.write_text('1')
        with whole_file(path) as part:
            part.write_text('2')
            assert (path.read_text(), part.suffix, part.parent) == ('1', '.json', path.parent)
        assert path.read_text() == '2' and os.listdir(path.parent) == ['scores.json']

    def test_an_error_leaves_the_old_file_and_nothing_else(self, tmp_path):
        path = tmp_path / 'scores.json'
        path.write_text('old')
        with pytest.raises(KeyError, match='ours'), whole_file(path) as part:
            part.write_text('half')
            raise KeyError('ours')
        assert path.read_text() == 'old' and os.listdir(tmp_path) == ['scores.json']

    def test_a_full_disk_is_named(self, tmp_path, monkeypatch):
        said = r'mask\.tif: cannot be written, the disk is full \(3 bytes were written'
        with pytest.raises(OSError, match=said), whole_file(tmp_path / 'mask.tif') as part:
            part.write_bytes(b'abc')
            raise OSError(errno.ENOSPC, 'No space left on device')
        assert not os.listdir(tmp_path)
        usage = namedtuple('usage', 'total used free')
        monkeypatch.setattr(shutil, 'disk_usage', lambda _: usage(10**9, 10**9, 100))
        said = r'\(5,000 bytes are needed, 100 are free\)'
        with pytest.raises(OSError, match=said), whole_file(tmp_path / 'mask.tif', needed=5000):
            raise AssertionError('the block is not to be entered')

    @pytest.mark.parametrize(('number', 'said'), [
        (errno.ENOSPC, r'the disk is full \(0 bytes were written, [\d,]+ are free\)'),
        (errno.EDQUOT, r'the disk quota is used up \(0 bytes were written, [\d,]+ are free beyond it\)')])
    def test_a_library_with_words_of_its_own(self, tmp_path, monkeypatch, number, said):
        """Such as torch's; whether the disk is the cause is tried out, since free space says nothing of a quota."""
        def refuse(descriptor):
            raise OSError(number, os.strerror(number))

        with pytest.raises(RuntimeError, match='^PytorchStreamWriter failed$'), whole_file(tmp_path / 'a.pth'):
            raise RuntimeError('PytorchStreamWriter failed')
        monkeypatch.setattr(os, 'fsync', refuse)
        with pytest.raises(OSError, match=said), whole_file(tmp_path / 'a.pth'):
            raise RuntimeError('PytorchStreamWriter failed')
        assert not os.listdir(tmp_path)

    def test_an_error_of_another_file_stays_as_it_is(self, tmp_path):
        with pytest.raises(PermissionError, match='source'), whole_file(tmp_path / 'a'):
            raise PermissionError(errno.EACCES, 'Permission denied', '/source')

    def test_places_that_take_no_file(self, tmp_path):
        (tmp_path / 'file').write_text('')
        with pytest.raises(OSError, match='a part of its path is a file'), whole_file(tmp_path / 'file' / 'x'):
            pass
        with pytest.raises(IsADirectoryError, match='it is a folder'), whole_file(tmp_path):
            pass

    def test_links_and_devices(self, tmp_path):
        (tmp_path / 'link').symlink_to(tmp_path / 'target')
        with whole_file(tmp_path / 'link') as part:
            part.write_text('1')
        assert (tmp_path / 'link').is_symlink() and (tmp_path / 'target').read_text() == '1'
        with whole_file('/dev/null') as part:
            assert part == Path('/dev/null')


class TestOutputFolder:

    def make(self, folder, name='s1.png', content=b'ours'):
        with OutputFolder(folder, option='--out').write(name) as part:
            part.write_bytes(content)

    def test_a_second_run_replaces_its_own(self, tmp_path):
        self.make(tmp_path / 'out')
        self.make(tmp_path / 'out', content=b'again')
        assert (tmp_path / 'out' / 's1.png').read_bytes() == b'again' and own_outputs(tmp_path / 'out') == {'s1.png'}
        shutil.copytree(tmp_path / 'out', tmp_path / 'copy')  # other times, the same content
        self.make(tmp_path / 'copy')

    def test_files_of_others_stay(self, tmp_path):
        (tmp_path / 's2.png').write_bytes(b'theirs')
        with pytest.raises(FileExistsError, match=r'--out .*: s2\.png would be overwritten, which this package'):
            OutputFolder(tmp_path, option='--out').claim(['s1.png', 's2.png'])
        assert own_outputs(tmp_path) == set() and (tmp_path / 's2.png').read_bytes() == b'theirs'

    def test_an_edited_result_stays(self, tmp_path):
        self.make(tmp_path)
        (tmp_path / 's1.png').write_bytes(b'drawn by hand')
        with pytest.raises(FileExistsError, match=r's1\.png would be overwritten, which was changed after'):
            self.make(tmp_path)

    def test_a_killed_run_knows_its_files(self, tmp_path):
        OutputFolder(tmp_path).claim(['s1.png'])
        (tmp_path / 's1.png').write_bytes(b'unfinished')
        self.make(tmp_path)
        assert (tmp_path / 's1.png').read_bytes() == b'ours'

    def test_two_inputs_of_one_name(self, tmp_path):
        outputs = OutputFolder(tmp_path)
        with pytest.raises(ValueError, match=r'two inputs have the same name, and s1\.png'):
            outputs.claim(['s1.png', 's1.png'])
        outputs.claim(['s1.png'])
        with pytest.raises(ValueError, match='two inputs have the same name'):
            outputs.claim(['s1.png'])

    @pytest.mark.parametrize('inside', ['A', 'A/masks', 'link'])
    def test_folders_of_the_data(self, tmp_path, inside):
        (tmp_path / 'A').mkdir()
        (tmp_path / 'link').symlink_to(tmp_path / 'A')
        with pytest.raises(ValueError, match='is a folder of the data'):
            OutputFolder(tmp_path / inside, data=[tmp_path / 'A'])


def test_one_named_file(tmp_path):
    source, out = tmp_path / 'in.pth', tmp_path / 'out.pth'
    source.write_text('weights')
    for text in ('1', '2'):
        with output_file(out, [source]) as part:
            part.write_text(text)
    assert out.read_text() == '2'
    with pytest.raises(ValueError, match='is one of the inputs'):
        guard_output(tmp_path / 'x' / '..' / 'in.pth', [source])
    with pytest.raises(FileExistsError, match='did not make'):
        guard_output(source)


@pytest.mark.parametrize('command, name', [
    (['check', '{data}', '--no-shift', '--json', '{out}/facts.json'], 'facts.json'),
    (['flops', 'cdmamba_v8_small_synthetic', '--shape', '64', '--json', '{out}/flops.json'], 'flops.json'),
    (['benchmark', '--quick', '--suites', 'op', '--out', '{out}'], 'benchmark.csv'),
    (['sample', '{out}', '--size', '64', '64'], 'town_2023.tif'),
    (['browse', 'cdmamba_v8_small_synthetic', '--num', '1', '--out', '{out}', '--cfg-options', 'data_root={data}'],
     'train_00.png'),
])
def test_no_tool_writes_over_a_file_of_others(tmp_path, command, name):
    data, out = tmp_path / 'data', tmp_path / 'out'
    for role in ('A', 'B', 'label'):
        (data / 'train' / role).mkdir(parents=True)
        Image.fromarray(np.eye(64, dtype=np.uint8) * 255).save(data / 'train' / role / 'x.png')
    out.mkdir()
    (out / name).write_text('theirs')
    with pytest.raises(SystemExit, match=f'{name}.*which this package did not make'):
        main([word.format(data=data, out=out) for word in command])
    assert (out / name).read_text() == 'theirs' and os.listdir(out) == [name]
