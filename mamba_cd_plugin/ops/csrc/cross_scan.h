/* What the forward and the backward pass of the cross scan share: the arguments, the blocks of channels, the orders.
 * A block is WIDE vectors of channels, or one: the scalars of a pixel are then broadcast once for all of them. */
#ifndef MAMBA_CD_CROSS_SCAN_H
#define MAMBA_CD_CROSS_SCAN_H

#include <stdlib.h>

#include "tasks.h"
#include "vec.h"

#define DIRECTIONS 4
/* Below this number of exponentials a second thread costs more than it brings (about 20 us to start). */
#define WORK_PER_THREAD (1 << 15)

typedef struct {
    const float *x, *proj, *weight, *bias, *A, *D, *grad_y;
    float *y, *grad_x, *grad_proj;
    int64_t batch, height, width, channels, rank, states;
    int64_t pixels, columns; /* columns = rank + 2 * states, the values per pixel and direction */
    int vectors, groups;     /* vectors over the channels, and the groups of vectors that are separate tasks */
    int64_t tile;            /* pixels per tile */
    size_t scratch_bytes;    /* per worker */
    char *scratch;
    float *partial_sums;     /* backward: gradients of the weights, one set per worker */
    int64_t sums_per_worker, padded_channels;
    float *partial_proj;     /* backward: gradients of proj of the groups after the first */
} cross_problem;

/* One block of channels in one direction of one image. */
typedef struct {
    int64_t image, first_channel;
    int direction, valid; /* valid: channels of the block that exist, in its last vector */
} cross_block;

/* Going by columns, the processor does not foresee the next pixel: it is in another page. On maps of more than FAR_MAP
 * floats, which no second-level cache holds, the data are therefore fetched AHEAD pixels before they are needed. */
#define AHEAD 8
#define FAR_MAP (1 << 18)

/* The pixels of `count` positions, and of the next AHEAD ones, as far as there are such.
 * Direction 0 goes by rows, 1 by columns, 2 and 3 go the same ways backwards. */
static inline void fill_pixels(const cross_problem *q, int direction, int64_t start, int64_t count, int32_t *pixels) {
    int64_t position = direction < 2 ? start : q->pixels - 1 - start, step = direction < 2 ? 1 : -1;
    int64_t left = q->pixels - start, filled = count + AHEAD < left ? count + AHEAD : left;
    int64_t row = position % q->height, column = position / q->height;
    for (int64_t i = 0; i < filled; i++) {
        if (direction % 2 == 0) {
            pixels[i] = (int32_t)(position + i * step);
            continue;
        }
        pixels[i] = (int32_t)(row * q->width + column);
        row += step;
        if (row == q->height || row < 0) {
            column += step;
            row = row < 0 ? q->height - 1 : 0;
        }
    }
    for (int64_t i = filled; i < count + AHEAD; i++)
        pixels[i] = pixels[filled - 1];
}

static inline int is_far(const cross_problem *q, const cross_block *b) {
    return b->direction % 2 && q->pixels * q->channels > FAR_MAP;
}

/* Fetches the channels of a block at a pixel. */
INLINE void fetch_channels(const cross_problem *q, const cross_block *b, const float *map, int32_t pixel,
                           const int NV) {
    const float *at = map + (b->image * q->pixels + pixel) * q->channels + b->first_channel;
    EACH(NV) __builtin_prefetch(at + v * VL);
}

INLINE vf load_channels(const float *p, int v, const int tail, int valid) {
    return tail ? vload_part(p, valid) : vload(p + v * VL);
}
INLINE void store_channels(float *p, int v, vf value, const int tail, int valid) {
    if (tail)
        vstore_part(p, value, valid);
    else
        vstore(p + v * VL, value);
}

INLINE const float *pixel_proj(const cross_problem *q, const cross_block *b, int32_t pixel) {
    return q->proj + ((b->image * q->pixels + pixel) * DIRECTIONS + b->direction) * q->columns;
}

/* Weights of one block, transposed and padded with 0, so that a vector holds neighbouring channels. */
typedef struct {
    vf *weight; /* [rank][NV] */
    vf *bias;   /* [NV] */
    vf *A;      /* [states][NV] */
    vf *A_log2; /* [states][NV], A * log2(e) */
} block_weights;

static inline size_t block_weights_vectors(const cross_problem *q) {
    return (size_t)(WIDE * (q->rank + 1 + 2 * q->states));
}

static inline void pack_weights(const cross_problem *q, const cross_block *b, int nv, vf *memory, block_weights *out) {
    int width = nv * VL;
    int64_t existing = q->channels - b->first_channel;
    int count = existing < width ? (int)existing : width;
    out->weight = memory;
    out->bias = out->weight + nv * q->rank;
    out->A = out->bias + nv;
    out->A_log2 = out->A + nv * q->states;
    memset(memory, 0, sizeof(vf) * (size_t)(nv * (q->rank + 1 + 2 * q->states)));
    int64_t row = b->direction * q->channels + b->first_channel;
    float *weight = (float *)out->weight, *bias = (float *)out->bias;
    float *A = (float *)out->A, *A_log2 = (float *)out->A_log2;
    for (int c = 0; c < count; c++) {
        for (int64_t r = 0; r < q->rank; r++)
            weight[r * width + c] = q->weight[(row + c) * q->rank + r];
        bias[c] = q->bias[row + c];
        for (int64_t s = 0; s < q->states; s++) {
            A[s * width + c] = q->A[(row + c) * q->states + s];
            A_log2[s * width + c] = A[s * width + c] * LOG2E;
        }
    }
}

/* Step sizes before the softplus, from the low-rank values of a pixel. */
INLINE void raw_steps(const float *low_rank, const block_weights *w, int64_t rank, const int NV, vf *z) {
    EACH(NV) z[v] = w->bias[v];
    for (int64_t r = 0; r < rank; r++)
        EACH(NV) z[v] += low_rank[r] * w->weight[r * NV + v];
}

/* D summed over the directions: the direct path is the same for all of them. */
static inline void sum_direct(const cross_problem *q, int64_t first_channel, int nv, vf *out) {
    float *sum = (float *)out;
    memset(sum, 0, sizeof(vf) * (size_t)nv);
    for (int k = 0; k < DIRECTIONS; k++)
        for (int c = 0; c < nv * VL && first_channel + c < q->channels; c++)
            sum[c] += q->D[k * q->channels + first_channel + c];
}

/* Splits the channels into as few groups as keep all workers busy; gives the number of workers. */
static inline int plan_tasks(cross_problem *q, int threads) {
    q->pixels = q->height * q->width;
    q->columns = q->rank + 2 * q->states;
    q->vectors = (int)((q->channels + VL - 1) / VL);
    int64_t work = q->batch * q->pixels * q->channels * q->states * DIRECTIONS;
    int64_t useful = work / WORK_PER_THREAD + 1;
    if (threads > MAX_THREADS)
        threads = MAX_THREADS;
    if (threads > useful)
        threads = (int)useful;
    double best = 0;
    q->groups = 1;
    for (int groups = 1; groups <= q->vectors && groups <= 4 * threads; groups++) {
        int64_t tasks = q->batch * groups, rounds = (tasks + threads - 1) / threads;
        double busy = (double)tasks / (double)(rounds * threads);
        if (busy > best + 0.1) {
            best = busy;
            q->groups = groups;
        }
    }
    int64_t tasks = q->batch * q->groups;
    return tasks == 0 ? 1 : tasks < threads ? (int)tasks : threads;
}

#endif
