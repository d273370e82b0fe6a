"""Models as plain torch modules, and what importing the package does to a process: nothing."""
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmseg.registry import MODELS

import mamba_cd_plugin
from mamba_cd_plugin import get_model, list_models

ROOT = Path(__file__).parents[2]
LOOP = re.search(r'```python\n(import torch\n.*?)```', (ROOT / 'docs/python.md').read_text('utf-8'), re.S).group(1)


@pytest.fixture(scope='module')
def narrow() -> torch.nn.Module:
    """V8 with 8 channels at the first level, ready to predict."""
    torch.manual_seed(0)
    return get_model('cdmamba_v8', embed_dims=8).eval()


def test_the_loop_of_the_page_learns(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(LOOP, names)
    first, last = names['losses'][0], sum(names['losses'][-3:]) / 3
    assert last < 0.7 * first, (first, last)
    again = get_model('cdmamba_v8', embed_dims=8, weights='mine.pth')
    for key, value in again.state_dict().items():
        assert torch.equal(value, names['model'].state_dict()[key]), key


def test_it_gives_what_mmseg_gives(narrow: torch.nn.Module) -> None:
    a, b = torch.randint(0, 256, (2, 1, 3, 40, 72), dtype=torch.uint8)
    with torch.no_grad():
        inputs = narrow.segmentor.data_preprocessor(dict(inputs=[torch.cat([a[0], b[0]])]), False)['inputs']
        expected = narrow.segmentor.encode_decode(inputs, [dict(img_shape=(40, 72))])
        assert torch.equal(narrow(a, b), expected)
        assert torch.allclose(narrow(a / 255, b / 255), expected, atol=1e-4)
    assert expected.shape == (1, 1, 40, 72)


@pytest.mark.parametrize(('a', 'b', 'message'), [
    (torch.rand(1, 3, 32, 32), torch.rand(1, 3, 32, 64), r'one shape \(N, 3, H, W\), got \(1, 3, 32, 32\)'),
    (torch.rand(3, 32, 32), torch.rand(3, 32, 32), r'got \(3, 32, 32\)'),
    (torch.full((1, 3, 32, 32), 200.), torch.rand(1, 3, 32, 32), 'from 0 to 1, got values up to 200; divide by 255'),
    (torch.ones(1, 3, 32, 32, dtype=torch.long), torch.rand(1, 3, 32, 32), 'got torch.int64'),
])
def test_images_that_are_none_are_refused(narrow, a: torch.Tensor, b: torch.Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        narrow(a, b)


def test_the_names_are_those_of_the_family() -> None:
    names = list_models()
    assert {'cdmamba_v1', 'cdmamba_v6_1', 'cdmamba_v8', 'cdmamba_v8_small', 'cdmamba_v1_small'} <= {*names}
    assert len(names) == len({*names}) >= 15
    cfg = Config.fromfile(ROOT / 'configs/cdmamba_v8_small_levircd.py')
    assert {k: v.shape for k, v in get_model('cdmamba_v8_small').segmentor.state_dict().items()} == \
        {k: v.shape for k, v in MODELS.build(cfg.model).state_dict().items()}


@pytest.mark.parametrize(('arguments', 'error', 'message'), [
    (dict(name='cdmamba_v8_smal'), FileNotFoundError, 'config cdmamba_v8_smal does not exist; similar names: .*_small'),
    (dict(name='cdmamba_v8', weights='no_such_weights'), FileNotFoundError, 'no weights of that name'),
    (dict(name='cdmamba_v8', weights='none.pth'), FileNotFoundError, 'none.pth does not exist'),
    (dict(name='cdmamba_v8', options={'backbon.arch': 'toy'}), KeyError, "model has no key 'backbon'"),
])
def test_wrong_names_say_what_there_is(arguments: dict, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        get_model(**arguments)


def test_every_lazy_name_is_there() -> None:
    assert all(getattr(mamba_cd_plugin, name) is not None for name in mamba_cd_plugin.__all__)
    assert {*mamba_cd_plugin.__all__} <= {*dir(mamba_cd_plugin)}
    with pytest.raises(AttributeError, match="no attribute 'get_modl'; it has ChangeDetectionInferencer, "):
        mamba_cd_plugin.get_modl  # noqa: B018


STATE = '''
import os, sys, warnings
def state():
    found = [list(warnings.filters), sys.stdout, sys.stderr, list(sys.argv), dict(os.environ), warnings.showwarning]
    if 'mmengine' in sys.modules:
        from mmengine.runner.checkpoint import CheckpointLoader
        found.append(dict(CheckpointLoader._schemes))
    return found
'''


def test_a_user_of_python_sees_nothing_of_the_stack() -> None:
    """mmengine would log each parameter as it is initialised, and the stack print that parts of it are missing."""
    program = ("from mamba_cd_plugin import get_model; get_model('cdmamba_v8_small', options={'backbone.arch': 'toy', "
               "'neck.in_channels': [16, 32, 64, 128], 'decode_head.in_channels': [16, 32, 64, 128]})")
    run = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert (run.stdout, run.stderr) == ('', '')


def test_importing_the_package_leaves_the_process_alone() -> None:
    program = STATE + ('before = state(); import mamba_cd_plugin, mamba_cd_plugin.cli; assert state() == before\n'
                       'assert not {"torch", "mmengine", "numpy"} & {*sys.modules}, "imports more than itself"')
    subprocess.run([sys.executable, '-c', program], check=True, cwd=ROOT)


def test_registration_leaves_loaders_and_streams_alone() -> None:
    """The stack puts filters of its own before warnings when it is imported; we add none after it."""
    program = STATE + ('import torch, mmengine.runner, mmcv.cnn, mmseg.models, mmseg.datasets; before = state()\n'
                       'import mamba_cd_plugin; mamba_cd_plugin.register_all_modules(); after = state()\n'
                       'assert after == before, [pair for pair in zip(before, after) if pair[0] != pair[1]]')
    subprocess.run([sys.executable, '-c', program], check=True, cwd=ROOT, capture_output=True)
