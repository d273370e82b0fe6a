"""What the Triton kernels of the selective scan share: sequences cut into short chunks that all run at once.

A channel of a scan is one scalar recurrence per state, h[l] = exp(step[l] * A) * h[l-1] + step[l] * B[l] * x[l]. The
sequence is cut into chunks of T positions, and four kernels work on them::

    steps_kernel    the step sizes, once: the products with the low rank on tensor cores, and softplus
    local_kernel    every chunk alone, from a state of 0: its last state and the sum of its steps
    carry_kernel    from chunk to chunk: the true state before each chunk (few values, T times fewer than x)
    forward_kernel  every chunk again, from its true state: the output

The backward is the same with the adjoint running from the end, then `backward_kernel`, `rank_kernel` for what the
gradients of the step sizes become in their low rank, and `finish_kernel`, which adds up what programs have left in
parts. A program of the scan is one warp with a chunk as a tile
(T, BLOCK) in its registers, channels across the threads. Only the recurrence itself runs row by row, so that the scan
needs neither shuffles nor barriers, and nothing is ever added atomically: two runs give the same bits.

Few programs fit on a processor, so that a wait for the memory is not hidden by others: a program loads all that a chunk
needs before it works on it, and where a tile follows another, that of the next one too.

All tensors are channels-last: x (N, L, channels), proj (N, L, K, R + 2S), with K groups. A *paired* scan is that of an
image: K = 4, and a program runs directions k and k + 2, which visit the same pixels in opposite orders, over the same
pixels that it has loaded once; the rows are launched before the columns, which add to what the rows have written.
"""
import triton
import triton.language as tl

# Arguments that change from call to call; a kernel is not compiled again for each of their values. The number of
# channels comes in units of UNIT, a constant, by which a kernel knows how many are loaded at once. It is 2 at most in
# the scan: rows of 32 threads then make a tile, and a thread holds whole columns, along which the recurrence runs.
SIZES = ['length', 'height', 'width', 'chunks', 'group_size', 'images', 'channels', 'rank', 'columns', 'final',
         'backward', 'positions', 'tiles', 'blocks', 'programs', 'rank_programs']
# Rows are split off a tile by halves, at most so often: T <= 32.
_HALVINGS = tl.constexpr(5)
# tl.exp2 is one instruction, tl.exp also looks for results too small for it.
LOG2_E = tl.constexpr(1.4426950408889634)


@triton.jit
def softplus(z):
    """log(1 + exp(z)) with a small relative error everywhere."""
    e = tl.exp2(tl.abs(z) * -LOG2_E)
    # log(1 + e) / e on [0, 1] by Chebyshev interpolation: no division, and the largest error is 3e-8.
    series = 0.00512610212
    series = series * e - 0.0290740646
    series = series * e + 0.0775160866
    series = series * e - 0.136022476
    series = series * e + 0.190768807
    series = series * e - 0.24835399
    series = series * e + 0.333181217
    series = series * e - 0.49999445
    series = series * e + 0.999999966
    return tl.maximum(z, 0.) + e * series


@triton.jit
def slope_of(steps):
    """The slope of softplus where its value is `steps`: 1 - exp(-steps), as a series where that would cancel."""
    # The first term left out is 5e-7 of the sum at 0.2, and 1 - exp(-0.2) loses as much.
    series = 1 - steps * (1 / 2 - steps * (1 / 6 - steps * (1 / 24 - steps * (1 / 120))))
    return tl.where(steps < 0.2, steps * series, 1 - tl.exp2(steps * -LOG2_E))


@triton.jit
def _halves(x):
    """x as a sum of two numbers: the first has the 11 bits that TF32 keeps, the second what is left of x."""
    high = (x.to(tl.int32, bitcast=True) & -8192).to(tl.float32, bitcast=True)
    return high, x - high


@triton.jit
def product(left, right, total, PRECISION: tl.constexpr):
    """left @ right + total by tensor cores in float32.

    Args:
        PRECISION: 'ieee'; 'tf32x3', which keeps float32's digits by three products in TF32; 'tf32x2', the same where
            left is exact in TF32; 'tf32'.
    """
    if PRECISION == 'tf32x3' or PRECISION == 'tf32x2':
        right_high, right_low = _halves(right)
        if PRECISION == 'tf32x3':
            left_high, left_low = _halves(left)
            total = tl.dot(left_low, right_high, total, input_precision='tf32')
        else:
            left_high = left
        total = tl.dot(left_high, right_low, total, input_precision='tf32')
        total = tl.dot(left_high, right_high, total, input_precision='tf32')
    else:
        total = tl.dot(left, right, total, input_precision=PRECISION)
    return total


@triton.jit
def split_rows(tile, REVERSED: tl.constexpr, T: tl.constexpr, BLOCK: tl.constexpr):
    """The T rows of a tile, from the last to the first if REVERSED; free, since a thread holds all of a column."""
    parts = (tl.trans(tile), )
    for level in tl.static_range(_HALVINGS):
        if 2**level < T:
            halves = ()
            for i in tl.static_range(2**level):
                pair = tl.reshape(parts[i], (BLOCK, 2, T // 2**(level + 1)))
                low, high = tl.split(tl.permute(pair, (0, 2, 1)))
                halves = halves + (low, high)
            parts = halves
    rows = ()
    for i in tl.static_range(T):
        row = tl.reshape(parts[i], (BLOCK, ))
        rows = (row, ) + rows if REVERSED else rows + (row, )
    return rows


@triton.jit
def join_rows(rows, REVERSED: tl.constexpr, T: tl.constexpr, BLOCK: tl.constexpr):
    """The inverse of `split_rows`."""
    parts = ()
    for i in tl.static_range(T):
        part = tl.reshape(rows[i], (BLOCK, 1))
        parts = (part, ) + parts if REVERSED else parts + (part, )
    for level in tl.static_range(_HALVINGS):
        if 2**level < T:
            wholes = ()
            for i in tl.static_range(T // 2**(level + 1)):
                pair = tl.permute(tl.join(parts[2 * i], parts[2 * i + 1]), (0, 2, 1))
                wholes = wholes + (tl.reshape(pair, (BLOCK, 2**(level + 1))), )
            parts = wholes
    return tl.trans(parts[0])


@triton.jit
def direct_weight(D, group, channels, channel, mask, GROUPS: tl.constexpr, PAIRED: tl.constexpr):
    """The weight of the direct path: that of a group, or the sum over the directions if PAIRED."""
    weight = tl.load(D + group * channels + channel, mask, 0.).to(tl.float32)
    if PAIRED:
        for other in tl.static_range(1, GROUPS):
            weight += tl.load(D + other * channels + channel, mask, 0.).to(tl.float32)
    return weight


@triton.jit
def rates_of(A, scale: tl.constexpr, first_group, channels, channel, mask, PAIRED: tl.constexpr, STATES: tl.constexpr):
    """The rates of all directions and states of a program, times `scale`; state s of turn t is at t * STATES + s."""
    rates = ()
    for turn in tl.static_range(2 if PAIRED else 1):
        for s in tl.static_range(STATES):
            place = ((first_group + 2 * turn) * channels + channel) * STATES + s
            rates = rates + (tl.load(A + place, mask, 0.).to(tl.float32) * scale, )
    return rates


@triton.jit
def image_of(chunks, group_size):
    """The image that a program of the scan works on; the first axis of its grid are the groups of chunks of each."""
    return (tl.program_id(0) // tl.cdiv(chunks, group_size)).to(tl.int64)


@triton.jit
def chunk_of(turn, group_size, columns, length, height, width, chunks, WHOLE: tl.constexpr, T: tl.constexpr):
    """A chunk of this program's group, and where its T pixels are.

    Args:
        WHOLE: whether every chunk lies within one row and within one column of the image: its pixels are equally far
            apart then, and one position decides for all.

    Returns:
        Its number, whether its positions exist, the first pixel, and how far the others are from that.
    """
    chunk = tl.program_id(0) % tl.cdiv(chunks, group_size) * group_size + turn
    position = tl.arange(0, T)
    place = chunk * T if WHOLE else chunk * T + position
    pixel = tl.where(columns == 1, (place % height) * width + place // height, place)
    valid = position * 0 + chunk < chunks if WHOLE else place < length
    first = pixel if WHOLE else 0
    others = position * tl.where(columns == 1, width, 1) if WHOLE else pixel
    return chunk, valid, first, others
