"""Triton kernels of the selective scan, forwards; `triton_parts` says how they work together."""
import triton
import triton.language as tl

from .triton_parts import SIZES, flip, load_channels, load_steps, places, scaled


@triton.jit
def _local_direction(x, proj, rows, valid, steps, A, end, total, mask, channels, channel, rank,
                     STATES: tl.constexpr, BACKWARD: tl.constexpr, T: tl.constexpr):
    """One direction of `local_kernel`; the tuples are in the order of the recurrence."""
    length = steps[0]
    for i in tl.static_range(1, T):
        length = length + steps[i]
    tl.store(total + channel, length, mask)
    for s in tl.static_range(STATES):
        rate = tl.load(A + s * channels + channel, mask, 0.)
        state = tl.zeros_like(rate)
        for i in tl.static_range(T):
            decay = tl.exp(steps[i] * rate)
            if BACKWARD:
                factor = tl.load(proj + rows[i] + rank + STATES + s, valid[i], 0.).to(tl.float32)
                state = decay * (state + x[i] * factor)
            else:
                factor = tl.load(proj + rows[i] + rank + s, valid[i], 0.).to(tl.float32)
                state = decay * state + steps[i] * x[i] * factor
        tl.store(end + s * channels + channel, state, mask)


@triton.jit(do_not_specialize=SIZES)
def local_kernel(x, proj, delta, weight, bias, A, end, total, length, height, width, chunks, channels,
                 rank, GROUPS: tl.constexpr, LOW_RANK: tl.constexpr, STATES: tl.constexpr, SOFTPLUS: tl.constexpr,
                 PAIRED: tl.constexpr, BACKWARD: tl.constexpr, T: tl.constexpr, BLOCK: tl.constexpr):
    """What a chunk adds to the state after it: end (N, K, chunks, S, C), and its steps' total (N, K, chunks, C).

    Forwards x is the input. Backwards x is the output's gradient, and the state is the adjoint that a chunk hands to
    the one before it. Grid: (N * chunks, blocks of channels, 2 if PAIRED else K).
    """
    chunk = tl.program_id(0) % chunks
    image = (tl.program_id(0) // chunks).to(tl.int64)
    first_group = tl.program_id(2)
    channel = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    mask = channel < channels
    parameters = rank + 2 * STATES
    valid, inside, pixels = places(chunk * T, PAIRED and first_group == 1, length, height, width, channels, channel, T)
    rows = scaled(pixels, GROUPS * parameters, T)
    spread = channels if PAIRED else GROUPS * channels  # channels of a pixel of x
    shift = channel if PAIRED else first_group * channels + channel
    offsets = ()
    for i in tl.static_range(T):
        offsets = offsets + (pixels[i] * spread + shift, )
    values = load_channels(x + image * length * spread, offsets, inside, T)
    for turn in tl.static_range(2 if PAIRED else 1):
        k = first_group + 2 * turn
        base = proj + image * length * GROUPS * parameters + k * parameters
        steps, _ = load_steps(base, rows, delta + image * length * spread, offsets, weight + k * rank * channels,
                               bias + k * channels, valid, inside, mask, channels, channel, rank, LOW_RANK, SOFTPLUS, T)
        cell = (image * GROUPS + k) * chunks + chunk
        rates, ends, totals = A + k * STATES * channels, end + cell * STATES * channels, total + cell * channels
        if (turn == 1) != BACKWARD:
            _local_direction(flip(values, T), base, flip(rows, T), flip(valid, T), flip(steps, T), rates, ends,
                             totals, mask, channels, channel, rank, STATES, BACKWARD, T)
        else:
            _local_direction(values, base, rows, valid, steps, rates, ends, totals, mask, channels, channel, rank,
                             STATES, BACKWARD, T)


@triton.jit(do_not_specialize=SIZES)
def carry_kernel(end, total, A, start, chunks, channels, GROUPS: tl.constexpr, STATES: tl.constexpr,
                 PAIRED: tl.constexpr, BACKWARD: tl.constexpr, AHEAD: tl.constexpr, BLOCK: tl.constexpr):
    """The state that enters each chunk, start (N, K, chunks, S, C). Grid: (N * K, S, blocks of channels).

    The loads of AHEAD chunks are started together, since none of them depends on the recurrence.
    """
    sequence = tl.program_id(0).to(tl.int64)
    k = tl.program_id(0) % GROUPS
    s = tl.program_id(1)
    channel = tl.program_id(2) * BLOCK + tl.arange(0, BLOCK)
    mask = channel < channels
    rate = tl.load(A + (k * STATES + s) * channels + channel, mask, 0.)
    backwards = (PAIRED and k >= 2) != BACKWARD
    state = tl.zeros_like(rate)
    for first in range(0, chunks, AHEAD):
        cells = ()
        there = ()
        ends = ()
        totals = ()
        for i in tl.static_range(AHEAD):
            chunk = tl.where(backwards, chunks - 1 - first - i, first + i)
            inside = channel < tl.where(first + i < chunks, channels, 0)
            cell = sequence * chunks + chunk
            cells = cells + (cell * STATES + s, )
            there = there + (inside, )
            ends = ends + (tl.load(end + (cell * STATES + s) * channels + channel, inside, 0.), )
            totals = totals + (tl.load(total + cell * channels + channel, inside, 0.), )
        for i in tl.static_range(AHEAD):
            tl.store(start + cells[i] * channels + channel, state, there[i])
            state = tl.exp(totals[i] * rate) * state + ends[i]


@triton.jit
def _forward_direction(y, x, proj, rows, valid, steps, A, start, mask, channels, channel, rank,
                       STATES: tl.constexpr, T: tl.constexpr):
    """y plus the output of one direction; the tuples are in the order of the recurrence."""
    for s in tl.static_range(STATES):
        rate = tl.load(A + s * channels + channel, mask, 0.)
        state = tl.load(start + s * channels + channel, mask, 0.)
        added = ()
        for i in tl.static_range(T):
            B = tl.load(proj + rows[i] + rank + s, valid[i], 0.).to(tl.float32)
            C = tl.load(proj + rows[i] + rank + STATES + s, valid[i], 0.).to(tl.float32)
            state = tl.exp(steps[i] * rate) * state + steps[i] * x[i] * B
            added = added + (y[i] + state * C, )
        y = added
    return y


@triton.jit(do_not_specialize=SIZES)
def forward_kernel(x, proj, delta, weight, bias, A, D, start, before, y, length, height, width, chunks, channels,
                   rank, GROUPS: tl.constexpr, LOW_RANK: tl.constexpr, STATES: tl.constexpr, SOFTPLUS: tl.constexpr,
                   PAIRED: tl.constexpr, COLUMNS: tl.constexpr, T: tl.constexpr, BLOCK: tl.constexpr):
    """The output y, of the shape of x. Grid: (N * chunks, blocks of channels, 1 if PAIRED else K).

    With COLUMNS y is `before`, the rows' output, plus that of the columns. D is the sum over the directions if PAIRED.
    """
    chunk = tl.program_id(0) % chunks
    image = (tl.program_id(0) // chunks).to(tl.int64)
    first_group = 1 if COLUMNS else tl.program_id(2)
    channel = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    mask = channel < channels
    parameters = rank + 2 * STATES
    valid, inside, pixels = places(chunk * T, COLUMNS, length, height, width, channels, channel, T)
    rows = scaled(pixels, GROUPS * parameters, T)
    spread = channels if PAIRED else GROUPS * channels
    shift = channel if PAIRED else first_group * channels + channel
    offsets = ()
    for i in tl.static_range(T):
        offsets = offsets + (pixels[i] * spread + shift, )
    values = load_channels(x + image * length * spread, offsets, inside, T)
    if COLUMNS:
        output = load_channels(before + image * length * spread, offsets, inside, T)
    else:
        output = scaled(values, tl.load(D + shift, mask, 0.), T)
    for turn in tl.static_range(2 if PAIRED else 1):
        k = first_group + 2 * turn
        base = proj + image * length * GROUPS * parameters + k * parameters
        steps, _ = load_steps(base, rows, delta + image * length * spread, offsets, weight + k * rank * channels,
                               bias + k * channels, valid, inside, mask, channels, channel, rank, LOW_RANK, SOFTPLUS, T)
        states = start + ((image * GROUPS + k) * chunks + chunk) * STATES * channels
        rates = A + k * STATES * channels
        if turn == 0:
            output = _forward_direction(output, values, base, rows, valid, steps, rates, states, mask, channels,
                                        channel, rank, STATES, T)
        else:
            flipped = _forward_direction(flip(output, T), flip(values, T), base, flip(rows, T), flip(valid, T),
                                         flip(steps, T), rates, states, mask, channels, channel, rank, STATES, T)
            output = flip(flipped, T)
    y += image * length * spread
    for i in tl.static_range(T):
        tl.store(y + offsets[i], output[i], inside[i])
