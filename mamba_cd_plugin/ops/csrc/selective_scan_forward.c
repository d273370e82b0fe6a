/* Forward pass of the selective scan of sequences, u and delta (N, K*C, L): one pass over the data, tile by tile. */
#include "selective_scan.h"

typedef struct {
    scan_tile tile;
    float y[ROWS * TILE];
    float states[]; /* [states][ROWS] */
} forward_memory;

static void forward_tile(const scan_problem *q, const scan_chunk *b, int64_t start, int64_t count, forward_memory *m) {
    tile_steps(q, b, start, count, &m->tile, 0);
    for (int64_t s = 0; s < q->states; s++) {
        const float *C = q->C + group_start(q, b, s) + start;
        tile_states(q, b, start, count, s, &m->tile, m->states + s * ROWS);
        for (int row = 0; row < b->rows; row++) {
            /* The first state starts the sum, and the last one writes it out. */
            const float *u = q->u + row_start(q, b, row) + start, *h = m->tile.h + row * STRIDE + VL;
            float direct = q->D ? q->D[b->channel + row] : 0.f, *sum = m->y + row * TILE;
            float *out = s + 1 < q->states ? sum : q->y + row_start(q, b, row) + start;
            for (int64_t i = 0; i < count; i += VL) {
                vf y = s ? vload(sum + i) : load_at(u, i, count) * direct;
                store_at(out, i, count, y + vload(h + i) * load_at(C, i, count));
            }
        }
    }
}

static void forward_task(void *context, int task, int worker) {
    const scan_problem *q = context;
    forward_memory *m = (forward_memory *)(q->scratch + q->scratch_bytes * (size_t)worker);
    scan_chunk b;
    int64_t end;
    /* Rows that a short chunk lacks run along on zeros. */
    memset(&m->tile, 0, sizeof m->tile);
    for (task_channels(q, task, &b, &end); b.channel < end; b.channel += ROWS) {
        b.rows = end - b.channel < ROWS ? (int)(end - b.channel) : ROWS;
        memset(m->states, 0, sizeof(float) * (size_t)(q->states * ROWS));
        for (int64_t start = 0; start < q->length; start += TILE)
            forward_tile(q, &b, start, q->length - start < TILE ? q->length - start : TILE, m);
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
