"""Triton kernels of the selective scan, forwards; `triton_parts` says how they work together."""
import triton
import triton.language as tl

from .triton_parts import SIZES, join_rows, load_steps, places, split_rows


@triton.jit(do_not_specialize=SIZES)
def local_kernel(x, proj, delta, weight, bias, A, end, total, length, height, width, chunks, channels, rank,
                 GROUPS: tl.constexpr, LOW_RANK: tl.constexpr, STATES: tl.constexpr, SOFTPLUS: tl.constexpr,
                 PAIRED: tl.constexpr, BACKWARD: tl.constexpr, T: tl.constexpr, BLOCK: tl.constexpr):
    """What a chunk adds to the state after it: end (N, K, chunks, S, C), and its steps' total (N, K, chunks, C).

    Forwards x is the input. Backwards x is the output's gradient, and the state is the adjoint that a chunk hands to
    the one before it. Grid: (N * chunks, blocks of channels, 2 if PAIRED else K).
    """
    chunk = tl.program_id(0) % chunks
    image = (tl.program_id(0) // chunks).to(tl.int64)
    first_group = tl.program_id(2)
    columns = first_group if PAIRED else 0
    channel = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    mask = channel < channels
    parameters = rank + 2 * STATES
    spread = channels if PAIRED else GROUPS * channels  # channels of a pixel of x
    shift = channel if PAIRED else first_group * channels + channel
    valid, pixels = places(chunk * T, columns, length, height, width, T)
    offsets = pixels[:, None] * spread + shift[None, :]
    rows = pixels * GROUPS * parameters
    plane = image * length * spread
    values = tl.load(x + plane + offsets, valid[:, None] & mask[None, :], 0.).to(tl.float32)
    for turn in tl.static_range(2 if PAIRED else 1):
        k = first_group + 2 * turn
        base = proj + image * length * GROUPS * parameters + k * parameters
        steps, _ = load_steps(base, rows, delta + plane, offsets, weight + k * rank * channels, bias + k * channels,
                              valid, mask, channels, channel, rank, LOW_RANK, SOFTPLUS)
        cell = (image * GROUPS + k) * chunks + chunk
        tl.store(total + cell * channels + channel, tl.sum(steps, 0), mask)
        for s in tl.static_range(STATES):
            rate = tl.load(A + (k * STATES + s) * channels + channel, mask, 0.)
            decays = split_rows(tl.exp(steps * rate[None, :]), (turn == 1) != BACKWARD, T, BLOCK)
            factor = tl.load(base + rows + rank + s + (STATES if BACKWARD else 0), valid, 0.).to(tl.float32)
            drive = values * factor[:, None]
            drives = split_rows(drive if BACKWARD else drive * steps, (turn == 1) != BACKWARD, T, BLOCK)
            state = tl.zeros_like(rate)
            for i in tl.static_range(T):
                state = decays[i] * (state + drives[i]) if BACKWARD else decays[i] * state + drives[i]
            tl.store(end + (cell * STATES + s) * channels + channel, state, mask)


@triton.jit(do_not_specialize=SIZES)
def carry_kernel(end, total, A, start, chunks, backward, channels, GROUPS: tl.constexpr, STATES: tl.constexpr,
                 PAIRED: tl.constexpr, AHEAD: tl.constexpr, BLOCK: tl.constexpr):
    """The state that enters each chunk, start (N, K, chunks, S, C). Grid: (N * K, S, blocks of channels).

    The loads of AHEAD chunks are one, since none of them depends on the recurrence.
    """
    sequence = tl.program_id(0).to(tl.int64)
    k = tl.program_id(0) % GROUPS
    s = tl.program_id(1)
    channel = tl.program_id(2) * BLOCK + tl.arange(0, BLOCK)
    mask = channel < channels
    rate = tl.load(A + (k * STATES + s) * channels + channel, mask, 0.)
    reverse = (k >= 2) & PAIRED
    reverse = reverse != (backward == 1)
    state = tl.zeros_like(rate)
    for first in range(0, chunks, AHEAD):
        number = first + tl.arange(0, AHEAD)
        inside = (number < chunks)[:, None] & mask[None, :]
        cells = sequence * chunks + tl.where(reverse, chunks - 1 - number, number)
        places_of_states = (cells * STATES + s)[:, None] * channels + channel[None, :]
        totals = tl.load(total + cells[:, None] * channels + channel[None, :], inside, 0.)
        decays = split_rows(tl.exp(totals * rate[None, :]), False, AHEAD, BLOCK)
        ends = split_rows(tl.load(end + places_of_states, inside, 0.), False, AHEAD, BLOCK)
        entering = ()
        for i in tl.static_range(AHEAD):
            entering = entering + (state, )
            state = decays[i] * state + ends[i]
        tl.store(start + places_of_states, join_rows(entering, False, AHEAD, BLOCK), inside)


@triton.jit(do_not_specialize=SIZES)
def forward_kernel(x, proj, delta, weight, bias, A, D, start, rows_y, y, length, height, width, chunks, columns, final,
                   channels, rank, GROUPS: tl.constexpr, LOW_RANK: tl.constexpr, STATES: tl.constexpr,
                   SOFTPLUS: tl.constexpr, PAIRED: tl.constexpr, T: tl.constexpr, BLOCK: tl.constexpr):
    """The output. Grid: (N * chunks, blocks of channels, 1 if PAIRED else K).

    With `final` it is stored as y, else as rows_y, in float32; with `columns` it includes rows_y, which the launch
    for the rows has stored. D is the sum over the directions if PAIRED.
    """
    chunk = tl.program_id(0) % chunks
    image = (tl.program_id(0) // chunks).to(tl.int64)
    first_group = tl.program_id(2) + columns
    channel = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    mask = channel < channels
    parameters = rank + 2 * STATES
    spread = channels if PAIRED else GROUPS * channels
    shift = channel if PAIRED else first_group * channels + channel
    valid, pixels = places(chunk * T, columns, length, height, width, T)
    inside = valid[:, None] & mask[None, :]
    offsets = pixels[:, None] * spread + shift[None, :]
    rows = pixels * GROUPS * parameters
    plane = image * length * spread
    values = tl.load(x + plane + offsets, inside, 0.).to(tl.float32)
    if columns == 1:
        output = tl.load(rows_y + plane + offsets, inside, 0.)
    else:
        output = values * tl.load(D + shift, mask, 0.)[None, :]
    for turn in tl.static_range(2 if PAIRED else 1):
        k = first_group + 2 * turn
        base = proj + image * length * GROUPS * parameters + k * parameters
        steps, _ = load_steps(base, rows, delta + plane, offsets, weight + k * rank * channels, bias + k * channels,
                              valid, mask, channels, channel, rank, LOW_RANK, SOFTPLUS)
        driven = steps * values
        cell = ((image * GROUPS + k) * chunks + chunk) * STATES
        for s in tl.static_range(STATES):
            rate = tl.load(A + (k * STATES + s) * channels + channel, mask, 0.)
            B = tl.load(base + rows + rank + s, valid, 0.).to(tl.float32)
            C = tl.load(base + rows + rank + STATES + s, valid, 0.).to(tl.float32)
            decays = split_rows(tl.exp(steps * rate[None, :]), turn == 1, T, BLOCK)
            drives = split_rows(driven * B[:, None], turn == 1, T, BLOCK)
            state = tl.load(start + (cell + s) * channels + channel, mask, 0.)
            states = ()
            for i in tl.static_range(T):
                state = decays[i] * state + drives[i]
                states = states + (state, )
            output += join_rows(states, turn == 1, T, BLOCK) * C[:, None]
    if final == 1:
        tl.store(y + plane + offsets, output, inside)
    else:
        tl.store(rows_y + plane + offsets, output, inside)
