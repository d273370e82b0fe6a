/* Backward pass of the selective scan of sequences. Nothing of the forward pass was kept: the states at the starts of
 * the tiles are computed first, then tile after tile, from the last to the first, runs forwards to get its states back
 * and then backwards. With g = dL/dh:
 *
 *     g[l] = gy[l] * C[l] + q[l+1]        q[l] = decay[l] * g[l]
 *     dC[l] = sum over channels of gy[l] * h[l]         dB[l] = sum over channels of g[l] * step[l] * u[l]
 *     dstep[l] = g[l] * B[l] * u[l] + q[l] * h[l-1] * A         dA = sum over l of q[l] * h[l-1] * step[l]
 */
#include "selective_scan.h"

/* Scratch memory of a worker: values of one tile of one row, and states of ROWS rows. */
typedef struct {
    float step[TILE], drive[TILE], slope[TILE], decay[TILE], grad_drive[TILE], grad_step[TILE];
    float h_memory[VL + TILE]; /* h[-1] is the state before the tile */
    float *starts;             /* states before each tile, [tiles][ROWS][states] */
    float *incoming;           /* q of the position after the tile, [ROWS][states] */
    float *grad_B, *grad_C;    /* summed over the rows, [states][TILE] */
} backward_memory;

INLINE void steps_group(const scan_problem *q, int64_t offset, float bias, int64_t i, int64_t end, backward_memory *m,
                        const int keep) {
    vf raw[WIDE], t[WIDE], step[WIDE], drive[WIDE];
    EACH(WIDE) t[v] = vset(0.f);
    group_steps(q, q->delta + offset, q->u + offset, bias, i, end, raw, t, step, drive);
    EACH(WIDE) vstore(m->step + i + v * VL, step[v]);
    EACH(WIDE) vstore(m->drive + i + v * VL, drive[v]);
    if (keep)
        EACH(WIDE) vstore(m->slope + i + v * VL, q->softplus ? vsigmoid(raw[v], t[v]) : vset(1.f));
}

/* The step sizes of a tile; with `keep` the slope of the softplus too. */
INLINE void tile_steps(const scan_problem *q, const scan_chunk *b, int row, int64_t start, int64_t count,
                       backward_memory *m, const int keep) {
    int64_t offset = row_start(q, b, row) + start;
    float bias = q->bias ? q->bias[b->channel + row] : 0.f;
#define BODY(i, end) steps_group(q, offset, bias, i, end, m, keep)
    for (int64_t i = 0; i < count; i += GROUP)
        GROUP_AT(i, count, BODY);
#undef BODY
}

INLINE void states_group(const float *B, float rate, int64_t i, int64_t end, backward_memory *m, vf *before,
                         const int keep) {
    vf step[WIDE], drive[WIDE], decay[WIDE], h[WIDE];
    EACH(WIDE) step[v] = vload(m->step + i + v * VL);
    EACH(WIDE) drive[v] = vload(m->drive + i + v * VL);
    group_states(B, rate, i, end, step, drive, decay, h, before);
    if (keep) {
        EACH(WIDE) vstore(m->decay + i + v * VL, decay[v]);
        EACH(WIDE) vstore(m->h_memory + VL + i + v * VL, h[v]);
    }
}

/* The recurrence of one state over a tile; gives the state after it. With `keep` the states and decays are stored. */
INLINE float tile_states(const scan_problem *q, const scan_chunk *b, int row, int64_t start, int64_t count,
                         int64_t state, backward_memory *m, float first, const int keep) {
    const float *B = q->B + group_start(q, b, state) + start;
    float rate = q->A[(b->channel + row) * q->states + state] * LOG2E;
    vf before = vset(first);
    m->h_memory[VL - 1] = first;
#define BODY(i, end) states_group(B, rate, i, end, m, &before, keep)
    for (int64_t i = 0; i < count; i += GROUP)
        GROUP_AT(i, count, BODY);
#undef BODY
    return before[0];
}

/* What one state of one row gives to the gradients; grad_B and grad_C are those of the tile. */
INLINE void back_group(const float *grad_y, const float *B, const float *C, float rate, int64_t i, int64_t end,
                       backward_memory *m, float *grad_B, float *grad_C, vf *after, vf *grad_rate) {
    const float *stored = m->h_memory + VL;
    vf gy[WIDE], gh[WIDE], a[WIDE], drive[WIDE], back[WIDE], next[WIDE];
    /* Behind the end of the sequence gy is 0, and so is everything that comes from there. */
    EACH(WIDE) gy[v] = load_at(grad_y, i + v * VL, end);
    EACH(WIDE) gh[v] = gy[v] * load_at(C, i + v * VL, end);
    EACH(WIDE) a[v] = vload(m->decay + i + v * VL);
    EACH(WIDE) drive[v] = a[v] * gh[v];
    vscan_down(WIDE, a, drive, back, next, after);
    EACH(WIDE) {
        int64_t at = i + v * VL;
        gh[v] += next[v];
        vf grad_exponent = back[v] * vload(stored + at - 1);
        vstore(m->grad_drive + at, vload(m->grad_drive + at) + gh[v] * load_at(B, at, end));
        vstore(m->grad_step + at, vload(m->grad_step + at) + grad_exponent * rate);
        vstore(grad_B + at, vload(grad_B + at) + gh[v] * vload(m->drive + at));
        vstore(grad_C + at, vload(grad_C + at) + gy[v] * vload(stored + at));
        *grad_rate += grad_exponent * vload(m->step + at);
    }
}

/* Goes from the end of a tile to its start; gives the gradient of A. `incoming` is moved on. */
static float tile_back(const scan_problem *q, const scan_chunk *b, int row, int64_t start, int64_t count, int64_t state,
                       backward_memory *m, float *incoming) {
    int64_t shared = group_start(q, b, state) + start;
    const float *B = q->B + shared, *C = q->C + shared, *grad_y = q->grad_y + row_start(q, b, row) + start;
    float *grad_B = m->grad_B + state * TILE, *grad_C = m->grad_C + state * TILE;
    float rate = q->A[(b->channel + row) * q->states + state];
    vf after = vset(*incoming), grad_rate = vset(0.f);
#define BODY(i, end) back_group(grad_y, B, C, rate, i, end, m, grad_B, grad_C, &after, &grad_rate)
    for (int64_t i = (count - 1) / GROUP * GROUP; i >= 0; i -= GROUP)
        GROUP_AT(i, count, BODY);
#undef BODY
    *incoming = after[0];
    return vsum(grad_rate);
}

/* Gradients of u, delta, bias and D of a tile, once all states have been added. */
static void finish_tile(const scan_problem *q, const scan_chunk *b, int row, int64_t start, int64_t count,
                        const backward_memory *m, float *sum_bias, float *sum_D) {
    int64_t offset = row_start(q, b, row) + start;
    float direct = q->D ? q->D[b->channel + row] : 0.f;
    vf raw_sum = vset(0.f), direct_sum = vset(0.f);
    for (int64_t i = 0; i < count; i += VL) {
        vf u = load_at(q->u + offset, i, count), gy = load_at(q->grad_y + offset, i, count);
        vf grad_drive = vload(m->grad_drive + i), grad_step = vload(m->grad_step + i) + grad_drive * u;
        vf grad_raw = grad_step * vload(m->slope + i);
        store_at(q->grad_delta + offset, i, count, grad_raw);
        store_at(q->grad_u + offset, i, count, grad_drive * vload(m->step + i) + gy * direct);
        raw_sum += grad_raw;
        direct_sum += gy * u;
    }
    *sum_bias += vsum(raw_sum);
    *sum_D += vsum(direct_sum);
}

/* States before every tile of the chunk. */
static void find_starts(const scan_problem *q, const scan_chunk *b, backward_memory *m) {
    int64_t per_tile = ROWS * q->states;
    memset(m->starts, 0, sizeof(float) * (size_t)per_tile);
    for (int64_t start = 0, i = 0; start + TILE < q->length; start += TILE, i++)
        for (int row = 0; row < b->rows; row++) {
            const float *before = m->starts + i * per_tile + row * q->states;
            tile_steps(q, b, row, start, TILE, m, 0);
            for (int64_t s = 0; s < q->states; s++)
                m->starts[(i + 1) * per_tile + row * q->states + s] =
                    tile_states(q, b, row, start, TILE, s, m, before[s], 0);
        }
}

static void add_up(float *out, const float *in, int64_t count) {
    for (int64_t i = 0; i < count; i++)
        out[i] += in[i];
}

static void backward_chunk(const scan_problem *q, const scan_chunk *b, backward_memory *m, float *grad_B,
                           float *grad_C, float *sums) {
    int64_t per_tile = ROWS * q->states;
    float *sum_bias = sums + b->channel, *sum_D = sum_bias + q->dim;
    float *sum_A = sums + 2 * q->dim + b->channel * q->states;
    find_starts(q, b, m);
    memset(m->incoming, 0, sizeof(float) * (size_t)per_tile);
    for (int64_t i = (q->length + TILE - 1) / TILE - 1; i >= 0; i--) {
        int64_t start = i * TILE, count = q->length - start < TILE ? q->length - start : TILE;
        /* In arrays of its own: in those of the caller the same position has the same low address bits in each. */
        memset(m->grad_B, 0, sizeof(float) * (size_t)(q->states * TILE));
        memset(m->grad_C, 0, sizeof(float) * (size_t)(q->states * TILE));
        for (int row = 0; row < b->rows; row++) {
            tile_steps(q, b, row, start, count, m, 1);
            memset(m->grad_drive, 0, sizeof m->grad_drive);
            memset(m->grad_step, 0, sizeof m->grad_step);
            for (int64_t s = 0; s < q->states; s++) {
                int64_t at = row * q->states + s;
                tile_states(q, b, row, start, count, s, m, m->starts[i * per_tile + at], 1);
                sum_A[at] += tile_back(q, b, row, start, count, s, m, m->incoming + at);
            }
            finish_tile(q, b, row, start, count, m, sum_bias + row, sum_D + row);
        }
        for (int64_t s = 0; s < q->states; s++) {
            add_up(grad_B + group_start(q, b, s) + start, m->grad_B + s * TILE, count);
            add_up(grad_C + group_start(q, b, s) + start, m->grad_C + s * TILE, count);
        }
    }
}

static void backward_task(void *context, int task, int worker) {
    const scan_problem *q = context;
    int64_t size = q->batch * q->groups * q->states * q->length, tiles = (q->length + TILE - 1) / TILE;
    backward_memory *m = (backward_memory *)(q->scratch + q->scratch_bytes * (size_t)worker);
    scan_chunk b;
    int64_t end;
    int split = task_channels(q, task, &b, &end);
    float *grad_B = split ? q->partial_BC + (split - 1) * 2 * size : q->grad_B;
    float *grad_C = split ? grad_B + size : q->grad_C;
    m->starts = (float *)(m + 1);
    m->incoming = m->starts + tiles * ROWS * q->states;
    m->grad_B = m->incoming + ROWS * q->states;
    m->grad_C = m->grad_B + q->states * TILE;
    for (; b.channel < end; b.channel += ROWS) {
        b.rows = end - b.channel < ROWS ? (int)(end - b.channel) : ROWS;
        backward_chunk(q, &b, m, grad_B, grad_C, q->partial_sums + worker * q->sums_per_worker);
    }
}

/* Gradients of the selective scan for grad_y; grad_A, grad_B, grad_C, grad_D and grad_bias must be 0, and the last two
 * are given even where D and bias are NULL. Returns 0, or -1 if there is no memory. */
int selective_scan_backward(const float *grad_y, const float *u, const float *delta, const float *A, const float *B,
                            const float *C, const float *D, const float *bias, float *grad_u, float *grad_delta,
                            float *grad_A, float *grad_B, float *grad_C, float *grad_D, float *grad_bias,
                            int64_t batch, int64_t dim, int64_t groups, int64_t length, int64_t states,
                            int64_t softplus, int threads) {
    scan_problem q = {.u = u, .delta = delta, .A = A, .B = B, .C = C, .D = D, .bias = bias, .grad_y = grad_y,
                      .grad_u = grad_u, .grad_delta = grad_delta, .grad_B = grad_B, .grad_C = grad_C, .batch = batch,
                      .dim = dim, .groups = groups, .length = length, .states = states, .softplus = softplus != 0};
    int workers = plan_scan(&q, threads);
    int64_t size = batch * groups * states * length, tiles = (length + TILE - 1) / TILE, extra = q.splits - 1;
    q.sums_per_worker = dim * (2 + states);
    size_t behind = (size_t)(((tiles + 1) * ROWS + 2 * TILE) * states);
    q.scratch_bytes = (sizeof(backward_memory) + sizeof(float) * behind + 63) / 64 * 64;
    q.scratch = scratch_alloc(q.scratch_bytes * (size_t)workers);
    q.partial_sums = calloc((size_t)(workers * q.sums_per_worker), sizeof(float));
    q.partial_BC = extra ? calloc((size_t)(extra * 2 * size), sizeof(float)) : NULL;
    int failed = !q.scratch || !q.partial_sums || (extra && !q.partial_BC);
    if (!failed) {
        run_tasks(backward_task, &q, (int)(batch * groups * q.splits), workers);
        for (int64_t split = 0; split < extra; split++) {
            add_up(grad_B, q.partial_BC + split * 2 * size, size);
            add_up(grad_C, q.partial_BC + (split * 2 + 1) * size, size);
        }
        for (int w = 0; w < workers; w++) {
            const float *sums = q.partial_sums + w * q.sums_per_worker;
            add_up(grad_bias, sums, dim);
            add_up(grad_D, sums + dim, dim);
            add_up(grad_A, sums + 2 * dim, dim * states);
        }
    }
    free(q.scratch);
    free(q.partial_sums);
    free(q.partial_BC);
    return failed ? -1 : 0;
}
