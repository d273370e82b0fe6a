"""What the Triton kernels of the selective scan share: sequences cut into short chunks that all run at once.

A channel of a scan is one scalar recurrence per state, h[l] = exp(step[l] * A) * h[l-1] + step[l] * B[l] * x[l]. The
sequence is cut into chunks of T positions, and three kernels work on them::

    local_kernel    every chunk alone, from a state of 0: its last state and the sum of its steps
    carry_kernel    from chunk to chunk: the true state before each chunk (few values, T times fewer than x)
    forward_kernel  every chunk again, from its true state: the output

The backward is the same with the adjoint running from the end, then `backward_kernel`. A program is one warp with a
chunk as a tile (T, BLOCK) in its registers, channels across the threads. Only the recurrence itself runs row by row,
so that the scan needs neither shuffles nor barriers, and nothing is ever added atomically: two runs give the same bits.

All tensors are channels-last: x (N, L, channels), proj (N, L, K, R + 2S), with K groups. A *paired* scan is that of an
image: K = 4, and a program runs directions k and k + 2, which visit the same pixels in opposite orders, over the same
pixels that it has loaded once; the rows are launched before the columns, which add to what the rows have written.
"""
import triton
import triton.language as tl

# Arguments that change from call to call; a kernel is not compiled again for each of their values. The number of
# channels is among them although loads could be wider if it were known to be a multiple of 16: rows of 32 threads are
# coalesced as they are, and each thread then holds whole columns of a tile, along which the recurrence runs.
SIZES = ['length', 'height', 'width', 'chunks', 'group_size', 'images', 'channels', 'rank', 'columns', 'final',
         'backward']
# Rows are split off a tile by halves, at most so often: T <= 32.
_HALVINGS = tl.constexpr(5)


@triton.jit
def softplus(z):
    """log(1 + exp(z)) with a small relative error everywhere, and exp(-|z|)."""
    e = tl.exp(-tl.abs(z))
    w = e / (2 + e)  # log(1 + e) = 2 atanh(w), |w| <= 1/3: the first term left out is below 1e-8
    q = w * w
    series = 1 + q * (1 / 3 + q * (1 / 5 + q * (1 / 7 + q * (1 / 9 + q * (1 / 11 + q * (1 / 13))))))
    return tl.maximum(z, 0.) + 2 * w * series, e


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
def places(first, columns, length, height, width, T: tl.constexpr):
    """The T positions of a chunk: whether they exist, and which pixel they are."""
    place = first + tl.arange(0, T)
    return place < length, tl.where(columns == 1, (place % height) * width + place // height, place)


@triton.jit
def load_steps(proj, rows, delta, offsets, weight, bias, valid, mask, channels, channel, rank, LOW_RANK: tl.constexpr,
               SOFTPLUS: tl.constexpr):
    """A tile of step sizes, 0 where a position does not exist, and of their slopes by the value before softplus.

    With a rank the value is weight @ proj[:rank] + bias, else it is read from delta.
    """
    inside = valid[:, None] & mask[None, :]
    raw = tl.zeros_like(inside.to(tl.float32)) + tl.load(bias + channel, mask, 0.)[None, :]
    if not LOW_RANK:
        raw += tl.load(delta + offsets, inside, 0.).to(tl.float32)
    for r in range(rank):
        factor = tl.load(weight + r * channels + channel, mask, 0.)
        raw += tl.load(proj + rows + r, valid, 0.).to(tl.float32)[:, None] * factor[None, :]
    if SOFTPLUS:
        steps, e = softplus(raw)
        slopes = tl.where(raw > 0, 1., e) / (1 + e)
    else:
        steps, slopes = raw, tl.full(raw.shape, 1., tl.float32)
    return tl.where(inside, steps, 0.), tl.where(inside, slopes, 0.)
