"""Triton kernel of the gradients of the selective scan; `triton_parts` says how it fits in."""
import triton
import triton.language as tl

from .triton_parts import SIZES, join_rows, load_steps, places, split_rows


@triton.jit
def _add_to(pointer, values, mask, first):
    """Add to a vector that this program alone writes; the first time there is nothing there yet."""
    if first:
        tl.store(pointer, values, mask)
    else:
        tl.store(pointer, tl.load(pointer, mask, 0.) + values, mask)


@triton.jit
def _one_direction(values, outer, proj, grad_proj, rows, valid, steps, A, start, incoming, grad_A, mask, first,
                   channels, channel, rank, REVERSED: tl.constexpr, STATES: tl.constexpr, T: tl.constexpr,
                   BLOCK: tl.constexpr):
    """Gradients of the drive step * x and of the exponents' steps, two tiles; stores those of B, C and A."""
    driven = steps * values
    grad_drive = tl.zeros_like(steps)
    grad_step = tl.zeros_like(steps)
    for s in tl.static_range(STATES):
        rate = tl.load(A + s * channels + channel, mask, 0.)
        B = tl.load(proj + rows + rank + s, valid, 0.).to(tl.float32)
        C = tl.load(proj + rows + rank + STATES + s, valid, 0.).to(tl.float32)
        drive = driven * B[:, None]
        decays = split_rows(tl.exp(steps * rate[None, :]), REVERSED, T, BLOCK)
        drives = split_rows(drive, REVERSED, T, BLOCK)
        state = tl.load(start + s * channels + channel, mask, 0.)
        decayed = ()
        for i in tl.static_range(T):
            before = decays[i] * state
            state = before + drives[i]
            decayed = decayed + (before, )
        before = join_rows(decayed, REVERSED, T, BLOCK)
        tl.store(grad_proj + rows + rank + STATES + s, tl.sum(outer * (before + drive), 1), valid)
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
        tl.store(grad_proj + rows + rank + s, tl.sum(grad_states * driven, 1), valid)
        grad_step += grad_exponent * rate[None, :]
        grad_drive += grad_states * B[:, None]
    return grad_drive, grad_step


@triton.jit(do_not_specialize=SIZES)
def backward_kernel(grad_y, x, proj, delta, weight, bias, A, D, start, incoming, rows_x, grad_x, grad_proj, grad_delta,
                    sums, images, length, height, width, chunks, group_size, columns, final, channels, rank,
                    GROUPS: tl.constexpr, LOW_RANK: tl.constexpr, STATES: tl.constexpr, SOFTPLUS: tl.constexpr,
                    PAIRED: tl.constexpr, T: tl.constexpr, BLOCK: tl.constexpr):
    """All gradients. Grid: (N * ceil(chunks / group_size), blocks of channels, 1 if PAIRED else K).

    A program runs `group_size` chunks one after the other. Sums over the positions go to sums (programs of the first
    axis, K, R + S + 2, C): the rows are weight, bias, A and D; sums over the channels go to grad_proj (blocks of
    channels, N, L, K, R + 2S). Both are added up afterwards. rows_x and grad_x: as rows_y and y in the forward.
    """
    groups_of_chunks = tl.cdiv(chunks, group_size)
    image = (tl.program_id(0) // groups_of_chunks).to(tl.int64)
    first_group = tl.program_id(2) + columns
    channel = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    mask = channel < channels
    parameters = rank + 2 * STATES
    lines = rank + STATES + 2
    spread = channels if PAIRED else GROUPS * channels
    shift = channel if PAIRED else first_group * channels + channel
    plane = image * length * spread
    grad_proj += tl.program_id(1).to(tl.int64) * images * length * GROUPS * parameters
    sums += tl.program_id(0).to(tl.int64) * GROUPS * lines * channels
    for turn_of_chunk in range(group_size):
        first = turn_of_chunk == 0
        chunk = tl.program_id(0) % groups_of_chunks * group_size + turn_of_chunk
        valid, pixels = places(chunk * T, columns, length, height, width, T)
        chunk = tl.minimum(chunk, chunks - 1)  # behind the end nothing is valid, but the states must be readable
        inside = valid[:, None] & mask[None, :]
        offsets = pixels[:, None] * spread + shift[None, :]
        rows = pixels * GROUPS * parameters
        values = tl.load(x + plane + offsets, inside, 0.).to(tl.float32)
        outer = tl.load(grad_y + plane + offsets, inside, 0.).to(tl.float32)
        if columns == 1:
            total = tl.load(rows_x + plane + offsets, inside, 0.)
        else:
            total = outer * tl.load(D + shift, mask, 0.)[None, :]
            _add_to(sums + (first_group * lines + lines - 1) * channels + channel, tl.sum(outer * values, 0), mask,
                    first)
        for turn in tl.static_range(2 if PAIRED else 1):
            k = first_group + 2 * turn
            row = image * length * GROUPS * parameters + k * parameters
            sums_k = sums + k * lines * channels
            factors = weight + k * rank * channels
            steps, slopes = load_steps(proj + row, rows, delta + plane, offsets, factors, bias + k * channels, valid,
                                       mask, channels, channel, rank, LOW_RANK, SOFTPLUS)
            cell = ((image * GROUPS + k) * chunks + chunk) * STATES * channels
            grad_drive, grad_step = _one_direction(values, outer, proj + row, grad_proj + row, rows, valid, steps,
                                                   A + k * STATES * channels, start + cell, incoming + cell,
                                                   sums_k + (rank + 1) * channels, mask, first, channels, channel,
                                                   rank, turn == 1, STATES, T, BLOCK)
            total += grad_drive * steps
            grad_raw = (grad_step + grad_drive * values) * slopes
            _add_to(sums_k + rank * channels + channel, tl.sum(grad_raw, 0), mask, first)
            if not LOW_RANK:
                tl.store(grad_delta + plane + offsets, grad_raw, inside)
            for r in range(rank):
                factor = tl.load(factors + r * channels + channel, mask, 0.)
                low_rank = tl.load(proj + row + rows + r, valid, 0.).to(tl.float32)
                _add_to(sums_k + r * channels + channel, tl.sum(grad_raw * low_rank[:, None], 0), mask, first)
                tl.store(grad_proj + row + rows + r, tl.sum(grad_raw * factor[None, :], 1), valid)
        if final == 1:
            tl.store(grad_x + plane + offsets, total, inside)
        else:
            tl.store(rows_x + plane + offsets, total, inside)
