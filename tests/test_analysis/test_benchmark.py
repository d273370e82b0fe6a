"""The benchmark: what it compares, how it counts, and one run of the tool. No test depends on how fast anything is."""
import csv
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path
from subprocess import CompletedProcess

import pytest
import torch

from mamba_cd_plugin.analysis import timing
from mamba_cd_plugin.analysis.benchmark import Settings, plan, streaming_bound
from mamba_cd_plugin.analysis.cases import Case, identity_scan, import_factory, peak_memory, prepare, scan_inputs
from mamba_cd_plugin.models.layers import SS2D
from mamba_cd_plugin.ops import selective_scan_ref

ROOT = Path(__file__).parents[2]
OTHER = '''
import torch
class Two(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 2, 1)
    def forward(self, before, after):
        assert before.shape == after.shape == (1, 3, 64, 64)
        return dict(change=[self.conv(before) - self.conv(after)])
def factory():
    return Two()
'''


@pytest.fixture(autouse=True)
def _keep_threads() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def toy_config(tmp_path: Path) -> str:
    """Path of a leaf config with the toy encoder."""
    channels = [16, 32, 64, 128]
    path = tmp_path / 'toy.py'
    path.write_text(f"_base_ = {str(ROOT / 'configs/cdmamba_v8_levircd.py')!r}\n"
                    f"model = dict(backbone=dict(arch='toy'), neck=dict(in_channels={channels}), "
                    f'decode_head=dict(in_channels={channels}))\n')
    return str(path)


@pytest.fixture
def other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Import path of another model, whose forward takes two images and returns a nested output."""
    (tmp_path / 'other_model.py').write_text(OTHER)
    monkeypatch.syspath_prepend(str(tmp_path))
    return 'other_model:factory'


def test_functions_take_turns_in_an_order_that_turns_round() -> None:
    now, calls = [0.], []

    def work(name: str, seconds: float) -> None:
        calls.append(name)
        now[0] += seconds

    functions = dict(a=lambda: work('a', 1.), b=lambda: work('b', 2.), c=lambda: work('c', 0.004))
    times = timing.alternate(functions, seconds=0., min_rounds=3, clock=lambda: now[0])
    # Twice each to begin with, which does not count; a sample of c is three calls, to last 10 ms.
    assert ''.join(calls) == 'aabbcc' + 'abccc' + 'cccba' + 'abccc'
    assert times == dict(a=[1.] * 3, b=[2.] * 3, c=pytest.approx([0.004] * 3))
    # 30 s for three functions, 10 s each: ten rounds of a, five of b, and the most there may be of c.
    times = timing.alternate(functions, seconds=30., min_rounds=3, max_rounds=20, clock=lambda: now[0])
    assert [len(times[name]) for name in 'abc'] == [10, 5, 20]
    # A long call is made once beforehand.
    calls.clear()
    timing.alternate(dict(d=lambda: work('d', 12.)), seconds=0., min_rounds=1, clock=lambda: now[0])
    assert calls == ['d', 'd']


def test_summary_worked_out_by_hand() -> None:
    summary = timing.summarise_times(dict(a=[1., 2., 3., 4., 5.], b=[3., 2., 9.]), baseline='a')
    # Quartiles of 1..5 are 2, 3, 4; the rounds that both took part in give b/a = 3, 1, 3.
    assert summary['a'] == (3., 2., 4., 1., 5, 1.)
    assert summary['b'].ratio == 3.
    assert (summary['b'].median, summary['b'].best, summary['b'].samples) == (3., 2., 3)
    assert timing.summarise_times(dict(a=[2.]))['a'] == (2., 2., 2., 2., 1, None)


@pytest.mark.parametrize(('train', 'moved'), [(False, 24), (True, 66)])
def test_streaming_bound_counts_every_number_once(train: bool, moved: int) -> None:
    """u, delta and y have 6 numbers, B and C 3; the backward reads 18 + 6 more and writes 18."""
    case = Case('x', 'op', 'ref', train, (1, 1, 2, 3, 1))
    assert streaming_bound(case, seconds_of_sum=18.) == moved


def test_op_cases_compute_the_scan() -> None:
    shape = (2, 2, 3, 5, 2)
    tensors = scan_inputs(shape)
    torch.testing.assert_close(prepare(Case('x', 'op', 'torch', False, shape))(), selective_scan_ref(**tensors))
    gradients = prepare(Case('x', 'op', 'torch', True, shape))()
    assert [g.shape for g in gradients] == [t.shape for t in tensors.values()]
    torch.testing.assert_close(prepare(Case('x', 'op', 'u + delta', False, shape))(), tensors['u'] + tensors['delta'])


def test_identity_replaces_the_scan_and_nothing_else() -> None:
    layer, x = SS2D(8), torch.randn(1, 8, 4, 4)
    with identity_scan():
        got = layer(x)
    u = torch.nn.functional.silu(layer.conv2d(layer.in_proj(x)))
    torch.testing.assert_close(got, layer.out_proj(layer.out_norm(u)))
    assert not torch.allclose(layer(x), got)


@pytest.mark.parametrize('train', [False, True])
def test_another_model_gets_two_images_if_it_takes_two(train: bool, other: str) -> None:
    prepare(Case('x', 'model', 'identity', train, (1, 64, 64), other=other))()


@pytest.mark.parametrize(('path', 'message'), [('other_model', 'expected package.module:factory'),
                                               ('other_model:nothing', "has no function 'nothing'")])
def test_a_wrong_import_path_is_named(path: str, message: str, other: str) -> None:
    with pytest.raises(ValueError, match=message):
        import_factory(path)


@pytest.mark.parametrize(('changes', 'message'), [(dict(suites=('ops', )), r"suites \['ops'\]; there are op, enc"),
                                                  (dict(backends=('mine', )), r"none of the backends \['mine'\]")])
def test_a_wrong_setting_is_named(changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plan(Settings('', **changes))


def test_memory_is_that_of_the_case_alone() -> None:
    """u, delta and their sum have 16 MiB each, and the interpreter with its libraries is not counted."""
    found = peak_memory(Case('x', 'op', 'u + delta', False, (1, 1, 64, 2**16, 1)))
    assert 48 < found['above_start'] < 48 + 32 < found['total']


@pytest.mark.parametrize(('status', 'said', 'message'), [(1, 'Traceback\nValueError: wrong\n', 'status 1: ValueError'),
                                                         (-9, '', 'status -9: nothing said; a process that asks')])
def test_memory_of_a_failing_case_says_why(status: int, said: str, message: str,
                                              monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('subprocess.run', lambda command, **_: CompletedProcess(command, status, '', said))
    with pytest.raises(RuntimeError, match=f"memory of 'x' failed with exit {message}"):
        peak_memory(Case('x', 'op', 'ref', False, (1, 1, 1, 1, 1)))


def test_tool_writes_table_and_picture(toy_config: str, other: str, tmp_path: Path,
                                       monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / 'out'
    arguments = ['--quick', '--config', toy_config, '--other', other, '--other-train', '--out', str(out)]
    monkeypatch.setattr(sys, 'argv', ['benchmark.py', *arguments, '--threads', '1', '--backends', 'torch', 'ref'])
    runpy.run_path(str(ROOT / 'tools/analysis_tools/benchmark.py'), run_name='__main__')
    with (out / 'benchmark.csv').open() as file:
        rows = list(csv.DictReader(file))
    op, network = ['u + delta', 'exp(delta)', 'torch', 'ref'], ['identity', 'torch']
    assert [row['case'] for row in rows] == [*op, *op, *network, *network, *network, other, *network, other, '64 px',
                                             '96 px']
    assert all(float(row['median_ms']) > 0 and float(row['ratio']) > 0 for row in rows)
    assert all(float(row['ratio']) == 1 for row in rows if row['case'] == row['baseline'])
    text = (out / 'benchmark.md').read_text()
    assert text.count('\n## ') == 7 and other in text
    assert (out / 'benchmark.png').read_bytes().startswith(b'\x89PNG')
    monkeypatch.setattr(sys, 'argv', ['benchmark.py', '--quick', '--suites', 'model', '--other', 'no_such_module:x'])
    with pytest.raises(SystemExit, match='no_such_module'):
        runpy.run_path(str(ROOT / 'tools/analysis_tools/benchmark.py'), run_name='__main__')
