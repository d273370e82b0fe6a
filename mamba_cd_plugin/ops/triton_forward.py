"""Triton kernels of the selective scan, forwards; `triton_parts` says how they work together."""
import triton
import triton.language as tl

from .triton_parts import (
    LOG2_E,
    SIZES,
    chunk_of,
    direct_weight,
    image_of,
    join_rows,
    product,
    rates_of,
    softplus,
    split_rows,
)


@triton.jit(do_not_specialize=SIZES)
def steps_kernel(proj, delta, weight, bias, steps, positions, channels, rank, tiles, GROUPS: tl.constexpr,
                 RANKS: tl.constexpr, STATES: tl.constexpr, SOFTPLUS: tl.constexpr, PRECISION: tl.constexpr,
                 UNIT: tl.constexpr, PLACES: tl.constexpr, BLOCK: tl.constexpr):
    """The step sizes, (N * L, K, C) in float32. Grid: (groups of positions, blocks of channels, K).

    With RANKS, the rank filled up to what a product of tiles takes, they come of weight @ proj[:rank] + bias, else of
    delta + bias. A program takes `tiles` times PLACES positions, one tile after the other.
    """
    channels = channels * UNIT
    k = tl.program_id(2)
    channel = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    mask = channel < channels
    parameters = rank + 2 * STATES
    # 64 bits for where the program starts, 32 for every place from there.
    start = tl.program_id(0) * tiles * PLACES
    count = tl.minimum(positions - start, tiles * PLACES)
    cell = start.to(tl.int64) * GROUPS + k
    proj += cell * parameters
    delta += cell * channels
    steps += cell * channels
    shift = tl.load(bias + k * channels + channel, mask, 0.).to(tl.float32)
    place = tl.arange(0, PLACES)
    if RANKS > 0:
        r = tl.arange(0, RANKS)
        used = r < rank
        factors = tl.load(weight + (k * channels + channel)[None, :] * rank + r[:, None],
                          used[:, None] & mask[None, :], 0.).to(tl.float32)
        low = tl.load(proj + (place * (GROUPS * parameters))[:, None] + r[None, :],
                      (place < count)[:, None] & used[None, :], 0.)
    for _ in range(tiles):
        inside = (place < count)[:, None] & mask[None, :]
        offsets = (place * (GROUPS * channels))[:, None] + channel[None, :]
        if RANKS > 0:
            # That of the next tile, while this one is worked on.
            ahead = place + PLACES
            following = tl.load(proj + (ahead * (GROUPS * parameters))[:, None] + r[None, :],
                                (ahead < count)[:, None] & used[None, :], 0.)
            raw = product(low.to(tl.float32), factors, tl.zeros((PLACES, BLOCK), tl.float32), PRECISION)
            low = following
        else:
            raw = tl.load(delta + offsets, inside, 0.).to(tl.float32)
        raw += shift[None, :]
        tl.store(steps + offsets, softplus(raw) if SOFTPLUS else raw, inside)
        place += PLACES


@triton.jit(do_not_specialize=SIZES)
def local_kernel(x, proj, steps, A, end, total, length, height, width, chunks, group_size, channels, rank,
                 GROUPS: tl.constexpr, STATES: tl.constexpr, PAIRED: tl.constexpr, BACKWARD: tl.constexpr,
                 UNIT: tl.constexpr, WHOLE: tl.constexpr, T: tl.constexpr, BLOCK: tl.constexpr):
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
    rates = rates_of(A, LOG2_E, first_group, channels, channel, mask, PAIRED, STATES)
    for turn_of_chunk in range(group_size):
        chunk, valid, first, pixels = chunk_of(turn_of_chunk, group_size, columns, length, height, width, chunks,
                                               WHOLE, T)
        inside = valid[:, None] & mask[None, :]
        there = channel < tl.where(chunk < chunks, channels, 0)
        places = (pixels * (GROUPS * channels))[:, None] + channel[None, :]
        rows = pixels * (GROUPS * parameters)
        values = tl.load(x + first * spread + (pixels * spread)[:, None] + shift[None, :], inside, 0.)
        # All loads stand before the first store: no compiler moves one across it, and to wait once is enough.
        sizes, factors = (), ()
        for turn in tl.static_range(2 if PAIRED else 1):
            cell = first * GROUPS + first_group + 2 * turn
            sizes = sizes + (tl.load(steps + cell * channels + places, inside, 0.), )
            for s in tl.static_range(STATES):
                factor = proj + cell * parameters + rank + s + (STATES if BACKWARD else 0)
                factors = factors + (tl.load(factor + rows, valid, 0.), )
        values = values.to(tl.float32)
        for turn in tl.static_range(2 if PAIRED else 1):
            step = sizes[turn]
            cell = (image * GROUPS + first_group + 2 * turn) * chunks + chunk
            for s in tl.static_range(STATES):
                rate = rates[turn * STATES + s]
                decays = split_rows(tl.exp2(step * rate[None, :]), (turn == 1) != BACKWARD, T, BLOCK)
                drive = values * factors[turn * STATES + s].to(tl.float32)[:, None]
                drives = split_rows(drive if BACKWARD else drive * step, (turn == 1) != BACKWARD, T, BLOCK)
                state = tl.zeros_like(rate)
                for i in tl.static_range(T):
                    state = decays[i] * (state + drives[i]) if BACKWARD else decays[i] * state + drives[i]
                tl.store(end + (cell * STATES + s) * channels + channel, state, there)
            tl.store(total + cell * channels + channel, tl.sum(step, 0), there)


@triton.jit
def _of_chunks(first, chunks, width, reverse, channel, mask, AHEAD: tl.constexpr):
    """Where AHEAD chunks are in an array with `width` numbers for each: `first` and those after it, and whether."""
    number = tl.arange(0, AHEAD)
    start = tl.where(reverse, chunks - 1 - first, first) * width
    offsets = number[:, None] * tl.where(reverse, -width, width) + channel[None, :]
    return start + offsets, (number < chunks - first)[:, None] & mask[None, :]


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
    # 64 bits for where the sequence starts, 32 for every place from there.
    total += sequence * chunks * channels
    end += (sequence * chunks * STATES + s) * channels
    start += (sequence * chunks * STATES + s) * channels
    places, inside = _of_chunks(0, chunks, channels, reverse, channel, mask, AHEAD)
    totals = tl.load(total + places, inside, 0.)
    places, inside = _of_chunks(0, chunks, STATES * channels, reverse, channel, mask, AHEAD)
    ends = tl.load(end + places, inside, 0.)
    for first in range(0, chunks, AHEAD):
        # Those of the next chunks, while these are worked on.
        places, inside = _of_chunks(first + AHEAD, chunks, channels, reverse, channel, mask, AHEAD)
        next_totals = tl.load(total + places, inside, 0.)
        places, inside = _of_chunks(first + AHEAD, chunks, STATES * channels, reverse, channel, mask, AHEAD)
        next_ends = tl.load(end + places, inside, 0.)
        decays = split_rows(tl.exp2(totals * rate[None, :]), False, AHEAD, BLOCK)
        drives = split_rows(ends, False, AHEAD, BLOCK)
        entering = ()
        for i in tl.static_range(AHEAD):
            entering = entering + (state, )
            state = decays[i] * state + drives[i]
        places, inside = _of_chunks(first, chunks, STATES * channels, reverse, channel, mask, AHEAD)
        tl.store(start + places, join_rows(entering, False, AHEAD, BLOCK), inside)
        totals, ends = next_totals, next_ends


@triton.jit(do_not_specialize=SIZES)
def forward_kernel(x, proj, steps, A, D, start, rows_y, y, length, height, width, chunks, group_size, columns, final,
                   channels, rank, GROUPS: tl.constexpr, STATES: tl.constexpr, PAIRED: tl.constexpr, UNIT: tl.constexpr,
                   WHOLE: tl.constexpr, T: tl.constexpr, BLOCK: tl.constexpr):
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
    proj += image * length * GROUPS * parameters
    steps += image * length * GROUPS * channels
    weight = direct_weight(D, first_group, channels, channel, mask, GROUPS, PAIRED)
    weight = tl.where(columns == 1, 0., weight)  # rows_y has the direct path
    by_rows = channel < channels * columns
    rates = rates_of(A, LOG2_E, first_group, channels, channel, mask, PAIRED, STATES)
    for turn_of_chunk in range(group_size):
        chunk, valid, first, pixels = chunk_of(turn_of_chunk, group_size, columns, length, height, width, chunks,
                                               WHOLE, T)
        inside = valid[:, None] & mask[None, :]
        there = channel < tl.where(chunk < chunks, channels, 0)
        plane = image * length * spread + first * spread
        offsets = (pixels * spread)[:, None] + shift[None, :]
        places = (pixels * (GROUPS * channels))[:, None] + channel[None, :]
        rows = pixels * (GROUPS * parameters)
        values = tl.load(x + plane + offsets, inside, 0.)
        output = tl.load(rows_y + plane + offsets, valid[:, None] & by_rows[None, :], 0.)
        sizes, entering, Bs, Cs = (), (), (), ()
        for turn in tl.static_range(2 if PAIRED else 1):
            k = first_group + 2 * turn
            cell = first * GROUPS + k
            sizes = sizes + (tl.load(steps + cell * channels + places, inside, 0.), )
            for s in tl.static_range(STATES):
                factor = proj + cell * parameters + rank + s
                entry = ((image * GROUPS + k) * chunks + chunk) * STATES + s
                Bs = Bs + (tl.load(factor + rows, valid, 0.), )
                Cs = Cs + (tl.load(factor + STATES + rows, valid, 0.), )
                entering = entering + (tl.load(start + entry * channels + channel, there, 0.), )
        values = values.to(tl.float32)
        output = output.to(tl.float32) + values * weight[None, :]
        for turn in tl.static_range(2 if PAIRED else 1):
            step = sizes[turn]
            driven = step * values
            for s in tl.static_range(STATES):
                decays = split_rows(tl.exp2(step * rates[turn * STATES + s][None, :]), turn == 1, T, BLOCK)
                drive = driven * Bs[turn * STATES + s].to(tl.float32)[:, None]
                drives = split_rows(drive, turn == 1, T, BLOCK)
                state = entering[turn * STATES + s]
                states = ()
                for i in tl.static_range(T):
                    state = decays[i] * state + drives[i]
                    states = states + (state, )
                weights = Cs[turn * STATES + s].to(tl.float32)
                output += join_rows(states, turn == 1, T, BLOCK) * weights[:, None]
        if final == 1:
            tl.store(y + plane + offsets, output, inside)
        else:
            tl.store(rows_y + plane + offsets, output, inside)
