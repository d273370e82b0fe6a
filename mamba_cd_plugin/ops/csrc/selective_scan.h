/* What the forward and the backward pass of the selective scan of sequences share. Vectors run along the sequence, for
 * the recurrence too, which is combined over the lanes. */
#ifndef MAMBA_CD_SELECTIVE_SCAN_H
#define MAMBA_CD_SELECTIVE_SCAN_H

#include <stdlib.h>

#include "tasks.h"
#include "vec.h"

#define GROUP (WIDE * VL) /* positions that are worked on side by side */
#define TILE 512          /* positions, a multiple of GROUP: B and C of a tile serve ROWS channels from the cache */
#define ROWS 8
#define WORK_PER_THREAD (1 << 15) /* exponentials for which a second thread pays */

typedef struct {
    const float *u, *delta, *A, *B, *C, *D, *bias, *grad_y; /* D and bias may be NULL */
    float *y, *grad_u, *grad_delta, *grad_B, *grad_C;
    int64_t batch, dim, groups, length, states;
    int softplus;
    int64_t group_channels;
    int splits; /* parts that the channels of a group are split into, as separate tasks */
    char *scratch;
    size_t scratch_bytes;
    float *partial_sums, *partial_BC;
    int64_t sums_per_worker;
} scan_problem;

/* Up to ROWS neighbouring channels of one group of one image. */
typedef struct {
    int64_t image, group, channel; /* channel: the first one, counted over all groups */
    int rows;
} scan_chunk;

/* A vector of a row from position i on; what lies behind position `end` is 0, and is not written. */
INLINE vf load_at(const float *p, int64_t i, int64_t end) {
    return i + VL <= end ? vload(p + i) : i < end ? vload_part(p + i, (int)(end - i)) : vset(0.f);
}
INLINE void store_at(float *p, int64_t i, int64_t end, vf v) {
    if (i + VL <= end)
        vstore(p + i, v);
    else if (i < end)
        vstore_part(p + i, v, (int)(end - i));
}
/* Calls body(i, end) for a group of positions: with an end that is seen to be far enough, its loads have no tests. */
#define GROUP_AT(i, count, body)     \
    do {                             \
        if ((i) + GROUP <= (count)) { \
            body((i), (i) + GROUP);  \
        } else {                     \
            body((i), (count));      \
        }                            \
    } while (0)

static inline int64_t row_start(const scan_problem *q, const scan_chunk *b, int row) {
    return (b->image * q->dim + b->channel + row) * q->length;
}
static inline int64_t group_start(const scan_problem *q, const scan_chunk *b, int64_t state) {
    return ((b->image * q->groups + b->group) * q->states + state) * q->length;
}

/* One group of positions of a row: raw step sizes, step sizes, and steps * u; t as vsoftplus gives it. */
INLINE void group_steps(const scan_problem *q, const float *delta, const float *u, float bias, int64_t i, int64_t end,
                        vf *raw, vf *t, vf *step, vf *drive) {
    EACH(WIDE) {
        /* A row goes on in the next tile, where the processor does not see it coming. */
        __builtin_prefetch(delta + i + v * VL + TILE, 0, 2);
        __builtin_prefetch(u + i + v * VL + TILE, 0, 2);
        step[v] = raw[v] = load_at(delta, i + v * VL, end) + bias;
    }
    if (q->softplus)
        vsoftplus(WIDE, raw, t, step);
    EACH(WIDE) drive[v] = step[v] * load_at(u, i + v * VL, end);
}

/* The states of a group of positions; `before` is the state before it, in all lanes, and is moved on. */
INLINE void group_states(const float *B, float rate, int64_t i, int64_t end, const vf *step, const vf *drive,
                         vf *decay, vf *h, vf *before) {
    vf a[WIDE], b[WIDE];
    EACH(WIDE) a[v] = step[v] * rate;
    vexp2(WIDE, a, decay);
    EACH(WIDE) a[v] = decay[v];
    EACH(WIDE) b[v] = drive[v] * load_at(B, i + v * VL, end);
    vscan_up(WIDE, a, b, h, before);
}

/* Splits the groups into as few tasks as keep all workers busy; gives the number of workers. */
static inline int plan_scan(scan_problem *q, int threads) {
    q->group_channels = q->dim / q->groups;
    int64_t chunks = (q->group_channels + ROWS - 1) / ROWS, whole = q->batch * q->groups;
    int64_t useful = q->batch * q->dim * q->length * q->states / WORK_PER_THREAD + 1;
    if (threads > MAX_THREADS)
        threads = MAX_THREADS;
    if (threads > useful)
        threads = (int)useful;
    double best = 0;
    q->splits = 1;
    for (int splits = 1; splits <= chunks && splits <= 4 * threads; splits++) {
        int64_t tasks = whole * splits, rounds = (tasks + threads - 1) / threads;
        double busy = (double)tasks / (double)(rounds * threads);
        if (busy > best + 0.1) {
            best = busy;
            q->splits = splits;
        }
    }
    int64_t tasks = whole * q->splits;
    return tasks == 0 ? 1 : tasks < threads ? (int)tasks : threads;
}

/* The channels [first, end) of one task, counted over all groups; gives the number of the split. */
static inline int task_channels(const scan_problem *q, int task, scan_chunk *b, int64_t *end) {
    int64_t whole = q->batch * q->groups, chunks = (q->group_channels + ROWS - 1) / ROWS;
    int64_t split = task / whole, part = task % whole;
    b->image = part / q->groups;
    b->group = part % q->groups;
    int64_t last = (split + 1) * chunks / q->splits * ROWS;
    b->channel = b->group * q->group_channels + split * chunks / q->splits * ROWS;
    *end = b->group * q->group_channels + (last < q->group_channels ? last : q->group_channels);
    return (int)split;
}

#endif
