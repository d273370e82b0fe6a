"""Damaged and hostile inputs: the short form of ``mamba-cd check-inputs``, and whether it notices what it looks for."""
import json
import os
import signal
import time
import zipfile
import zlib
from pathlib import Path

import pytest
import torch
from mmengine.config import ConfigDict

pytest.importorskip('hypothesis')
pytest.importorskip('rasterio')
onnx = pytest.importorskip('onnx')
pytest.importorskip('onnxruntime')

from mamba_cd_plugin.analysis.fuzz import campaign, kinds  # noqa: E402  they need the above
from mamba_cd_plugin.analysis.fuzz.mutations import mend_png, mend_zip  # noqa: E402
from mamba_cd_plugin.inference.checkpoints import load_model, no_more_than  # noqa: E402
from mamba_cd_plugin.inference.models import PROPERTIES, OnnxTileModel  # noqa: E402
from mamba_cd_plugin.io.pictures import read_rgb  # noqa: E402

# Of each kind. A checkpoint and a graph take longest.
COUNTS = dict.fromkeys(kinds.KINDS, 120) | dict(checkpoint=60, safetensors=60, onnx=60)
MINUTE = 60


@pytest.fixture(scope='module')
def bench(folder: Path) -> kinds.Bench:
    """The valid files with what is loaded once."""
    return kinds.Bench(folder)


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The valid files."""
    path = tmp_path_factory.mktemp('fuzz').resolve()
    campaign.make_seeds(path, exported=False)
    return path


@pytest.mark.parametrize('kind', kinds.KINDS)
def test_inputs_are_read_or_refused_by_name(bench: kinds.Bench, kind: str) -> None:
    outcome = campaign.run_kind(bench, kind, COUNTS[kind], seed=1, seconds=4 * MINUTE)
    assert dict(outcome.wrong) == {}
    assert outcome.refused > 0 and outcome.count > COUNTS[kind] / 2


@pytest.mark.parametrize('kind', kinds.KINDS)
def test_valid_files_are_read(bench: kinds.Bench, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise nothing that is derived from them would get far."""
    monkeypatch.chdir(bench.folder)
    for content in bench.seeds(kind):
        path = bench.folder / f'input{kinds.KINDS[kind].suffix}'
        path.write_bytes(content)
        errors = []
        for read in kinds.KINDS[kind].readers:
            try:
                read(bench, path)
            except ValueError as error:
                errors.append(str(error))
        assert len(errors) < len(kinds.KINDS[kind].readers) or 'refused' in errors[0] or 'CMYK' in errors[0], errors


def hang(bench: kinds.Bench, path: Path) -> None:
    """A reader that never ends."""
    while True:
        pass


def die(bench: kinds.Bench, path: Path) -> None:
    """A reader that crashes."""
    os.kill(os.getpid(), signal.SIGSEGV)


def run_command(bench: kinds.Bench, path: Path) -> None:
    """A reader that runs what it reads."""
    os.system('touch RAN')


def swallow(bench: kinds.Bench, path: Path) -> None:
    """A reader that takes more memory than any file of its size needs."""
    bytearray(400 << 20)


def leave_half(bench: kinds.Bench, path: Path) -> None:
    """A reader that fails over a result it has begun."""
    bench.results.mkdir()
    (bench.results / 'mask.png').write_bytes(b'half')
    raise ValueError(f'{path}: no')


def be_unclear(bench: kinds.Bench, path: Path) -> None:
    """A reader that does not say what it failed on."""
    raise ValueError('no')


def have_a_fault(bench: kinds.Bench, path: Path) -> None:
    """A reader with a fault of its own."""
    raise KeyError(path.name)


@pytest.mark.parametrize(('reader', 'word'), [
    (hang, 'the process ended: SIGPROF'), (die, 'the process ended: SIGSEGV'), (run_command, 'ran a command'),
    (swallow, 'MiB for'), (leave_half, 'left mask.png'), (be_unclear, 'does not name the file'),
    (have_a_fault, 'KeyError at test_fuzz.py'),
], ids=lambda value: value if isinstance(value, str) else value.__name__)
def test_it_notices(bench: kinds.Bench, reader: object, word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('mamba_cd_plugin.analysis.fuzz.child.CPU_SECONDS', 1)
    monkeypatch.setitem(kinds.KINDS, 'list', kinds.Kind('.txt', (reader, )))
    outcome = campaign.run_kind(bench, 'list', 1, seed=0, seconds=MINUTE)
    assert len(outcome.wrong) == 1 and word in next(iter(outcome.wrong)) and outcome.kept[0].exists()


def test_checksums_are_mended(tmp_path: Path, folder: Path) -> None:
    damaged = bytearray((folder / 'seeds/png/rgb.png').read_bytes())
    damaged[17] ^= 1  # the width, by 65,536
    with pytest.raises(OSError, match='checksum'):
        (tmp_path / 'x.png').write_bytes(damaged)
        read_rgb(str(tmp_path / 'x.png'))
    mended = mend_png(bytes(damaged))
    assert zlib.crc32(mended[12:29]) == int.from_bytes(mended[29:33], 'big')
    checkpoint = bytearray((folder / 'seeds/model.pth').read_bytes())
    with zipfile.ZipFile(folder / 'seeds/model.pth') as archive:
        entry = archive.getinfo('model/data/0')
    checkpoint[entry.header_offset + 200] ^= 1
    (tmp_path / 'x.pth').write_bytes(checkpoint)
    with zipfile.ZipFile(tmp_path / 'x.pth') as archive:
        assert archive.testzip() == 'model/data/0'
    (tmp_path / 'x.pth').write_bytes(mend_zip(bytes(checkpoint)))
    with zipfile.ZipFile(tmp_path / 'x.pth') as archive:
        assert archive.testzip() is None


def test_a_config_that_asks_for_a_giant_is_given_up_at_once(folder: Path, tmp_path: Path) -> None:
    content = torch.load(folder / 'seeds/model.pth', weights_only=True)
    path = tmp_path / 'giant.pth'
    for old, new in (('embed_dims=8', 'embed_dims=30000'), ('depths=(1, )', 'depths=(10000, )'),
                     ('depths=(1, )', 'depths=(1000000000, )')):
        assert old in content['meta']['cfg']
        torch.save(dict(content, meta=dict(cfg=content['meta']['cfg'].replace(old, new))), path)
        start = time.process_time()
        with pytest.raises(ValueError, match='giant.pth.*(a model of more numbers than|more than any model needs)'):
            load_model(ConfigDict(), str(path))
        assert time.process_time() - start < MINUTE
    with pytest.raises(ValueError, match='more than 50,000 parts'), no_more_than(1):
        torch.nn.Sequential(*[torch.nn.Identity() for _ in range(50_001)])
    torch.nn.Linear(1000, 1000)  # and outside nothing is counted


@pytest.mark.parametrize(('change', 'word'), [
    (lambda weight: weight.to(torch.complex64), 'complex64'), (lambda weight: weight.bool(), 'bool'),
    (lambda weight: weight.to('meta'), 'without values'), (lambda weight: weight.to_sparse(), 'sparse_coo'),
])
def test_weights_of_another_type_are_not_converted(folder: Path, tmp_path: Path, change: object, word: str) -> None:
    content = torch.load(folder / 'seeds/model.pth', weights_only=True)
    name = next(name for name in content['state_dict'] if name.endswith('conv_seg.weight'))
    content['state_dict'][name] = change(content['state_dict'][name])
    torch.save(content, tmp_path / 'x.pth')
    with pytest.raises(ValueError, match=rf'x.pth: .*of a type that the model does not take \({name} is {word}\)'):
        load_model(ConfigDict(), str(tmp_path / 'x.pth'))


@pytest.mark.parametrize(('properties', 'message'), [
    ({}, 'was not written by'), (dict(threshold=0.5, side=None, multiple=32), 'was not written by'),
    (dict(threshold=0.5, side=None, multiple=0, fill=[1, 2, 3]), 'was altered since'),
    (dict(threshold=2, side=None, multiple=32, fill=[1, 2, 3]), 'was altered since'),
    (dict(threshold=0.5, side=-64, multiple=32, fill=[1, 2, 3]), 'was altered since'),
    (dict(threshold=0.5, side=None, multiple=32, fill=[1, 2]), 'was altered since'),
    ([0.5, None, 32], 'was not written by'),
])
def test_onnx_properties_are_checked(folder: Path, tmp_path: Path, properties: object, message: str) -> None:
    model = onnx.load(folder / 'seeds/onnx/difference.onnx')
    model.metadata_props[0].value = json.dumps(properties)
    assert model.metadata_props[0].key == PROPERTIES
    onnx.save(model, tmp_path / 'x.onnx')
    with pytest.raises(ValueError, match=f'x.onnx: {message}'):
        OnnxTileModel(tmp_path / 'x.onnx')
