"""Triton kernels of the selective scan: sequences cut into short chunks that all run at once.

A channel of a scan is one scalar recurrence per state, h[l] = exp(step[l] * A) * h[l-1] + step[l] * B[l] * x[l]. The
sequence is cut into chunks of T positions, and three kernels work on them::

    local_kernel    every chunk alone, from a state of 0: its last state and the sum of its steps
    carry_kernel    from chunk to chunk: the true state before each chunk (few values, T times fewer than x)
    forward_kernel  every chunk again, from its true state: the output

The backward is the same with the adjoint running from the end, then `backward_kernel`. All values of a chunk are held
in registers: the T positions are unrolled, in tuples of vectors over the channels, which are contiguous in memory. So
the scan needs neither shuffles nor barriers, and nothing is ever added atomically: two runs give the same bits.

All tensors are channels-last: x (N, L, channels), proj (N, L, K, R + 2S), with K groups. A *paired* scan is that of an
image: K = 4, and a program runs directions k and k + 2, which visit the same pixels in opposite orders, over the same
pixels that it has loaded once; the rows are launched before the columns, which add to what the rows have written.
"""
import triton
import triton.language as tl

# Names of sizes that change from call to call; a kernel is not compiled again for each of their values.
SIZES = ['length', 'height', 'width', 'chunks', 'group_size', 'images', 'rank']


@triton.jit
def softplus(z):
    """log(1 + exp(z)) with a small relative error everywhere, and exp(-|z|)."""
    e = tl.exp(-tl.abs(z))
    w = e / (2 + e)  # log(1 + e) = 2 atanh(w), |w| <= 1/3: the first term left out is below 1e-8
    q = w * w
    series = 1 + q * (1 / 3 + q * (1 / 5 + q * (1 / 7 + q * (1 / 9 + q * (1 / 11 + q * (1 / 13))))))
    return tl.maximum(z, 0.) + 2 * w * series, e


@triton.jit
def flip(values, T: tl.constexpr):
    """A tuple from its end to its start; costs nothing, the values stay in their registers."""
    flipped = ()
    for i in tl.static_range(T):
        flipped = (values[i], ) + flipped
    return flipped


@triton.jit
def zeros(T: tl.constexpr, BLOCK: tl.constexpr):
    values = ()
    for _ in tl.static_range(T):
        values = values + (tl.zeros((BLOCK, ), tl.float32), )
    return values


@triton.jit
def places(first, columns, length, height, width, channels, channel, T: tl.constexpr):
    """The T positions of a chunk: whether they exist, with which channels, and which pixel they are."""
    valid = ()
    inside = ()
    pixels = ()
    for i in tl.static_range(T):
        place = first + i
        valid = valid + (place < length, )
        inside = inside + (channel < tl.where(place < length, channels, 0), )
        pixels = pixels + (tl.where(columns, (place % height) * width + place // height, place), )
    return valid, inside, pixels


@triton.jit
def scaled(values, factor, T: tl.constexpr):
    scaled = ()
    for i in tl.static_range(T):
        scaled = scaled + (values[i] * factor, )
    return scaled


@triton.jit
def load_channels(pointer, offsets, inside, T: tl.constexpr):
    """Vectors over the channels at T positions; 0 where a position does not exist."""
    values = ()
    for i in tl.static_range(T):
        values = values + (tl.load(pointer + offsets[i], inside[i], 0.).to(tl.float32), )
    return values


@triton.jit
def load_steps(proj, rows, delta, offsets, weight, bias, valid, inside, mask, channels, channel, rank,
                LOW_RANK: tl.constexpr, SOFTPLUS: tl.constexpr, T: tl.constexpr):
    """Step sizes at T positions, 0 where one does not exist, and their slopes by the value before softplus.

    With a rank the value is weight @ proj[:rank] + bias, else it is read from delta.
    """
    shift = tl.load(bias + channel, mask, 0.)
    raw = ()
    for i in tl.static_range(T):
        if not LOW_RANK:
            raw = raw + (shift + tl.load(delta + offsets[i], inside[i], 0.).to(tl.float32), )
        else:
            raw = raw + (shift, )
    for r in range(rank):
        factor = tl.load(weight + r * channels + channel, mask, 0.)
        total = ()
        for i in tl.static_range(T):
            total = total + (raw[i] + factor * tl.load(proj + rows[i] + r, valid[i], 0.).to(tl.float32), )
        raw = total
    steps = ()
    slopes = ()
    for i in tl.static_range(T):
        if SOFTPLUS:
            step, e = softplus(raw[i])
            slope = tl.where(raw[i] > 0, 1., e) / (1 + e)
        else:
            step, slope = raw[i], tl.full(raw[i].shape, 1., tl.float32)
        steps = steps + (tl.where(valid[i], step, 0.), )
        slopes = slopes + (tl.where(valid[i], slope, 0.), )
    return steps, slopes
