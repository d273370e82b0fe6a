"""The Triton kernels in Triton's interpreter; `test_triton.py` runs this file in a process with TRITON_INTERPRET=1.

Every operation of a kernel is a few numpy calls there, so that all sizes are small.
"""
import pytest
import torch
from torch.utils.checkpoint import checkpoint

from mamba_cd_plugin.ops import cross_selective_scan, resolve_backend, selective_scan, triton_geometry


@pytest.fixture(autouse=True)
def few_chunks_ahead(monkeypatch):
    """The carry's loop of 32 chunks, unrolled, is most of the interpreter's time; with 4 it also comes around."""
    monkeypatch.setattr(triton_geometry, 'AHEAD', 4)


def cross(*tensors):
    return cross_selective_scan(*tensors, backend='triton')


def expected_of(gradients, inputs):
    return gradients(cross_selective_scan, [t.double() for t in inputs], backend='torch')


@pytest.mark.parametrize('shape', [
    (2, 3, 5, 6, 2, 1),  # no multiple of the chunk of 8
    (1, 4, 2, 70, 3, 1),  # two blocks of channels, one exact chunk
    (1, 3, 4, 5, 2, 4),
    (1, 5, 7, 37, 17, 1),  # two blocks of positions; 17 ranks are filled up to 32; 64 channels a program, an odd number
    (1, 2, 3, 4, 1, 5),  # so many states that chunks are shorter
    (2, 8, 16, 6, 2, 1),  # no chunk leaves a row or a column
    (1, 16, 4, 3, 1, 1),  # only those of columns stay in theirs
    (1, 4, 8, 4, 1, 5),
    (1, 1, 1, 5, 1, 1),
    (0, 2, 2, 8, 1, 1),
])
def test_cross_scan(shape, maps, gradients, assert_close):
    inputs = maps(*shape)
    assert_close(gradients(cross, inputs), expected_of(gradients, inputs), 1e-5)


@pytest.mark.parametrize('shape', [
    (1, 5, 7, 4, 2, 1),  # 5 chunks in groups of 2 and 3; 3 tiles of positions, in a program for 6
    (1, 8, 8, 4, 2, 1),  # 8 chunks in groups of 3, each in one row or column: the last program has one less
])
def test_a_program_with_several_chunks(shape, monkeypatch, maps, gradients, assert_close):
    for name in ('ENOUGH_PROGRAMS', 'GRADIENT_PROGRAMS', 'RANK_PROGRAMS', 'STEPS_PROGRAMS', 'AHEAD', 'SUM_ROWS'):
        monkeypatch.setattr(triton_geometry, name, 2)
    monkeypatch.setattr(triton_geometry, 'MOST_CHUNKS', 3)
    for name in ('RANK_PLACES', 'STEPS_PLACES'):
        monkeypatch.setattr(triton_geometry, name, 16)
    inputs = maps(*shape)
    assert_close(gradients(cross, inputs), expected_of(gradients, inputs), 1e-5)


@pytest.mark.parametrize('shape', [(1, 1, 3, 256, 1), (2, 2, 3, 13, 1), (1, 3, 2, 20, 4), (1, 1, 1, 1, 1),
                                   (0, 2, 3, 4, 1)])
@pytest.mark.parametrize('plain', [False, True])
def test_sequences(shape, plain, sequences, gradients, assert_close):
    inputs, options = sequences(*shape), {}
    if plain:  # neither D nor bias nor softplus
        inputs[1] = inputs[1].abs()
        inputs, options = inputs[:5], {'delta_softplus': False}
    expected = gradients(selective_scan, [t.double() for t in inputs], backend='ref', **options)
    assert_close(gradients(selective_scan, inputs, backend='triton', **options), expected, 1e-5)


@pytest.mark.parametrize('shift', [-30., 10., 60.])
def test_tiny_and_large_steps(shift, maps, gradients, assert_close):
    inputs = maps(1, 3, 4, 5, 2, 1)
    inputs[3] = inputs[3] + shift
    assert_close(gradients(cross, inputs), expected_of(gradients, inputs), 1e-5)


@pytest.mark.parametrize('dtype, tolerance', [(torch.bfloat16, 1e-2), (torch.float16, 2e-3)])
def test_half_precision_outside_float32_inside(dtype, tolerance, maps, gradients, assert_close):
    low = [t.to(dtype) for t in maps(1, 3, 4, 5, 2, 1)]
    actual = gradients(cross, low)
    assert all(t.dtype == dtype for t in actual)
    assert_close(actual, expected_of(gradients, low), tolerance)


def test_half_maps_with_float32_weights_under_autocast(maps, gradients, assert_close):
    inputs = maps(1, 3, 4, 5, 2, 1)
    inputs[:2] = [t.bfloat16() for t in inputs[:2]]
    with torch.autocast('cpu', dtype=torch.bfloat16):
        actual = gradients(cross, inputs)
    assert [t.dtype for t in actual] == [torch.bfloat16] * 3 + [torch.float32] * 4
    assert_close(actual[3:], expected_of(gradients, inputs)[3:], 1e-2)


def test_extreme_float16_and_nan(maps, gradients):
    inputs = [(t * 60000).clamp(-65504, 65504).half() for t in maps(1, 3, 4, 5, 2, 1)]
    assert not any(tensor.isnan().any() for tensor in gradients(cross, inputs))
    for index in range(6):
        inputs = maps(1, 3, 3, 4, 2, 1)
        inputs[index].view(-1)[0] = float('nan')
        assert cross(*inputs).isnan().any(), index


def test_inputs_that_are_not_contiguous(maps, gradients, assert_close):
    inputs = maps(1, 3, 4, 5, 2, 1)

    def strided(*tensors):
        return cross(*(t.transpose(0, -1).contiguous().transpose(0, -1) for t in tensors))

    assert_close(gradients(strided, inputs), gradients(cross, inputs), 1e-6)


def test_one_op_for_compile_and_checkpoint(maps, gradients, assert_close):
    inputs = maps(1, 2, 3, 4, 1, 1)
    torch.library.opcheck(torch.ops.mamba_cd.triton_cross_scan.default, [t.requires_grad_() for t in inputs])
    expected = gradients(cross, inputs)
    compiled = torch.compile(lambda *tensors: 2 * cross(*tensors), fullgraph=True, backend='aot_eager')
    assert_close(gradients(compiled, inputs), [2 * t for t in expected], 1e-6)
    assert_close(gradients(lambda *t: checkpoint(cross, *t, use_reentrant=False), inputs), expected, 1e-6)


def test_keeps_the_inputs_and_few_states(maps):
    """What a forward keeps is what a training's memory is made of: no step sizes, no copy in another dtype."""
    kept = []
    inputs = [t.requires_grad_() for t in maps(1, 4, 4, 6, 2, 1)]
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        y = cross(*inputs)
    *_, states = kept
    assert states.shape == (1, 4, 2, 1, 6)  # before each of the two chunks of eight positions
    assert sum(t.numel() for t in {t.data_ptr(): t for t in kept}.values()) <= sum(map(torch.numel, inputs)) + 48
    first = torch.autograd.grad(y.square().sum(), inputs, retain_graph=True)
    assert all(torch.equal(a, b) for a, b in zip(first, torch.autograd.grad(y.square().sum(), inputs)))


def test_two_runs_give_the_same_bits(maps, gradients):
    torch.use_deterministic_algorithms(True)
    inputs = maps(2, 3, 4, 5, 2, 1)
    assert all(torch.equal(a, b) for a, b in zip(gradients(cross, inputs), gradients(cross, inputs)))


def test_is_offered_here_but_no_automatic_choice():
    assert resolve_backend('triton', 'cpu') == 'triton'
    assert resolve_backend('auto', 'cpu') != 'triton'
