/* Backward pass of the selective scan of sequences. Nothing of the forward pass was kept: the states at the starts of
 * the tiles are computed first, then tile after tile, from the last to the first, runs forwards to get its states back
 * and then backwards. With g = dL/dh:
 *
 *     g[l] = gy[l] * C[l] + q[l+1]        q[l] = decay[l] * g[l]
 *     dC[l] = sum over channels of gy[l] * h[l]         dB[l] = sum over channels of g[l] * step[l] * u[l]
 *     dstep[l] = g[l] * B[l] * u[l] + q[l] * h[l-1] * A         dA = sum over l of q[l] * h[l-1] * step[l]
 */
#include "selective_scan.h"

typedef struct {
    scan_tile tile;
    float q[ROWS * STRIDE], grad_drive[ROWS * TILE], grad_step[ROWS * TILE];
    float *starts;   /* states before each tile, [tiles][states][ROWS] */
    float *incoming; /* q of the position after the tile, [states][ROWS] */
} backward_memory;

/* q over a tile, from its end; q of the position after the tile is `incoming`, which is moved on. */
static void tile_back(const scan_problem *q, const scan_chunk *b, int64_t start, int64_t count, int64_t state,
                      backward_memory *m, float *incoming) {
    const float *C = q->C + group_start(q, b, state) + start;
    for (int row = 0; row < b->rows; row++) {
        const float *grad_y = q->grad_y + row_start(q, b, row) + start;
        for (int64_t i = 0; i < count; i += VL)
            vstore(m->q + row * STRIDE + i,
                   load_at(grad_y, i, count) * load_at(C, i, count) * vload(m->tile.decay + row * TILE + i));
    }
    float value[ROWS];
    for (int row = 0; row < ROWS; row++)
        m->q[row * STRIDE + count] = value[row] = incoming[row];
    for (int64_t i = count - 1; i >= 0; i--)
        for (int row = 0; row < ROWS; row++) {
            value[row] = m->tile.decay[row * TILE + i] * value[row] + m->q[row * STRIDE + i];
            m->q[row * STRIDE + i] = value[row];
        }
    for (int row = 0; row < ROWS; row++)
        incoming[row] = value[row];
}

/* What one state of a tile gives to the gradients; sum_A is its entry in the sums of the worker. */
static void add_state(const scan_problem *q, const scan_chunk *b, int64_t start, int64_t count, int64_t state,
                      backward_memory *m, float *grad_B, float *grad_C, float *sum_A) {
    int64_t shared = group_start(q, b, state) + start;
    const float *B = q->B + shared, *C = q->C + shared;
    for (int row = 0; row < b->rows; row++) {
        const float *grad_y = q->grad_y + row_start(q, b, row) + start, *h = m->tile.h + row * STRIDE + VL;
        float *grad_drive = m->grad_drive + row * TILE, *grad_step = m->grad_step + row * TILE;
        float rate = q->A[(b->channel + row) * q->states + state];
        vf sum = vset(0.f);
        for (int64_t i = 0; i < count; i += VL) {
            vf gy = load_at(grad_y, i, count);
            /* Behind the end of the sequence gy and q are 0, so that nothing is added there. */
            vf grad_h = gy * load_at(C, i, count) + load_at(m->q + row * STRIDE + 1, i, count);
            vf grad_exponent = load_at(m->q + row * STRIDE, i, count) * vload(h + i - 1);
            vstore(grad_drive + i, vload(grad_drive + i) + grad_h * load_at(B, i, count));
            vstore(grad_step + i, vload(grad_step + i) + grad_exponent * rate);
            store_at(grad_B + shared, i, count,
                     load_at(grad_B + shared, i, count) + grad_h * vload(m->tile.drive + row * TILE + i));
            store_at(grad_C + shared, i, count, load_at(grad_C + shared, i, count) + gy * vload(h + i));
            sum += grad_exponent * vload(m->tile.step + row * TILE + i);
        }
        sum_A[row * q->states + state] += vsum(sum);
    }
}

/* Gradients of u, delta, bias and D of a tile, once all states have been added. */
static void finish_tile(const scan_problem *q, const scan_chunk *b, int64_t start, int64_t count,
                        const backward_memory *m, float *sum_bias, float *sum_D) {
    for (int row = 0; row < b->rows; row++) {
        int64_t offset = row_start(q, b, row) + start;
        float direct = q->D ? q->D[b->channel + row] : 0.f;
        vf raw_sum = vset(0.f), direct_sum = vset(0.f);
        for (int64_t i = 0; i < count; i += VL) {
            vf u = load_at(q->u + offset, i, count), gy = load_at(q->grad_y + offset, i, count);
            vf grad_drive = vload(m->grad_drive + row * TILE + i);
            vf grad_step = vload(m->grad_step + row * TILE + i) + grad_drive * u;
            vf grad_raw = grad_step * vload(m->tile.slope + row * TILE + i);
            store_at(q->grad_delta + offset, i, count, grad_raw);
            store_at(q->grad_u + offset, i, count, grad_drive * vload(m->tile.step + row * TILE + i) + gy * direct);
            raw_sum += grad_raw;
            direct_sum += gy * u;
        }
        sum_bias[row] += vsum(raw_sum);
        sum_D[row] += vsum(direct_sum);
    }
}

static void backward_chunk(const scan_problem *q, const scan_chunk *b, backward_memory *m, float *grad_B,
                           float *grad_C, float *sums) {
    const int64_t tiles = (q->length + TILE - 1) / TILE, per_tile = q->states * ROWS;
    float *sum_bias = sums, *sum_D = sums + q->dim, *sum_A = sums + 2 * q->dim;
    memset(m->starts, 0, sizeof(float) * (size_t)per_tile);
    memset(m->incoming, 0, sizeof(float) * (size_t)per_tile);
    for (int64_t i = 0; i + 1 < tiles; i++) {
        float *next = m->starts + (i + 1) * per_tile;
        memcpy(next, m->starts + i * per_tile, sizeof(float) * (size_t)per_tile);
        tile_steps(q, b, i * TILE, TILE, &m->tile, 0);
        for (int64_t s = 0; s < q->states; s++)
            tile_states(q, b, i * TILE, TILE, s, &m->tile, next + s * ROWS);
    }
    for (int64_t i = tiles - 1; i >= 0; i--) {
        int64_t start = i * TILE, count = q->length - start < TILE ? q->length - start : TILE;
        tile_steps(q, b, start, count, &m->tile, 1);
        memset(m->grad_drive, 0, sizeof m->grad_drive);
        memset(m->grad_step, 0, sizeof m->grad_step);
        for (int64_t s = 0; s < q->states; s++) {
            tile_states(q, b, start, count, s, &m->tile, m->starts + i * per_tile + s * ROWS);
            tile_back(q, b, start, count, s, m, m->incoming + s * ROWS);
            add_state(q, b, start, count, s, m, grad_B, grad_C, sum_A + b->channel * q->states);
        }
        finish_tile(q, b, start, count, m, sum_bias + b->channel, sum_D + b->channel);
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
    /* Rows that a short chunk lacks run along on zeros. */
    memset(m, 0, sizeof *m);
    m->starts = (float *)(m + 1);
    m->incoming = m->starts + tiles * q->states * ROWS;
    for (; b.channel < end; b.channel += ROWS) {
        b.rows = end - b.channel < ROWS ? (int)(end - b.channel) : ROWS;
        backward_chunk(q, &b, m, grad_B, grad_C, q->partial_sums + worker * q->sums_per_worker);
    }
}

static void add_up(float *out, const float *in, int64_t count) {
    for (int64_t i = 0; i < count; i++)
        out[i] += in[i];
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
    q.scratch_bytes = (sizeof(backward_memory) + sizeof(float) * (size_t)((tiles + 1) * states * ROWS) + 63) / 64 * 64;
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
