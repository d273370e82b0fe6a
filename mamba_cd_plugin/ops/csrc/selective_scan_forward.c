/* Forward pass of the selective scan of sequences, u and delta (N, K*C, L): one pass over the data, tile by tile. */
#include "selective_scan.h"

/* Scratch memory of a worker. */
typedef struct {
    float step[TILE], drive[TILE], y[TILE];
    float states[]; /* after the last tile, [ROWS][states] */
} forward_memory;

/* Values of one row of a tile. */
typedef struct {
    const float *delta, *u, *B, *C;
    float bias, direct, rate, *y;
} forward_row;

static inline forward_row row_at(const scan_problem *q, const scan_chunk *b, int row, int64_t start) {
    int64_t offset = row_start(q, b, row) + start, channel = b->channel + row;
    return (forward_row){.delta = q->delta + offset, .u = q->u + offset, .y = q->y + offset,
                         .bias = q->bias ? q->bias[channel] : 0.f, .direct = q->D ? q->D[channel] : 0.f};
}

static inline void choose_state(const scan_problem *q, const scan_chunk *b, int row, int64_t start, int64_t state,
                                forward_row *r) {
    int64_t shared = group_start(q, b, state) + start;
    r->B = q->B + shared, r->C = q->C + shared;
    r->rate = q->A[(b->channel + row) * q->states + state] * LOG2E;
}

/* A single state: all in registers. */
INLINE void single_group(const scan_problem *q, const forward_row *r, int64_t i, int64_t end, vf *before) {
    vf raw[WIDE], t[WIDE], step[WIDE], drive[WIDE], decay[WIDE], h[WIDE];
    group_steps(q, r->delta, r->u, r->bias, i, end, raw, t, step, drive);
    group_states(r->B, r->rate, i, end, step, drive, decay, h, before);
    EACH(WIDE) {
        int64_t at = i + v * VL;
        store_at(r->y, at, end, h[v] * load_at(r->C, at, end) + r->direct * load_at(r->u, at, end));
    }
}

static void forward_single(const scan_problem *q, const scan_chunk *b, int row, int64_t start, int64_t count,
                           float *state) {
    forward_row r = row_at(q, b, row, start);
    choose_state(q, b, row, start, 0, &r);
    vf before = vset(*state);
#define BODY(i, end) single_group(q, &r, i, end, &before)
    for (int64_t i = 0; i < count; i += GROUP)
        GROUP_AT(i, count, BODY);
#undef BODY
    *state = before[0];
}

/* Several states: one after the other over a tile, whose step sizes are stored. */
INLINE void steps_group(const scan_problem *q, const forward_row *r, int64_t i, int64_t end, forward_memory *m) {
    vf raw[WIDE], t[WIDE], step[WIDE], drive[WIDE];
    group_steps(q, r->delta, r->u, r->bias, i, end, raw, t, step, drive);
    EACH(WIDE) vstore(m->step + i + v * VL, step[v]);
    EACH(WIDE) vstore(m->drive + i + v * VL, drive[v]);
    EACH(WIDE) vstore(m->y + i + v * VL, r->direct * load_at(r->u, i + v * VL, end));
}

INLINE void state_group(const forward_row *r, int64_t i, int64_t end, forward_memory *m, vf *before) {
    vf step[WIDE], drive[WIDE], decay[WIDE], h[WIDE];
    EACH(WIDE) step[v] = vload(m->step + i + v * VL);
    EACH(WIDE) drive[v] = vload(m->drive + i + v * VL);
    group_states(r->B, r->rate, i, end, step, drive, decay, h, before);
    EACH(WIDE) {
        float *y = m->y + i + v * VL;
        vstore(y, vload(y) + h[v] * load_at(r->C, i + v * VL, end));
    }
}

static void forward_many(const scan_problem *q, const scan_chunk *b, int row, int64_t start, int64_t count,
                         forward_memory *m, float *states) {
    forward_row r = row_at(q, b, row, start);
#define BODY(i, end) steps_group(q, &r, i, end, m)
    for (int64_t i = 0; i < count; i += GROUP)
        GROUP_AT(i, count, BODY);
#undef BODY
    for (int64_t s = 0; s < q->states; s++) {
        choose_state(q, b, row, start, s, &r);
        vf before = vset(states[s]);
#define BODY(i, end) state_group(&r, i, end, m, &before)
        for (int64_t i = 0; i < count; i += GROUP)
            GROUP_AT(i, count, BODY);
#undef BODY
        states[s] = before[0];
    }
    memcpy(r.y, m->y, sizeof(float) * (size_t)count);
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
