/* What the forward and the backward pass of the selective scan of sequences share. Vectors run along the sequence for
 * all that is elementwise; the recurrence itself is scalar, for ROWS channels at once, whose chains overlap. */
#ifndef MAMBA_CD_SELECTIVE_SCAN_H
#define MAMBA_CD_SELECTIVE_SCAN_H

#include "tasks.h"
#include "vec.h"

#define ROWS 8   /* chains of multiply-adds in flight: latency 4, two per cycle */
#define TILE 128 /* positions; the buffers of ROWS rows then fit into a first-level cache */
#define GROUP (WIDE * VL) /* positions whose exponentials are computed side by side; divides TILE */
/* Rows of states have a vector in front, for the state before the tile, and one behind, for the position after it. */
#define STRIDE (TILE + 2 * VL)
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

/* Values of one tile of a chunk. */
typedef struct {
    float step[ROWS * TILE], drive[ROWS * TILE], slope[ROWS * TILE], decay[ROWS * TILE];
    float h[ROWS * STRIDE];
} scan_tile;

/* Position i of a row on; 0 from position `count` on. */
INLINE vf load_at(const float *p, int64_t i, int64_t count) {
    return i + VL <= count ? vload(p + i) : i < count ? vload_part(p + i, (int)(count - i)) : vset(0.f);
}
INLINE void store_at(float *p, int64_t i, int64_t count, vf v) {
    if (i + VL <= count)
        vstore(p + i, v);
    else
        vstore_part(p + i, v, (int)(count - i));
}

static inline int64_t row_start(const scan_problem *q, const scan_chunk *b, int row) {
    return (b->image * q->dim + b->channel + row) * q->length;
}
static inline int64_t group_start(const scan_problem *q, const scan_chunk *b, int64_t state) {
    return ((b->image * q->groups + b->group) * q->states + state) * q->length;
}

/* Step sizes of a tile, step * u, and with `keep` the slope of the softplus. */
INLINE void tile_steps(const scan_problem *q, const scan_chunk *b, int64_t start, int64_t count,
                       scan_tile *tile, const int keep) {
    for (int row = 0; row < b->rows; row++) {
        const float *delta = q->delta + row_start(q, b, row) + start, *u = q->u + row_start(q, b, row) + start;
        float bias = q->bias ? q->bias[b->channel + row] : 0.f;
        for (int64_t i = 0; i < count; i += GROUP) {
            vf raw[WIDE], t[WIDE], step[WIDE], slope[WIDE];
            EACH(WIDE) {
                /* The rows are too short in a tile for the processor to see where the reading goes on. */
                __builtin_prefetch(delta + i + v * VL + TILE, 0, 2);
                __builtin_prefetch(u + i + v * VL + TILE, 0, 2);
                step[v] = raw[v] = load_at(delta, i + v * VL, count) + bias;
            }
            EACH(WIDE) slope[v] = vset(1.f);
            if (q->softplus) {
                vsoftplus(WIDE, raw, t, step);
                if (keep)
                    EACH(WIDE) slope[v] = vsigmoid(raw[v], t[v]);
            }
            EACH(WIDE) {
                int64_t at = row * TILE + i + v * VL;
                vstore(tile->step + at, step[v]);
                vstore(tile->drive + at, step[v] * load_at(u, i + v * VL, count));
                if (keep)
                    vstore(tile->slope + at, slope[v]);
            }
        }
    }
}

/* The recurrence of one state over a tile: h from h_before of the rows, which is moved on. */
static inline void tile_states(const scan_problem *q, const scan_chunk *b, int64_t start, int64_t count, int64_t state,
                               scan_tile *tile, float *h_before) {
    const float *B = q->B + group_start(q, b, state) + start;
    for (int row = 0; row < b->rows; row++) {
        float rate = q->A[(b->channel + row) * q->states + state] * LOG2E;
        for (int64_t i = 0; i < count; i += GROUP) {
            const float *step = tile->step + row * TILE + i, *drive = tile->drive + row * TILE + i;
            float *h = tile->h + row * STRIDE + VL + i;
            vf decay[WIDE];
            EACH(WIDE) decay[v] = vload(step + v * VL) * rate;
            vexp2(WIDE, decay, decay);
            EACH(WIDE) vstore(tile->decay + row * TILE + i + v * VL, decay[v]);
            EACH(WIDE) vstore(h + v * VL, vload(drive + v * VL) * load_at(B, i + v * VL, count));
        }
    }
    float h[ROWS];
    for (int row = 0; row < ROWS; row++)
        tile->h[row * STRIDE + VL - 1] = h[row] = h_before[row];
    for (int64_t i = 0; i < count; i++)
        for (int row = 0; row < ROWS; row++) {
            h[row] = tile->decay[row * TILE + i] * h[row] + tile->h[row * STRIDE + VL + i];
            tile->h[row * STRIDE + VL + i] = h[row];
        }
    for (int row = 0; row < ROWS; row++)
        h_before[row] = h[row];
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
