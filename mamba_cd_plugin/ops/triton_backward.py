"""Triton kernel of the gradients of the selective scan; `triton_parts` says how it fits in."""
import triton
import triton.language as tl

from .triton_parts import SIZES, flip, load_channels, load_steps, places, scaled, zeros


@triton.jit
def _add_to(pointer, values, mask, first):
    """Add to a vector that this program alone writes; the first time there is nothing there yet."""
    if first:
        tl.store(pointer, values, mask)
    else:
        tl.store(pointer, tl.load(pointer, mask, 0.) + values, mask)


@triton.jit
def _backward_direction(x, grad_y, proj, grad_proj, rows, valid, steps, slopes, A, start, incoming, grad_A, mask,
                        first, channels, channel, rank, STATES: tl.constexpr, T: tl.constexpr,
                        BLOCK: tl.constexpr):
    """Gradients of x and of the steps before softplus; stores those of B, C and A. Tuples as in the forward."""
    grad_drive = zeros(T, BLOCK)
    grad_step = zeros(T, BLOCK)
    for s in tl.static_range(STATES):
        rate = tl.load(A + s * channels + channel, mask, 0.)
        state = tl.load(start + s * channels + channel, mask, 0.)
        decayed = ()
        for i in tl.static_range(T):
            B = tl.load(proj + rows[i] + rank + s, valid[i], 0.).to(tl.float32)
            before = tl.exp(steps[i] * rate) * state
            state = before + steps[i] * x[i] * B
            decayed = decayed + (before, )
            tl.store(grad_proj + rows[i] + rank + STATES + s, tl.sum(grad_y[i] * state), valid[i])
        adjoint = tl.load(incoming + s * channels + channel, mask, 0.)
        sum_A = tl.zeros_like(rate)
        new_drive = ()
        new_step = ()
        for i in tl.static_range(T):
            B = tl.load(proj + rows[T - 1 - i] + rank + s, valid[T - 1 - i], 0.).to(tl.float32)
            C = tl.load(proj + rows[T - 1 - i] + rank + STATES + s, valid[T - 1 - i], 0.).to(tl.float32)
            step = steps[T - 1 - i]
            grad_state = grad_y[T - 1 - i] * C + adjoint
            adjoint = tl.exp(step * rate) * grad_state
            grad_exponent = grad_state * decayed[T - 1 - i]
            sum_A += grad_exponent * step
            new_step = (grad_step[T - 1 - i] + grad_exponent * rate, ) + new_step
            new_drive = (grad_drive[T - 1 - i] + grad_state * B, ) + new_drive
            grad_B = tl.sum(grad_state * step * x[T - 1 - i])
            tl.store(grad_proj + rows[T - 1 - i] + rank + s, grad_B, valid[T - 1 - i])
        grad_step = new_step
        grad_drive = new_drive
        _add_to(grad_A + s * channels + channel, sum_A, mask, first)
    grad_x = ()
    grad_raw = ()
    for i in tl.static_range(T):
        grad_x = grad_x + (grad_drive[i] * steps[i], )
        grad_raw = grad_raw + ((grad_step[i] + grad_drive[i] * x[i]) * slopes[i], )
    return grad_x, grad_raw


@triton.jit(do_not_specialize=SIZES)
def backward_kernel(grad_y, x, proj, delta, weight, bias, A, D, start, incoming, before, grad_x, grad_proj, grad_delta,
                    sums, images, length, height, width, chunks, group_size, channels, rank, GROUPS: tl.constexpr,
                    LOW_RANK: tl.constexpr, STATES: tl.constexpr, SOFTPLUS: tl.constexpr, PAIRED: tl.constexpr,
                    COLUMNS: tl.constexpr, T: tl.constexpr, BLOCK: tl.constexpr):
    """All gradients. Grid: (N * ceil(chunks / group_size), blocks of channels, 1 if PAIRED else K).

    A program runs `group_size` chunks one after the other. Sums over the positions go to sums (programs of the first
    axis, K, R + S + 2, C): the rows are weight, bias, A and D; sums over the channels go to grad_proj (blocks of
    channels, N, L, K, R + 2S). Both are added up afterwards. grad_x with COLUMNS: as y in the forward.
    """
    groups_of_chunks = tl.cdiv(chunks, group_size)
    image = (tl.program_id(0) // groups_of_chunks).to(tl.int64)
    first_group = 1 if COLUMNS else tl.program_id(2)
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
        valid, inside, pixels = places(chunk * T, COLUMNS, length, height, width, channels, channel, T)
        chunk = tl.minimum(chunk, chunks - 1)  # behind the end nothing is valid, but the states must be readable
        rows = scaled(pixels, GROUPS * parameters, T)
        offsets = ()
        for i in tl.static_range(T):
            offsets = offsets + (pixels[i] * spread + shift, )
        values = load_channels(x + plane, offsets, inside, T)
        outer = load_channels(grad_y + plane, offsets, inside, T)
        if COLUMNS:
            total = load_channels(before + plane, offsets, inside, T)
        else:
            total = scaled(outer, tl.load(D + shift, mask, 0.), T)
            sum_D = outer[0] * values[0]
            for i in tl.static_range(1, T):
                sum_D += outer[i] * values[i]
            _add_to(sums + (first_group * lines + lines - 1) * channels + channel, sum_D, mask, first)
        for turn in tl.static_range(2 if PAIRED else 1):
            k = first_group + 2 * turn
            row = image * length * GROUPS * parameters + k * parameters
            sums_k = sums + k * lines * channels
            factors = weight + k * rank * channels
            steps, slopes = load_steps(proj + row, rows, delta + plane, offsets, factors, bias + k * channels, valid,
                                        inside, mask, channels, channel, rank, LOW_RANK, SOFTPLUS, T)
            cell = ((image * GROUPS + k) * chunks + chunk) * STATES * channels
            rates, sums_A = A + k * STATES * channels, sums_k + (rank + 1) * channels
            if turn == 0:
                part, grad_raw = _backward_direction(values, outer, proj + row, grad_proj + row, rows, valid, steps,
                                                     slopes, rates, start + cell, incoming + cell, sums_A, mask, first,
                                                     channels, channel, rank, STATES, T, BLOCK)
            else:
                part, grad_raw = _backward_direction(flip(values, T), flip(outer, T), proj + row, grad_proj + row,
                                                     flip(rows, T), flip(valid, T), flip(steps, T),
                                                     flip(slopes, T), rates, start + cell, incoming + cell, sums_A,
                                                     mask, first, channels, channel, rank, STATES, T, BLOCK)
                part, grad_raw = flip(part, T), flip(grad_raw, T)
            added = ()
            sum_bias = grad_raw[0]
            for i in tl.static_range(T):
                added = added + (total[i] + part[i], )
                if i > 0:
                    sum_bias += grad_raw[i]
                if not LOW_RANK:
                    tl.store(grad_delta + plane + offsets[i], grad_raw[i], inside[i])
            total = added
            _add_to(sums_k + rank * channels + channel, sum_bias, mask, first)
            for r in range(rank):
                factor = tl.load(factors + r * channels + channel, mask, 0.)
                sum_weight = tl.zeros_like(factor)
                for i in tl.static_range(T):
                    low_rank = tl.load(proj + row + rows[i] + r, valid[i], 0.).to(tl.float32)
                    sum_weight += grad_raw[i] * low_rank
                    tl.store(grad_proj + row + rows[i] + r, tl.sum(grad_raw[i] * factor), valid[i])
                _add_to(sums_k + r * channels + channel, sum_weight, mask, first)
        for i in tl.static_range(T):
            tl.store(grad_x + plane + offsets[i], total[i], inside[i])
