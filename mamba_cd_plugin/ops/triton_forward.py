"""Triton kernels of the selective scan, forwards; `triton_parts` says how they work together."""
import triton
import triton.language as tl

from .triton_parts import LOG2_E, SIZES, chunk_of, direct_weight, image_of, join_rows, softplus, split_rows


@triton.jit(do_not_specialize=SIZES)
def steps_kernel(proj, delta, weight, bias, steps, positions, channels, rank, GROUPS: tl.constexpr,
                 RANKS: tl.constexpr, STATES: tl.constexpr, SOFTPLUS: tl.constexpr, PRECISION: tl.constexpr,
                 UNIT: tl.constexpr, PLACES: tl.constexpr, BLOCK: tl.constexpr):
    """The step sizes, (N * L, K, C) in float32. Grid: (blocks of positions, blocks of channels, K).

    With RANKS, the rank filled up to what a product of tiles takes, they come of weight @ proj[:rank] + bias, else of
    delta + bias.
    """
    channels = channels * UNIT
    position = tl.program_id(0).to(tl.int64) * PLACES + tl.arange(0, PLACES)
    valid = position < positions
    channel = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    mask = channel < channels
    k = tl.program_id(2)
    inside = valid[:, None] & mask[None, :]
    cells = position * GROUPS + k
    offsets = cells[:, None] * channels + channel[None, :]
    if RANKS > 0:
        r = tl.arange(0, RANKS)
        used = r < rank
        low = tl.load(proj + cells[:, None] * (rank + 2 * STATES) + r[None, :], valid[:, None] & used[None, :], 0.)
        factors = tl.load(weight + (k * channels + channel)[None, :] * rank + r[:, None],
                          used[:, None] & mask[None, :], 0.)
        raw = tl.dot(low.to(tl.float32), factors.to(tl.float32), input_precision=PRECISION)
    else:
        raw = tl.load(delta + offsets, inside, 0.).to(tl.float32)
    raw += tl.load(bias + k * channels + channel, mask, 0.).to(tl.float32)[None, :]
    tl.store(steps + offsets, softplus(raw) if SOFTPLUS else raw, inside)


@triton.jit(do_not_specialize=SIZES)
def local_kernel(x, proj, steps, A, end, total, length, height, width, chunks, group_size, channels, rank,
                 GROUPS: tl.constexpr, STATES: tl.constexpr, PAIRED: tl.constexpr, BACKWARD: tl.constexpr,
                 UNIT: tl.constexpr, T: tl.constexpr, BLOCK: tl.constexpr):
    """What a chunk adds to the state after it: end (N, K, chunks, S, C), and its steps' total (N, K, chunks, C).

    Forwards x is the input. Backwards x is the output's gradient, and the state is the adjoint that a chunk hands to
    the one before it. Grid: (N * ceil(chunks / group_size), blocks of channels, 2 if PAIRED else K); a program runs
    `group_size` chunks one after the other.
    """
    channels = channels * UNIT
    image = image_of(chunks, group_size)
    first_group = tl.program_id(2)
    columns = first_group if PAIRED else 0
    channel = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    mask = channel < channels
    parameters = rank + 2 * STATES
    spread = channels if PAIRED else GROUPS * channels  # channels of a pixel of x
    shift = channel if PAIRED else first_group * channels + channel
    x += image * length * spread
    proj += image * length * GROUPS * parameters
    steps += image * length * GROUPS * channels
    for turn_of_chunk in range(group_size):
        chunk, valid, pixels = chunk_of(turn_of_chunk, group_size, columns, length, height, width, chunks, T)
        inside = valid[:, None] & mask[None, :]
        there = channel < tl.where(chunk < chunks, channels, 0)
        rows = pixels * GROUPS * parameters
        values = tl.load(x + pixels[:, None] * spread + shift[None, :], inside, 0.).to(tl.float32)
        for turn in tl.static_range(2 if PAIRED else 1):
            k = first_group + 2 * turn
            base = proj + k * parameters
            step = tl.load(steps + (pixels * GROUPS + k)[:, None] * channels + channel[None, :], inside, 0.)
            cell = (image * GROUPS + k) * chunks + chunk
            tl.store(total + cell * channels + channel, tl.sum(step, 0), there)
            for s in tl.static_range(STATES):
                rate = tl.load(A + (k * channels + channel) * STATES + s, mask, 0.).to(tl.float32) * LOG2_E
                decays = split_rows(tl.exp2(step * rate[None, :]), (turn == 1) != BACKWARD, T, BLOCK)
                factor = tl.load(base + rows + rank + s + (STATES if BACKWARD else 0), valid, 0.).to(tl.float32)
                drive = values * factor[:, None]
                drives = split_rows(drive if BACKWARD else drive * step, (turn == 1) != BACKWARD, T, BLOCK)
                state = tl.zeros_like(rate)
                for i in tl.static_range(T):
                    state = decays[i] * (state + drives[i]) if BACKWARD else decays[i] * state + drives[i]
                tl.store(end + (cell * STATES + s) * channels + channel, state, there)


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
    rate = tl.load(A + (k * channels + channel) * STATES + s, mask, 0.).to(tl.float32) * LOG2_E
    reverse = (k >= 2) & PAIRED
    reverse = reverse != (backward == 1)
    state = tl.zeros_like(rate)
    for first in range(0, chunks, AHEAD):
        number = first + tl.arange(0, AHEAD)
        inside = (number < chunks)[:, None] & mask[None, :]
        cells = sequence * chunks + tl.where(reverse, chunks - 1 - number, number)
        places_of_states = (cells * STATES + s)[:, None] * channels + channel[None, :]
        totals = tl.load(total + cells[:, None] * channels + channel[None, :], inside, 0.)
        decays = split_rows(tl.exp2(totals * rate[None, :]), False, AHEAD, BLOCK)
        ends = split_rows(tl.load(end + places_of_states, inside, 0.), False, AHEAD, BLOCK)
        entering = ()
        for i in tl.static_range(AHEAD):
            entering = entering + (state, )
            state = decays[i] * state + ends[i]
        tl.store(start + places_of_states, join_rows(entering, False, AHEAD, BLOCK), inside)


@triton.jit(do_not_specialize=SIZES)
def forward_kernel(x, proj, steps, A, D, start, rows_y, y, length, height, width, chunks, group_size, columns, final,
                   channels, rank, GROUPS: tl.constexpr, STATES: tl.constexpr, PAIRED: tl.constexpr, UNIT: tl.constexpr,
                   T: tl.constexpr, BLOCK: tl.constexpr):
    """The output. Grid: (N * ceil(chunks / group_size), blocks of channels, 1 if PAIRED else K).

    With `final` it is stored as y, else as rows_y, in float32; with `columns` it includes rows_y, which the launch
    for the rows has stored.
    """
    channels = channels * UNIT
    image = image_of(chunks, group_size)
    first_group = tl.program_id(2) + columns
    channel = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    mask = channel < channels
    parameters = rank + 2 * STATES
    spread = channels if PAIRED else GROUPS * channels
    shift = channel if PAIRED else first_group * channels + channel
    plane = image * length * spread
    proj += image * length * GROUPS * parameters
    steps += image * length * GROUPS * channels
    for turn_of_chunk in range(group_size):
        chunk, valid, pixels = chunk_of(turn_of_chunk, group_size, columns, length, height, width, chunks, T)
        inside = valid[:, None] & mask[None, :]
        there = channel < tl.where(chunk < chunks, channels, 0)
        offsets = pixels[:, None] * spread + shift[None, :]
        rows = pixels * GROUPS * parameters
        values = tl.load(x + plane + offsets, inside, 0.).to(tl.float32)
        if columns == 1:
            output = tl.load(rows_y + plane + offsets, inside, 0.).to(tl.float32)
        else:
            output = values * direct_weight(D, first_group, channels, channel, mask, GROUPS, PAIRED)[None, :]
        for turn in tl.static_range(2 if PAIRED else 1):
            k = first_group + 2 * turn
            base = proj + k * parameters
            step = tl.load(steps + (pixels * GROUPS + k)[:, None] * channels + channel[None, :], inside, 0.)
            driven = step * values
            cell = ((image * GROUPS + k) * chunks + chunk) * STATES
            for s in tl.static_range(STATES):
                rate = tl.load(A + (k * channels + channel) * STATES + s, mask, 0.).to(tl.float32) * LOG2_E
                B = tl.load(base + rows + rank + s, valid, 0.).to(tl.float32)
                C = tl.load(base + rows + rank + STATES + s, valid, 0.).to(tl.float32)
                decays = split_rows(tl.exp2(step * rate[None, :]), turn == 1, T, BLOCK)
                drives = split_rows(driven * B[:, None], turn == 1, T, BLOCK)
                state = tl.load(start + (cell + s) * channels + channel, there, 0.)
                states = ()
                for i in tl.static_range(T):
                    state = decays[i] * state + drives[i]
                    states = states + (state, )
                output += join_rows(states, turn == 1, T, BLOCK) * C[:, None]
        if final == 1:
            tl.store(y + plane + offsets, output, inside)
        else:
            tl.store(rows_y + plane + offsets, output, inside)
