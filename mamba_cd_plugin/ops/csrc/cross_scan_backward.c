/* Backward pass of the cross scan. Nothing of the forward pass was kept: the states at the starts of the tiles are
 * computed first, then tile after tile, from the last to the first, runs forwards to get its states back and then
 * backwards. With g = dL/dh, per channel and direction:
 *
 *     g[l] = gy[l] * C[l] + decay[l+1] * g[l+1]         q[l] = decay[l] * g[l]
 *     dC[l] = sum over channels of gy[l] * h[l]         dB[l] = sum over channels of g[l] * step[l] * x[l]
 *     dstep[l] = g[l] * B[l] * x[l] + q[l] * h[l-1] * A         dA = sum over l of q[l] * h[l-1] * step[l]
 */
#include "cross_scan.h"

/* Tiles are as long as fits into this part of a second-level cache. */
#define TILE_BYTES (192 << 10)
#define MAX_TILE 256
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
    vf *weights, *direct, *starts;            /* starts: states before each tile, [tiles][states][NV] */
    vf *step, *slope, *decay, *h;             /* [tile][NV] twice, [tile][states][NV], [tile + 1][states][NV] */
    vf *incoming, *sum_A, *sum_bias, *sum_D;  /* incoming: q of the later position; sums over pixels; [states][NV], [NV] */
    vf *pixel_sums;                           /* [tile][2 * states], sums over channels still to be made over lanes */
    float *low_rank_weight, *grad_low_rank;   /* [NV * VL][padded rank], [tile][padded rank] */
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

/* Runs the recurrence over `count` pixels from h[0]. With `keep` every state, decay, step and slope is stored, without
 * it h[0] itself is moved on. */
INLINE void run_states(const cross_problem *q, const cross_block *b, const backward_memory *m, const int32_t *pixels,
                       int64_t count, const int NV, const int tail, const int64_t states, const int keep) {
    for (int64_t p = 0; p < count; p++) {
        const float *values = pixel_proj(q, b, pixels[p]);
        int64_t offset = (b->image * q->pixels + pixels[p]) * q->channels + b->first_channel;
        vf z[NV];
        raw_steps(values, &m->w, q->rank, NV, z);
        for (int v = 0; v < NV; v++) {
            vf t, step = vsoftplus(z[v], &t);
            vf drive = step * load_channels(q->x + offset, v, tail, b->valid);
            if (keep) {
                m->step[p * NV + v] = step;
                m->slope[p * NV + v] = vsigmoid(z[v], t);
            }
            for (int64_t s = 0; s < states; s++) {
                int64_t before = keep ? (p * states + s) * NV + v : s * NV + v;
                vf decay = vexp2(step * m->w.A_log2[s * NV + v]);
                if (keep)
                    m->decay[before] = decay;
                m->h[keep ? before + states * NV : before] = decay * m->h[before] + drive * values[q->rank + s];
            }
        }
    }
}

/* Runs backwards over the pixels of a tile whose states are stored; slope becomes the gradient of the raw steps. */
INLINE void run_back(const cross_problem *q, const cross_block *b, const backward_memory *m, const int32_t *pixels,
                     int64_t count, const int NV, const int tail, const int64_t states) {
    vf sum_bias[NV], sum_D[NV], local_A[NV], local_incoming[NV];
    /* With one state these stay in registers. */
    vf *sum_A = states == 1 ? local_A : m->sum_A, *incoming = states == 1 ? local_incoming : m->incoming;
    for (int v = 0; v < NV; v++) {
        sum_bias[v] = m->sum_bias[v], sum_D[v] = m->sum_D[v];
        local_A[v] = m->sum_A[v], local_incoming[v] = m->incoming[v];
    }
    for (int64_t p = count - 1; p >= 0; p--) {
        const float *values = pixel_proj(q, b, pixels[p]);
        const float *B = values + q->rank, *C = B + states;
        int64_t offset = (b->image * q->pixels + pixels[p]) * q->channels + b->first_channel;
        vf *sums = m->pixel_sums + p * 2 * states;
        for (int v = 0; v < NV; v++) {
            vf x = load_channels(q->x + offset, v, tail, b->valid);
            vf grad_y = load_channels(q->grad_y + offset, v, tail, b->valid);
            vf step = m->step[p * NV + v], drive = step * x, grad_drive = vset(0.f), grad_step = vset(0.f);
            for (int64_t s = 0; s < states; s++) {
                int64_t i = (p * states + s) * NV + v, j = s * NV + v;
                vf grad_h = grad_y * C[s] + incoming[j];
                incoming[j] = m->decay[i] * grad_h;
                vf grad_exponent = incoming[j] * m->h[i];
                grad_drive += grad_h * B[s];
                grad_step += grad_exponent * m->w.A[j];
                sum_A[j] += grad_exponent * step;
                sums[s] = grad_h * drive + (v ? sums[s] : vset(0.f));
                sums[states + s] = grad_y * m->h[i + states * NV] + (v ? sums[states + s] : vset(0.f));
            }
            vf grad_raw = (grad_step + grad_drive * x) * m->slope[p * NV + v], grad_x = grad_drive * step;
            m->slope[p * NV + v] = grad_raw;
            sum_bias[v] += grad_raw;
            if (b->direction == 0) {
                sum_D[v] += grad_y * x;
                grad_x += m->direct[v] * grad_y;
            } else {
                grad_x += load_channels(q->grad_x + offset, v, tail, b->valid);
            }
            store_channels(q->grad_x + offset, v, grad_x, tail, b->valid);
        }
    }
    for (int v = 0; v < NV; v++) {
        m->sum_bias[v] = sum_bias[v], m->sum_D[v] = sum_D[v];
        if (states == 1)
            m->sum_A[v] = local_A[v], m->incoming[v] = local_incoming[v];
    }
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
            for (int v = 0; v < NV; v++)
                sums[i * NV + v] += values[i] * m->slope[p * NV + v];
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

static void add_to(float *out, const vf *in, int nv) {
    for (int v = 0; v < nv; v++)
        vstore(out + v * VL, vload(out + v * VL) + in[v]);
}

/* A worker's partial sums: gradients of weight [4][rank], bias [4], A [4][states] and D [1], each [padded channels]. */
static inline float *sum_row(const cross_problem *q, const cross_block *b, float *sums, int64_t first, int64_t per_k,
                             int64_t row) {
    return sums + (first * DIRECTIONS + b->direction * per_k + row) * q->padded_channels + b->first_channel;
}

INLINE void backward_block(const cross_problem *q, const cross_block *b, backward_memory *m, float *sums,
                           float *grad_proj, const int NV, const int tail, const int single_state) {
    const int64_t states = single_state ? 1 : q->states, per_pixel = states * NV;
    const int64_t tiles = (q->pixels + q->tile - 1) / q->tile;
    int32_t pixels[MAX_TILE];
    pack_weights(q, b, NV, m->weights, &m->w);
    sum_direct(q, b->first_channel, NV, m->direct);
    memset(m->low_rank_weight, 0, sizeof(float) * (size_t)(NV * VL * padded_rank(q)));
    for (int64_t c = 0; c < NV * VL && b->first_channel + c < q->channels; c++)
        memcpy(m->low_rank_weight + c * padded_rank(q),
               q->weight + (b->direction * q->channels + b->first_channel + c) * q->rank,
               sizeof(float) * (size_t)q->rank);
    memset(m->incoming, 0, sizeof(vf) * (size_t)per_pixel);
    memset(m->sum_A, 0, sizeof(vf) * (size_t)per_pixel);
    memset(m->sum_bias, 0, sizeof(vf) * (size_t)NV);
    memset(m->sum_D, 0, sizeof(vf) * (size_t)NV);
    memset(m->starts, 0, sizeof(vf) * (size_t)per_pixel);

    memset(m->h, 0, sizeof(vf) * (size_t)per_pixel);
    for (int64_t i = 0; i + 1 < tiles; i++) {
        fill_pixels(q, b->direction, i * q->tile, q->tile, pixels);
        run_states(q, b, m, pixels, q->tile, NV, tail, states, 0);
        memcpy(m->starts + (i + 1) * per_pixel, m->h, sizeof(vf) * (size_t)per_pixel);
    }
    for (int64_t i = tiles - 1; i >= 0; i--) {
        int64_t start = i * q->tile, count = q->pixels - start < q->tile ? q->pixels - start : q->tile;
        fill_pixels(q, b->direction, start, count, pixels);
        memcpy(m->h, m->starts + i * per_pixel, sizeof(vf) * (size_t)per_pixel);
        run_states(q, b, m, pixels, count, NV, tail, states, 1);
        run_back(q, b, m, pixels, count, NV, tail, states);
        add_tile(q, b, m, pixels, count, grad_proj, sum_row(q, b, sums, 0, q->rank, 0), NV, states);
    }

    add_to(sum_row(q, b, sums, q->rank, 1, 0), m->sum_bias, NV);
    for (int64_t s = 0; s < states; s++)
        add_to(sum_row(q, b, sums, q->rank + 1, states, s), m->sum_A + s * NV, NV);
    if (b->direction == 0)
        add_to(sum_row(q, b, sums, q->rank + 1 + states, 1, 0), m->sum_D, NV);
}

#define BACKWARD(name, nv, tail, single)                                                                              \
    static void name(const cross_problem *q, const cross_block *b, backward_memory *m, float *sums, float *proj) {    \
        backward_block(q, b, m, sums, proj, nv, tail, single);                                                        \
    }
BACKWARD(backward_wide_1, WIDE, 0, 1)
BACKWARD(backward_one_1, 1, 0, 1)
BACKWARD(backward_tail_1, 1, 1, 1)
BACKWARD(backward_wide_s, WIDE, 0, 0)
BACKWARD(backward_one_s, 1, 0, 0)
BACKWARD(backward_tail_s, 1, 1, 0)

/* One task: one group of channels of one image, in all directions. */
static void backward_task(void *context, int task, int worker) {
    const cross_problem *q = context;
    int64_t proj_size = q->batch * q->pixels * DIRECTIONS * q->columns;
    int group = task / (int)q->batch;
    float *grad_proj = group ? q->partial_proj + (group - 1) * proj_size : q->grad_proj;
    float *sums = q->partial_sums + worker * q->sums_per_worker;
    backward_memory m;
    lay_out(q, q->scratch + q->scratch_bytes * (size_t)worker, &m);
    int vector = (int)((int64_t)group * q->vectors / q->groups);
    int end = (int)((int64_t)(group + 1) * q->vectors / q->groups);
    while (vector < end) {
        cross_block b = {task % q->batch, (int64_t)vector * VL, 0, VL};
        int wide = vector + WIDE <= end && (int64_t)(vector + WIDE) * VL <= q->channels;
        if (q->channels - b.first_channel < VL)
            b.valid = (int)(q->channels - b.first_channel);
        for (b.direction = 0; b.direction < DIRECTIONS; b.direction++) {
            if (q->states == 1)
                (wide ? backward_wide_1 : b.valid == VL ? backward_one_1 : backward_tail_1)(q, &b, &m, sums, grad_proj);
            else
                (wide ? backward_wide_s : b.valid == VL ? backward_one_s : backward_tail_s)(q, &b, &m, sums, grad_proj);
        }
        vector += wide ? WIDE : 1;
    }
}

/* Adds up the workers' sums and drops the padding of the channels. */
static void collect(const cross_problem *q, int workers, int64_t first, int64_t rows, float *out) {
    for (int64_t row = first; row < first + rows; row++, out += q->channels) {
        const float *in = q->partial_sums + row * q->padded_channels;
        memcpy(out, in, sizeof(float) * (size_t)q->channels);
        for (int w = 1; w < workers; w++)
            for (int64_t c = 0; c < q->channels; c++)
                out[c] += in[w * q->sums_per_worker + c];
    }
}

/* Gradients of the cross scan for grad_y. grad_proj must be 0; grad_weight is (4, rank, channels), grad_A (4, states,
 * channels), grad_D (channels): the same for the four directions. Returns 0, or -1 if there is no memory. */
int cross_scan_backward(const float *grad_y, const float *x, const float *proj, const float *weight, const float *bias,
                        const float *A, const float *D, float *grad_x, float *grad_proj, float *grad_weight,
                        float *grad_bias, float *grad_A, float *grad_D, int64_t batch, int64_t height, int64_t width,
                        int64_t channels, int64_t rank, int64_t states, int threads) {
    cross_problem q = {.x = x, .proj = proj, .weight = weight, .bias = bias, .A = A, .D = D, .grad_y = grad_y,
                       .grad_x = grad_x, .grad_proj = grad_proj, .batch = batch, .height = height, .width = width,
                       .channels = channels, .rank = rank, .states = states};
    int workers = plan_tasks(&q, threads);
    int64_t pixel_bytes = (int64_t)sizeof(vf) * (WIDE * (2 + 2 * states) + 2 * states);
    q.tile = TILE_BYTES / pixel_bytes < PIXEL_ROWS ? PIXEL_ROWS : TILE_BYTES / pixel_bytes;
    q.tile = q.tile > MAX_TILE ? MAX_TILE : q.tile;
    q.tile = q.tile > q.pixels ? q.pixels : q.tile;
    q.padded_channels = (int64_t)q.vectors * VL;
    int64_t rows = DIRECTIONS * (rank + 1 + states) + 1, extra_groups = q.groups - 1;
    q.sums_per_worker = rows * q.padded_channels;
    size_t proj_size = (size_t)(batch * q.pixels * DIRECTIONS * q.columns);
    backward_memory unused;
    q.scratch_bytes = lay_out(&q, NULL, &unused);
    q.scratch = scratch_alloc(q.scratch_bytes * (size_t)workers);
    q.partial_sums = calloc((size_t)(workers * q.sums_per_worker), sizeof(float));
    q.partial_proj = extra_groups ? calloc((size_t)extra_groups * proj_size, sizeof(float)) : NULL;
    int failed = !q.scratch || !q.partial_sums || (extra_groups && !q.partial_proj);
    if (!failed) {
        run_tasks(backward_task, &q, (int)(batch * q.groups), workers);
        for (int64_t group = 0; group < extra_groups; group++)
            for (size_t i = 0; i < proj_size; i++)
                grad_proj[i] += q.partial_proj[(size_t)group * proj_size + i];
        collect(&q, workers, 0, DIRECTIONS * rank, grad_weight);
        collect(&q, workers, DIRECTIONS * rank, DIRECTIONS, grad_bias);
        collect(&q, workers, DIRECTIONS * (rank + 1), DIRECTIONS * states, grad_A);
        collect(&q, workers, rows - 1, 1, grad_D);
    }
    free(q.scratch);
    free(q.partial_sums);
    free(q.partial_proj);
    return failed ? -1 : 0;
}
