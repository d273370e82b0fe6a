/* Scratch memory of the backward pass of the cross scan, and its small matrix products: what a tile of pixels gives to
 * the gradients of proj and of the weight. */
#ifndef MAMBA_CD_CROSS_SCAN_BACKWARD_H
#define MAMBA_CD_CROSS_SCAN_BACKWARD_H

#include "cross_scan.h"

/* Pixels, or ranks, that a small matrix product takes at once: 32 vector registers hold 4 * WIDE sums. */
#define PIXEL_ROWS 8
#if VBYTES == 64 || defined(__ARM_NEON)
#define RANK_ROWS 4
#else
#define RANK_ROWS 2
#endif

/* Scratch memory of a worker, for one block of channels in one direction. */
typedef struct {
    block_weights w;
    vf *weights, *direct;                   /* as pack_weights and sum_direct fill them */
    vf *starts;                             /* states before each tile, [tiles][states][NV] */
    vf *step, *slope;                       /* [tile][NV] */
    vf *decay, *h;                          /* [tile][states][NV], [tile + 1][states][NV] */
    vf *incoming;                           /* q of the later position, [states][NV] */
    vf *sum_A, *sum_bias, *sum_D;           /* sums over the pixels, [states][NV], [NV], [NV] */
    vf *pixel_sums;                         /* sums over channels, lanes not yet added up, [tile][2 * states] */
    float *low_rank_weight, *grad_low_rank; /* [NV * VL][padded rank], [tile][padded rank] */
} backward_memory;

static inline int64_t padded_rank(const cross_problem *q) { return (q->rank + VL - 1) / VL * VL; }

static size_t lay_out(const cross_problem *q, char *base, backward_memory *m) {
    size_t at = 0, states = (size_t)q->states, tile = (size_t)q->tile;
    size_t tiles = (size_t)((q->pixels + q->tile - 1) / q->tile);
#define TAKE(field, type, count) (m->field = (type *)(base + at), at += (sizeof(type) * (count) + 63) / 64 * 64)
    TAKE(weights, vf, block_weights_vectors(q));
    TAKE(direct, vf, WIDE);
    TAKE(starts, vf, tiles * states * WIDE);
    TAKE(step, vf, tile * WIDE);
    TAKE(slope, vf, tile * WIDE);
    TAKE(decay, vf, tile * states * WIDE);
    TAKE(h, vf, (tile + 1) * states * WIDE);
    TAKE(incoming, vf, states * WIDE);
    TAKE(sum_A, vf, states * WIDE);
    TAKE(sum_bias, vf, WIDE);
    TAKE(sum_D, vf, WIDE);
    TAKE(pixel_sums, vf, tile * 2 * states);
    TAKE(low_rank_weight, float, (size_t)(WIDE * VL * padded_rank(q)));
    TAKE(grad_low_rank, float, tile * (size_t)padded_rank(q));
#undef TAKE
    return at;
}

/* Gradient of the low-rank values, grad_low_rank[p] = grad_raw[p] . weight, vectors over the rank. */
INLINE void multiply_by_weight(const cross_problem *q, const backward_memory *m, int64_t count, const int NV) {
    const float *grad_raw = (const float *)m->slope;
    int64_t stride = padded_rank(q);
    for (int64_t r = 0; r < stride; r += VL) {
        int64_t p = 0;
        for (; p + PIXEL_ROWS <= count; p += PIXEL_ROWS) {
            vf sums[PIXEL_ROWS];
            for (int i = 0; i < PIXEL_ROWS; i++)
                sums[i] = vset(0.f);
            for (int c = 0; c < NV * VL; c++) {
                vf weight = vload(m->low_rank_weight + c * stride + r);
                for (int i = 0; i < PIXEL_ROWS; i++)
                    sums[i] += weight * grad_raw[(p + i) * NV * VL + c];
            }
            for (int i = 0; i < PIXEL_ROWS; i++)
                vstore(m->grad_low_rank + (p + i) * stride + r, sums[i]);
        }
        for (; p < count; p++) {
            vf sum = vset(0.f);
            for (int c = 0; c < NV * VL; c++)
                sum += vload(m->low_rank_weight + c * stride + r) * grad_raw[p * NV * VL + c];
            vstore(m->grad_low_rank + p * stride + r, sum);
        }
    }
}

/* Gradient of the weight, grad_weight[r] += sum over the pixels of low_rank[p][r] * grad_raw[p], for ROWS ranks. */
INLINE void add_weight_rows(const cross_problem *q, const cross_block *b, const backward_memory *m,
                            const int32_t *pixels, int64_t count, float *grad_weight, int64_t r, const int NV,
                            const int ROWS) {
    vf sums[RANK_ROWS * WIDE];
    for (int i = 0; i < ROWS; i++)
        for (int v = 0; v < NV; v++)
            sums[i * NV + v] = vload(grad_weight + (r + i) * q->padded_channels + v * VL);
    for (int64_t p = 0; p < count; p++) {
        const float *values = pixel_proj(q, b, pixels[p]) + r;
        for (int i = 0; i < ROWS; i++)
            EACH(NV) sums[i * NV + v] += values[i] * m->slope[p * NV + v];
    }
    for (int i = 0; i < ROWS; i++)
        for (int v = 0; v < NV; v++)
            vstore(grad_weight + (r + i) * q->padded_channels + v * VL, sums[i * NV + v]);
}

/* Adds what one tile gives to the gradients of proj and of the weight. */
INLINE void add_tile(const cross_problem *q, const cross_block *b, const backward_memory *m, const int32_t *pixels,
                     int64_t count, float *grad_proj, float *grad_weight, const int NV, const int64_t states) {
    multiply_by_weight(q, m, count, NV);
    int64_t r = 0;
    for (; r + RANK_ROWS <= q->rank; r += RANK_ROWS)
        add_weight_rows(q, b, m, pixels, count, grad_weight, r, NV, RANK_ROWS);
    for (; r < q->rank; r++)
        add_weight_rows(q, b, m, pixels, count, grad_weight, r, NV, 1);
    for (int64_t p = 0; p < count; p++) {
        int64_t row = (b->image * q->pixels + pixels[p]) * DIRECTIONS + b->direction;
        float *out = grad_proj + row * q->columns;
        for (r = 0; r < q->rank; r++)
            out[r] += m->grad_low_rank[p * padded_rank(q) + r];
        for (int64_t s = 0; s < 2 * states; s++)
            out[q->rank + s] += vsum(m->pixel_sums[p * 2 * states + s]);
    }
}

#endif
