"""Published weights as .safetensors: what is written is read again, and what is damaged is refused by name."""
import json
import random
import struct
from pathlib import Path

import pytest
import torch

from mamba_cd_plugin.engine.checkpoint import load_from_local, load_safely
from mamba_cd_plugin.engine.safetensors_file import KEY, safetensors_bytes

WEIGHTS = {'conv.weight': torch.arange(12.).view(3, 4).half(), 'bn.bias': torch.ones(3), 'bn.steps': torch.tensor(7)}
META = dict(cfg='model = dict()\n', metrics=dict(changed_F1=0.5, other=float('nan')), calibration=dict(temperature=2.),
            dataset_meta=dict(classes=('unchanged', 'changed')), mamba_cd_plugin_version='1.0 ü')


def content(header: object, data: bytes = bytes(8)) -> bytes:
    """A file by the format's definition: the length of the header, the header, the numbers."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack('<Q', len(text)) + text + data


def one_weight(**changes: object) -> dict:
    """The header of one float32 tensor of two numbers."""
    return {'x': dict(dict(dtype='F32', shape=[2], data_offsets=[0, 8]), **changes)}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / 'some.safetensors'


def test_what_is_written_is_read_again(path: Path) -> None:
    path.write_bytes(safetensors_bytes({**WEIGHTS, 'view': WEIGHTS['conv.weight'].T}, META))
    found = load_from_local(str(path), 'cpu')
    assert set(found) == {'meta', 'state_dict'} and repr(found['meta']) == repr({k: META[k] for k in found['meta']})
    assert set(found['meta']) == set(META)
    for name, value in WEIGHTS.items():
        assert found['state_dict'][name].dtype == value.dtype and torch.equal(found['state_dict'][name], value)
    assert torch.equal(found['state_dict']['view'], WEIGHTS['conv.weight'].T)
    length = struct.unpack('<Q', path.read_bytes()[:8])[0]
    header = json.loads(path.read_bytes()[8:8 + length])
    assert header['conv.weight']['dtype'] == 'F16' and header['conv.weight']['shape'] == [3, 4]
    assert list(header['__metadata__']) == [KEY]


def test_the_order_of_the_meta_does_not_change_the_file() -> None:
    assert safetensors_bytes(WEIGHTS, META) == safetensors_bytes(dict(reversed(WEIGHTS.items())),
                                                                 dict(reversed(META.items())))


def test_a_key_that_would_be_lost_is_refused() -> None:
    with pytest.raises(ValueError, match='meta has the keys config, iter; expected only cfg, metrics'):
        safetensors_bytes(WEIGHTS, dict(META, iter=3, config='import os'))


def test_a_file_of_others_has_weights_and_no_meta(path: Path) -> None:
    path.write_bytes(content({**one_weight(), '__metadata__': {'format': 'pt', 'config': 'import os'}}))
    found = load_safely(str(path))
    assert found['meta'] == {} and torch.equal(found['state_dict']['x'], torch.zeros(2))


def test_texts_that_mmengine_would_run_are_not_taken(path: Path) -> None:
    path.write_bytes(content({**one_weight(), '__metadata__': {KEY: json.dumps(dict(META, config='import os'))}}))
    assert set(load_safely(str(path))['meta']) == set(META)


@pytest.mark.parametrize('damaged', [
    b'', b'PK\x03\x04' + bytes(100), content(b'{'), content(b'\xff\xfe'), content({}, b''), content([1]),
    struct.pack('<Q', 2**63) + b'{}', struct.pack('<Q', 10**9) + b'{}',
    content(one_weight(), bytes(4)),                       # truncated
    content(one_weight(), bytes(16)),                      # more than it says
    content(one_weight(data_offsets=[8, 0])), content(one_weight(data_offsets=[0, 2**70])),
    content(one_weight(shape=[3])), content(one_weight(shape=[-2])), content(one_weight(shape=[2**62, 2**62])),
    content(one_weight(dtype='PICKLE')), content(one_weight(dtype=None)),
    content({**one_weight(), 'y': dict(dtype='F32', shape=[2], data_offsets=[0, 8])}),  # both in the same place
    *(content({**one_weight(), '__metadata__': {KEY: text}}) for text in (
        '', '[]', 'null', '{', '[' * 100_000, '{"cfg": 3}', '{"metrics": []}', '{"dataset_meta": "x"}')),
    content({**one_weight(), '__metadata__': {KEY: {}}}), content({**one_weight(), '__metadata__': 3}),
])
def test_damaged_files_are_refused_by_name(path: Path, damaged: bytes) -> None:
    path.write_bytes(damaged)
    with pytest.raises(ValueError, match='checkpoint .*some.safetensors(.* was refused: |: holds no weights)'):
        load_safely(str(path))


def test_random_damage_gives_an_error_that_names_the_file_or_sound_weights(path: Path) -> None:
    whole, draw = safetensors_bytes(WEIGHTS, META), random.Random(0)
    refused = 0
    for _ in range(300):
        damaged = bytearray(whole[:draw.randrange(len(whole))] if draw.random() < 0.3 else whole)
        for _ in range(draw.randrange(1, 4) if damaged else 0):
            damaged[draw.randrange(len(damaged))] = draw.randrange(256)
        path.write_bytes(damaged)
        try:
            found = load_safely(str(path))
        except ValueError as error:
            assert 'some.safetensors' in str(error)
            refused += 1
        else:
            assert {type(value) for value in found['state_dict'].values()} == {torch.Tensor}
    assert 100 < refused < 300


def test_missing_files_and_addresses(path: Path) -> None:
    with pytest.raises(FileNotFoundError, match='some.safetensors does not exist'):
        load_safely(str(path))
    with pytest.raises(ValueError, match=r'https://x/y.safetensors\?download=1: .* download it, and name the file'):
        load_safely('https://x/y.safetensors?download=1')
