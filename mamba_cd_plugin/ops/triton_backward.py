"""Triton kernels of the gradients of the selective scan; `triton_parts` says how they fit in."""
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
    slope_of,
    split_rows,
)


@triton.jit
def _one_state(values, outer, step, rate, B, C, state, adjoint, REVERSED: tl.constexpr, T: tl.constexpr,
               BLOCK: tl.constexpr):
    """Gradients of a state in one direction: of the drive step * x, of the exponents, of B and of C."""
    driven = step * values
    drive = driven * B[:, None]
    decays = split_rows(tl.exp2(step * (rate * LOG2_E)[None, :]), REVERSED, T, BLOCK)
    drives = split_rows(drive, REVERSED, T, BLOCK)
    decayed = ()
    for i in tl.static_range(T):
        before = decays[i] * state
        state = before + drives[i]
        decayed = decayed + (before, )
    before = join_rows(decayed, REVERSED, T, BLOCK)
    # The adjoint runs the other way: flipped rows, not a reversed scan.
    weights = split_rows(outer * C[:, None], not REVERSED, T, BLOCK)
    adjoints = ()
    for i in tl.static_range(T):
        grad_state = weights[i] + adjoint
        adjoint = decays[T - 1 - i] * grad_state
        adjoints = adjoints + (grad_state, )
    grad_states = join_rows(adjoints, not REVERSED, T, BLOCK)
    return (grad_states * B[:, None], grad_states * before, tl.sum(grad_states * driven, 1),
            tl.sum(outer * (before + drive), 1))


@triton.jit(do_not_specialize=SIZES)
def backward_kernel(grad_y, x, proj, steps, A, D, start, incoming, rows_x, grad_x, parts, grad_raw, sums, images,
                    length, height, width, chunks, group_size, columns, final, channels, rank, GROUPS: tl.constexpr,
                    STATES: tl.constexpr, SOFTPLUS: tl.constexpr, PAIRED: tl.constexpr, UNIT: tl.constexpr,
                    WHOLE: tl.constexpr, T: tl.constexpr, BLOCK: tl.constexpr):
    """All gradients. Grid: (N * ceil(chunks / group_size), blocks of channels, 1 if PAIRED else K).

    A program runs `group_size` chunks one after the other. Sums over the positions go to sums (programs of the first
    axis, K, S + 2, C): the rows are bias, A and D; sums over the channels, the gradients of B and C, go to parts
    (blocks of channels, N, L, K, R + 2S), behind the first R. Both are added up afterwards. The gradients of the step
    sizes before softplus go to grad_raw (N, L, K, C). rows_x and grad_x: as rows_y and y in the forward.
    """
    channels = channels * UNIT
    image = image_of(chunks, group_size)
    first_group = tl.program_id(2) + columns
    channel = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    mask = channel < channels
    parameters = rank + 2 * STATES
    lines = STATES + 2
    spread = channels if PAIRED else GROUPS * channels
    shift = channel if PAIRED else first_group * channels + channel
    steps += image * length * GROUPS * channels
    grad_raw += image * length * GROUPS * channels
    proj += image * length * GROUPS * parameters
    parts += (tl.program_id(1).to(tl.int64) * images + image) * length * GROUPS * parameters
    weight = direct_weight(D, first_group, channels, channel, mask, GROUPS, PAIRED)
    weight = tl.where(columns == 1, 0., weight)  # rows_x has the direct path
    by_rows = channel < channels * columns
    zero = tl.zeros((BLOCK, ), tl.float32)
    sum_D = zero
    rates = rates_of(A, 1., first_group, channels, channel, mask, PAIRED, STATES)
    sums_bias, sums_A = (), ()
    for _ in tl.static_range(2 if PAIRED else 1):
        sums_bias = sums_bias + (zero, )
    for _ in tl.static_range((2 if PAIRED else 1) * STATES):
        sums_A = sums_A + (zero, )
    for turn_of_chunk in range(group_size):
        chunk, valid, first, pixels = chunk_of(turn_of_chunk, group_size, columns, length, height, width, chunks,
                                               WHOLE, T)
        chunk = tl.minimum(chunk, chunks - 1)  # behind the end nothing is valid, but the states must be readable
        inside = valid[:, None] & mask[None, :]
        plane = image * length * spread + first * spread
        offsets = (pixels * spread)[:, None] + shift[None, :]
        places = (pixels * (GROUPS * channels))[:, None] + channel[None, :]
        rows = pixels * (GROUPS * parameters)
        # As in the forward, all loads stand before the first store.
        values = tl.load(x + plane + offsets, inside, 0.)
        outer = tl.load(grad_y + plane + offsets, inside, 0.)
        total = tl.load(rows_x + plane + offsets, valid[:, None] & by_rows[None, :], 0.)
        sizes, Bs, Cs, states, adjoints = (), (), (), (), ()
        for turn in tl.static_range(2 if PAIRED else 1):
            k = first_group + 2 * turn
            cell = first * GROUPS + k
            sizes = sizes + (tl.load(steps + cell * channels + places, inside, 0.), )
            for s in tl.static_range(STATES):
                factor = proj + cell * parameters + rank + s
                entry = (((image * GROUPS + k) * chunks + chunk) * STATES + s) * channels + channel
                Bs = Bs + (tl.load(factor + rows, valid, 0.), )
                Cs = Cs + (tl.load(factor + STATES + rows, valid, 0.), )
                states = states + (tl.load(start + entry, mask, 0.), )
                adjoints = adjoints + (tl.load(incoming + entry, mask, 0.), )
        values = values.to(tl.float32)
        outer = outer.to(tl.float32)
        total += outer * weight[None, :]
        sum_D += tl.sum(outer * values, 0)
        biases, exponents = (), ()
        for turn in tl.static_range(2 if PAIRED else 1):
            step = sizes[turn]
            cell = first * GROUPS + first_group + 2 * turn
            grad_drive = tl.zeros_like(step)
            grad_step = tl.zeros_like(step)
            for s in tl.static_range(STATES):
                rate = rates[turn * STATES + s]
                of_drive, of_exponent, of_B, of_C = _one_state(
                    values, outer, step, rate, Bs[turn * STATES + s].to(tl.float32),
                    Cs[turn * STATES + s].to(tl.float32), states[turn * STATES + s], adjoints[turn * STATES + s],
                    turn == 1, T, BLOCK)
                part = parts + cell * parameters + rank + s + rows
                tl.store(part, of_B, valid)
                tl.store(part + STATES, of_C, valid)
                exponents = exponents + (sums_A[turn * STATES + s] + tl.sum(of_exponent * step, 0), )
                grad_step += of_exponent * rate[None, :]
                grad_drive += of_drive
            total += grad_drive * step
            raw = grad_step + grad_drive * values
            if SOFTPLUS:
                raw *= slope_of(step)
            biases = biases + (sums_bias[turn] + tl.sum(raw, 0), )
            tl.store(grad_raw + cell * channels + places, raw, inside)
        sums_A = exponents
        sums_bias = biases
        if final == 1:
            tl.store(grad_x + plane + offsets, total, inside)
        else:
            tl.store(rows_x + plane + offsets, total, inside)
    sums += tl.program_id(0).to(tl.int64) * GROUPS * lines * channels + channel
    for turn in tl.static_range(2 if PAIRED else 1):
        line = (first_group + 2 * turn) * lines
        tl.store(sums + line * channels, sums_bias[turn], mask)
        for s in tl.static_range(STATES):
            tl.store(sums + (line + 1 + s) * channels, sums_A[turn * STATES + s], mask)
    if columns == 0:
        tl.store(sums + (first_group * lines + lines - 1) * channels, sum_D, mask)


@triton.jit
def _low_and_raw(proj, grad_raw, place, valid, r, used, channel, mask, channels, parameters, GROUPS: tl.constexpr):
    low = tl.load(proj + (place * (GROUPS * parameters))[None, :] + r[:, None], used[:, None] & valid[None, :], 0.)
    raw = tl.load(grad_raw + (place * (GROUPS * channels))[:, None] + channel[None, :],
                  valid[:, None] & mask[None, :], 0.)
    return low, raw


@triton.jit(do_not_specialize=SIZES)
def rank_kernel(grad_raw, proj, weight, parts, grad_weight, positions, channels, rank, tiles, GROUPS: tl.constexpr,
                RANKS: tl.constexpr, STATES: tl.constexpr, PRECISION: tl.constexpr, UNIT: tl.constexpr,
                PLACES: tl.constexpr, BLOCK: tl.constexpr):
    """Gradients of the two factors of the low rank. Grid: (groups of positions, blocks of channels, K).

    A program takes `tiles` times PLACES positions, one tile after the other, with the factors of its channels in
    registers. The gradients of proj[:rank] of its channels go to parts, beside those of B and C; those of weight, of
    all its positions, to grad_weight (groups of positions, K, R, C). Both are added up afterwards.
    """
    channels = channels * UNIT
    k = tl.program_id(2)
    channel = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    mask = channel < channels
    r = tl.arange(0, RANKS)
    used = r < rank
    parameters = rank + 2 * STATES
    # 64 bits for where the program starts, 32 for every place from there: offsets are most of the registers.
    start = tl.program_id(0) * tiles * PLACES
    count = tl.minimum(positions - start, tiles * PLACES)
    cell = start.to(tl.int64) * GROUPS + k
    proj += cell * parameters
    parts += tl.program_id(1).to(tl.int64) * positions * GROUPS * parameters + cell * parameters
    grad_raw += cell * channels
    factors = tl.load(weight + (k * channels + channel)[:, None] * rank + r[None, :], mask[:, None] & used[None, :],
                      0.).to(tl.float32)
    sums = tl.zeros((RANKS, BLOCK), tl.float32)
    place = tl.arange(0, PLACES)
    low, raw = _low_and_raw(proj, grad_raw, place, place < count, r, used, channel, mask, channels,
                            parameters, GROUPS)
    for _ in range(tiles):
        # Those of the next tile, while this one is worked on.
        ahead = place + PLACES
        next_low, next_raw = _low_and_raw(proj, grad_raw, ahead, ahead < count, r,
                                          used, channel, mask, channels, parameters, GROUPS)
        sums = product(low.to(tl.float32), raw, sums, PRECISION)
        of_low = product(raw, factors, tl.zeros((PLACES, RANKS), tl.float32), PRECISION)
        tl.store(parts + (place * (GROUPS * parameters))[:, None] + r[None, :], of_low,
                 (place < count)[:, None] & used[None, :])
        place, low, raw = ahead, next_low, next_raw
    grad_weight += (tl.program_id(0).to(tl.int64) * GROUPS + k) * rank * channels
    tl.store(grad_weight + r[:, None] * channels + channel[None, :], sums, used[:, None] & mask[None, :])


@triton.jit
def _sum_of_rows(pointer, rows, width, column, mask, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """Sums of some columns of a matrix, ROWS rows at once, and always in the same order."""
    total = tl.zeros((ROWS, COLUMNS), tl.float32)
    for first in range(0, rows, ROWS):
        row = first + tl.arange(0, ROWS)
        total += tl.load(pointer + row.to(tl.int64)[:, None] * width + column[None, :],
                         (row < rows)[:, None] & mask[None, :], 0.)
    return tl.sum(total, 0)


@triton.jit
def _finish_vectors(sums, grad_bias, grad_A, grad_D, task, programs, channels, GROUPS: tl.constexpr,
                    STATES: tl.constexpr, PAIRED: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """The gradients of bias (K, C), A (K, C, S) and D (K, C): COLUMNS columns of sums."""
    lines = STATES + 2
    width = GROUPS * lines * channels
    column = task * COLUMNS + tl.arange(0, COLUMNS)
    inside = column < width
    total = _sum_of_rows(sums, programs, width, column, inside, ROWS, COLUMNS)
    k, line, channel = column // (lines * channels), column // channels % lines, column % channels
    place = k * channels + channel
    tl.store(grad_bias + place, total, inside & (line == 0))
    tl.store(grad_A + place * STATES + line - 1, total, inside & (line > 0) & (line <= STATES))
    last = inside & (line == lines - 1)
    if PAIRED:  # only that of the first direction is there: it is that of all
        for other in tl.static_range(GROUPS):
            tl.store(grad_D + other * channels + channel, total, last & (k == 0))
    else:
        tl.store(grad_D + place, total, last)


@triton.jit
def _finish_weight(grad_weights, grad_weight, task, rank_programs, channels, rank, GROUPS: tl.constexpr,
                   ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """The gradient of weight, (K, C, R): COLUMNS columns of grad_weights."""
    width = GROUPS * rank * channels
    column = task * COLUMNS + tl.arange(0, COLUMNS)
    inside = column < width
    total = _sum_of_rows(grad_weights, rank_programs, width, column, inside, ROWS, COLUMNS)
    k, r, channel = column // (rank * channels), column // channels % rank, column % channels
    tl.store(grad_weight + (k * channels + channel) * rank + r, total, inside)


@triton.jit
def _finish_proj(parts, grad_proj, task, cells, blocks, CELLS: tl.constexpr):
    """CELLS numbers of the gradient of proj, which has `cells`: the sum over the blocks of channels."""
    cell = tl.cast(task, tl.int64) * CELLS + tl.arange(0, CELLS)
    total = tl.zeros((CELLS, ), tl.float32)
    for block in range(blocks):
        total += tl.load(parts + block * cells + cell, cell < cells, 0.)
    tl.store(grad_proj + cell, total, cell < cells)


@triton.jit(do_not_specialize=SIZES)
def finish_kernel(parts, grad_weights, sums, grad_proj, grad_weight, grad_bias, grad_A, grad_D, positions, blocks,
                  programs, rank_programs, channels, rank, GROUPS: tl.constexpr, STATES: tl.constexpr,
                  PAIRED: tl.constexpr, UNIT: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
                  WEIGHT_ROWS: tl.constexpr, WEIGHT_COLUMNS: tl.constexpr, CELLS: tl.constexpr):
    """Adds up what the programs have left, and stores the gradients in the layouts and dtypes of the inputs.

    Grid: (blocks of columns of sums + those of grad_weights + those of parts, ), the last left out where parts needs
    neither a sum nor a conversion.
    """
    channels = channels * UNIT
    of_sums = tl.cdiv(GROUPS * (STATES + 2) * channels, COLUMNS)
    of_weights = tl.cdiv(GROUPS * rank * channels, WEIGHT_COLUMNS)
    task = tl.program_id(0)
    if task < of_sums:
        _finish_vectors(sums, grad_bias, grad_A, grad_D, task, programs, channels, GROUPS, STATES, PAIRED, ROWS,
                        COLUMNS)
    elif task < of_sums + of_weights:
        _finish_weight(grad_weights, grad_weight, task - of_sums, rank_programs, channels, rank, GROUPS, WEIGHT_ROWS,
                       WEIGHT_COLUMNS)
    else:
        _finish_proj(parts, grad_proj, task - of_sums - of_weights,
                     tl.cast(positions, tl.int64) * GROUPS * (rank + 2 * STATES), blocks, CELLS)
