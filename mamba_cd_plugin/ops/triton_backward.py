"""Triton kernels of the gradients of the selective scan; `triton_parts` says how they fit in."""
import triton
import triton.language as tl

from .triton_parts import LOG2_E, SIZES, chunk_of, direct_weight, image_of, join_rows, slope_of, split_rows


@triton.jit
def _add_to(pointer, values, mask, first):
    """Add to a vector that this program alone writes; the first time there is nothing there yet."""
    if first:
        tl.store(pointer, values, mask)
    else:
        tl.store(pointer, tl.load(pointer, mask, 0.) + values, mask)


@triton.jit
def _one_direction(values, outer, proj, parts, rows, valid, steps, A, start, incoming, grad_A, mask,
                   first, channels, channel, rank, REVERSED: tl.constexpr, STATES: tl.constexpr, T: tl.constexpr,
                   BLOCK: tl.constexpr):
    """Gradients of the drive step * x and of the exponents' steps, two tiles; stores those of B, C and A."""
    driven = steps * values
    grad_drive = tl.zeros_like(steps)
    grad_step = tl.zeros_like(steps)
    for s in tl.static_range(STATES):
        rate = tl.load(A + channel * STATES + s, mask, 0.).to(tl.float32)
        B = tl.load(proj + rows + rank + s, valid, 0.).to(tl.float32)
        C = tl.load(proj + rows + rank + STATES + s, valid, 0.).to(tl.float32)
        drive = driven * B[:, None]
        decays = split_rows(tl.exp2(steps * (rate * LOG2_E)[None, :]), REVERSED, T, BLOCK)
        drives = split_rows(drive, REVERSED, T, BLOCK)
        state = tl.load(start + s * channels + channel, mask, 0.)
        decayed = ()
        for i in tl.static_range(T):
            before = decays[i] * state
            state = before + drives[i]
            decayed = decayed + (before, )
        before = join_rows(decayed, REVERSED, T, BLOCK)
        tl.store(parts + rows + rank + STATES + s, tl.sum(outer * (before + drive), 1), valid)
        # The adjoint runs the other way: flipped rows, not a reversed scan.
        weights = split_rows(outer * C[:, None], not REVERSED, T, BLOCK)
        adjoint = tl.load(incoming + s * channels + channel, mask, 0.)
        adjoints = ()
        for i in tl.static_range(T):
            grad_state = weights[i] + adjoint
            adjoint = decays[T - 1 - i] * grad_state
            adjoints = adjoints + (grad_state, )
        grad_states = join_rows(adjoints, not REVERSED, T, BLOCK)
        grad_exponent = grad_states * before
        _add_to(grad_A + s * channels + channel, tl.sum(grad_exponent * steps, 0), mask, first)
        tl.store(parts + rows + rank + s, tl.sum(grad_states * driven, 1), valid)
        grad_step += grad_exponent * rate[None, :]
        grad_drive += grad_states * B[:, None]
    return grad_drive, grad_step


@triton.jit(do_not_specialize=SIZES)
def backward_kernel(grad_y, x, proj, steps, A, D, start, incoming, rows_x, grad_x, parts, grad_raw, sums, images,
                    length, height, width, chunks, group_size, columns, final, channels, rank, GROUPS: tl.constexpr,
                    STATES: tl.constexpr, SOFTPLUS: tl.constexpr, PAIRED: tl.constexpr, UNIT: tl.constexpr,
                    T: tl.constexpr, BLOCK: tl.constexpr):
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
    plane = image * length * spread
    steps += image * length * GROUPS * channels
    grad_raw += image * length * GROUPS * channels
    proj += image * length * GROUPS * parameters
    parts += (tl.program_id(1).to(tl.int64) * images + image) * length * GROUPS * parameters
    sums += tl.program_id(0).to(tl.int64) * GROUPS * lines * channels
    for turn_of_chunk in range(group_size):
        first = turn_of_chunk == 0
        chunk, valid, pixels = chunk_of(turn_of_chunk, group_size, columns, length, height, width, chunks, T)
        chunk = tl.minimum(chunk, chunks - 1)  # behind the end nothing is valid, but the states must be readable
        inside = valid[:, None] & mask[None, :]
        offsets = pixels[:, None] * spread + shift[None, :]
        values = tl.load(x + plane + offsets, inside, 0.).to(tl.float32)
        outer = tl.load(grad_y + plane + offsets, inside, 0.).to(tl.float32)
        if columns == 1:
            total = tl.load(rows_x + plane + offsets, inside, 0.).to(tl.float32)
        else:
            total = outer * direct_weight(D, first_group, channels, channel, mask, GROUPS, PAIRED)[None, :]
            _add_to(sums + (first_group * lines + lines - 1) * channels + channel, tl.sum(outer * values, 0), mask,
                    first)
        for turn in tl.static_range(2 if PAIRED else 1):
            k = first_group + 2 * turn
            cells = pixels * GROUPS + k
            sums_k = sums + k * lines * channels
            places_of_steps = cells[:, None] * channels + channel[None, :]
            step = tl.load(steps + places_of_steps, inside, 0.)
            cell = ((image * GROUPS + k) * chunks + chunk) * STATES * channels
            grad_drive, grad_step = _one_direction(values, outer, proj, parts, cells * parameters, valid, step,
                                                   A + k * STATES * channels, start + cell, incoming + cell,
                                                   sums_k + channels, mask, first, channels, channel, rank, turn == 1,
                                                   STATES, T, BLOCK)
            total += grad_drive * step
            raw = grad_step + grad_drive * values
            if SOFTPLUS:
                raw *= slope_of(step)
            _add_to(sums_k + channel, tl.sum(raw, 0), mask, first)
            tl.store(grad_raw + places_of_steps, raw, inside)
        if final == 1:
            tl.store(grad_x + plane + offsets, total, inside)
        else:
            tl.store(rows_x + plane + offsets, total, inside)


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
    cell = start.to(tl.int64) * GROUPS + k
    proj += cell * parameters
    parts += tl.program_id(1).to(tl.int64) * positions * GROUPS * parameters + cell * parameters
    grad_raw += cell * channels
    factors = tl.load(weight + (k * channels + channel)[:, None] * rank + r[None, :], mask[:, None] & used[None, :],
                      0.).to(tl.float32)
    sums = tl.zeros((RANKS, BLOCK), tl.float32)
    for tile in range(tiles):
        place = tile * PLACES + tl.arange(0, PLACES)
        valid = place < positions - start
        rows = place * GROUPS * parameters
        low = tl.load(proj + rows[None, :] + r[:, None], used[:, None] & valid[None, :], 0.).to(tl.float32)
        raw = tl.load(grad_raw + (place * GROUPS * channels)[:, None] + channel[None, :],
                      valid[:, None] & mask[None, :], 0.)
        sums = tl.dot(low, raw, sums, input_precision=PRECISION)
        tl.store(parts + rows[:, None] + r[None, :], tl.dot(raw, factors, input_precision=PRECISION),
                 valid[:, None] & used[None, :])
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
