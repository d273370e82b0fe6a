/* Forward pass of the selective scan of sequences, u and delta (N, K*C, L): one pass over the data, tile by tile. */
#include "selective_scan.h"

/* Scratch memory of a worker. */
typedef struct {
    float step[TILE], drive[TILE], y[TILE];
    float states[]; /* after the last tile, [ROWS][states] */
} forward_memory;

/* One tile of one row with a single state, all in registers. */
static void forward_single(const scan_problem *q, const scan_chunk *b, int row, int64_t start, int64_t count,
                           float *state) {
    int64_t offset = row_start(q, b, row) + start, shared = group_start(q, b, 0) + start, channel = b->channel + row;
    float bias = q->bias ? q->bias[channel] : 0.f, direct = q->D ? q->D[channel] : 0.f, rate = q->A[channel] * LOG2E;
    const float *u = q->u + offset, *B = q->B + shared, *C = q->C + shared;
    vf before = vset(*state);
    for (int64_t i = 0; i < count; i += GROUP) {
        vf raw[WIDE], t[WIDE], step[WIDE], drive[WIDE], decay[WIDE], h[WIDE];
        group_steps(q, q->delta + offset, u, bias, i, count, raw, t, step, drive);
        group_states(B, rate, i, count, step, drive, decay, h, &before);
        EACH(WIDE) {
            int64_t at = i + v * VL;
            store_at(q->y + offset, at, count, h[v] * load_at(C, at, count) + direct * load_at(u, at, count));
        }
    }
    *state = before[0];
}

/* One tile of one row, state by state. */
static void forward_many(const scan_problem *q, const scan_chunk *b, int row, int64_t start, int64_t count,
                         forward_memory *m, float *states) {
    int64_t offset = row_start(q, b, row) + start, channel = b->channel + row;
    float bias = q->bias ? q->bias[channel] : 0.f, direct = q->D ? q->D[channel] : 0.f;
    vf raw[WIDE], t[WIDE], step[WIDE], drive[WIDE], decay[WIDE], h[WIDE];
    for (int64_t i = 0; i < count; i += GROUP) {
        group_steps(q, q->delta + offset, q->u + offset, bias, i, count, raw, t, step, drive);
        EACH(WIDE) vstore(m->step + i + v * VL, step[v]);
        EACH(WIDE) vstore(m->drive + i + v * VL, drive[v]);
        EACH(WIDE) vstore(m->y + i + v * VL, direct * load_at(q->u + offset, i + v * VL, count));
    }
    for (int64_t s = 0; s < q->states; s++) {
        int64_t shared = group_start(q, b, s) + start;
        float rate = q->A[channel * q->states + s] * LOG2E;
        vf before = vset(states[s]);
        for (int64_t i = 0; i < count; i += GROUP) {
            EACH(WIDE) step[v] = vload(m->step + i + v * VL);
            EACH(WIDE) drive[v] = vload(m->drive + i + v * VL);
            group_states(q->B + shared, rate, i, count, step, drive, decay, h, &before);
            EACH(WIDE) {
                float *y = m->y + i + v * VL;
                vstore(y, vload(y) + h[v] * load_at(q->C + shared, i + v * VL, count));
            }
        }
        states[s] = before[0];
    }
    memcpy(q->y + offset, m->y, sizeof(float) * (size_t)count);
}

static void forward_task(void *context, int task, int worker) {
    const scan_problem *q = context;
    forward_memory *m = (forward_memory *)(q->scratch + q->scratch_bytes * (size_t)worker);
    scan_chunk b;
    int64_t end;
    for (task_channels(q, task, &b, &end); b.channel < end; b.channel += ROWS) {
        b.rows = end - b.channel < ROWS ? (int)(end - b.channel) : ROWS;
        memset(m->states, 0, sizeof(float) * (size_t)(q->states * ROWS));
        for (int64_t start = 0; start < q->length; start += TILE) {
            int64_t count = q->length - start < TILE ? q->length - start : TILE;
            for (int row = 0; row < b.rows; row++)
                if (q->states == 1)
                    forward_single(q, &b, row, start, count, m->states + row);
                else
                    forward_many(q, &b, row, start, count, m, m->states + row * q->states);
        }
    }
}

/* Returns 0, or -1 if there is no memory. All arrays are float32 and contiguous; D and bias may be NULL. */
int selective_scan_forward(const float *u, const float *delta, const float *A, const float *B, const float *C,
                           const float *D, const float *bias, float *y, int64_t batch, int64_t dim, int64_t groups,
                           int64_t length, int64_t states, int64_t softplus, int threads) {
    scan_problem q = {.u = u, .delta = delta, .A = A, .B = B, .C = C, .D = D, .bias = bias, .y = y, .batch = batch,
                      .dim = dim, .groups = groups, .length = length, .states = states, .softplus = softplus != 0};
    int workers = plan_scan(&q, threads);
    q.scratch_bytes = (sizeof(forward_memory) + sizeof(float) * (size_t)(states * ROWS) + 63) / 64 * 64;
    q.scratch = scratch_alloc(q.scratch_bytes * (size_t)workers);
    if (!q.scratch)
        return -1;
    run_tasks(forward_task, &q, (int)(batch * groups * q.splits), workers);
    free(q.scratch);
    return 0;
}
