/* Backward pass of the cross scan. Nothing of the forward pass was kept: the states at the starts of the tiles are
 * computed first, then tile after tile, from the last to the first, runs forwards to get its states back and then
 * backwards. With g = dL/dh, per channel and direction:
 *
 *     g[l] = gy[l] * C[l] + decay[l+1] * g[l+1]         q[l] = decay[l] * g[l]
 *     dC[l] = sum over channels of gy[l] * h[l]         dB[l] = sum over channels of g[l] * step[l] * x[l]
 *     dstep[l] = g[l] * B[l] * x[l] + q[l] * h[l-1] * A         dA = sum over l of q[l] * h[l-1] * step[l]
 */
#include "cross_scan_backward.h"

/* Tiles are as long as a second-level cache allows. A map of one tile is run forwards once only instead of twice. */
#define TILE_BYTES (1200 << 10)
#define MAX_TILE 1024

/* Runs the recurrence over `count` pixels from h[0]. With `keep` every state, decay, step and slope is stored, without
 * it h[0] itself is moved on. */
INLINE void run_states(const cross_problem *q, const cross_block *b, const backward_memory *m, const int32_t *pixels,
                       int64_t count, const int NV, const int tail, const int64_t states, const int keep) {
    const block_weights w = m->w;
    const int64_t rank = q->rank, per_pixel = states * NV;
    vf *step_out = m->step, *slope_out = m->slope, *decay_out = m->decay, *h = m->h;
    const int far = is_far(q, b);
    vf last[WIDE]; /* with one state h stays in registers */
    EACH(NV) last[v] = h[v];
    for (int64_t p = 0; p < count; p++) {
        const float *values = pixel_proj(q, b, pixels[p]), *B = values + rank;
        int64_t offset = (b->image * q->pixels + pixels[p]) * q->channels + b->first_channel;
        if (far) {
            __builtin_prefetch(pixel_proj(q, b, pixels[p + AHEAD]));
            fetch_channels(q, b, q->x, pixels[p + AHEAD], NV);
        }
        vf z[WIDE], t[WIDE], step[WIDE], drive[WIDE], decay[WIDE];
        raw_steps(values, &w, rank, NV, z);
        vsoftplus(NV, z, t, step);
        EACH(NV) drive[v] = step[v] * load_channels(q->x + offset, v, tail, b->valid);
        if (keep) {
            EACH(NV) step_out[p * NV + v] = step[v];
            EACH(NV) slope_out[p * NV + v] = vsigmoid(z[v], t[v]);
        }
        for (int64_t s = 0; s < states; s++) {
            int64_t before = (keep ? p * per_pixel : 0) + s * NV, after = keep ? before + per_pixel : before;
            EACH(NV) decay[v] = step[v] * w.A_log2[s * NV + v];
            vexp2(NV, decay, decay);
            if (states != 1)
                EACH(NV) last[v] = h[before + v];
            EACH(NV) last[v] = decay[v] * last[v] + drive[v] * B[s];
            if (keep || states != 1)
                EACH(NV) h[after + v] = last[v];
            if (keep)
                EACH(NV) decay_out[before + v] = decay[v];
        }
    }
    if (states == 1 && !keep)
        EACH(NV) h[v] = last[v];
}

/* What one state at one pixel gives; `incoming` and the sums are moved on. */
typedef struct {
    vf drive, step, pixel_B, pixel_C;
} state_gradient;

INLINE state_gradient back_state(vf grad_y, vf decay, const vf *h, int64_t per_pixel, vf A, vf step, vf drive, float B,
                                 float C, vf *incoming, vf *sum_A) {
    vf grad_h = grad_y * C + *incoming;
    *incoming = decay * grad_h;
    vf grad_exponent = *incoming * h[0];
    *sum_A += grad_exponent * step;
    return (state_gradient){grad_h * B, grad_exponent * A, grad_h * drive, grad_y * h[per_pixel]};
}

/* Runs backwards over the pixels of a tile whose states are stored; slope becomes the gradient of the raw steps. */
INLINE void run_back(const cross_problem *q, const cross_block *b, const backward_memory *m, const int32_t *pixels,
                     int64_t count, const int NV, const int tail, const int64_t states) {
    const vf *steps = m->step, *decay = m->decay, *h = m->h, *A = m->w.A, *direct = m->direct;
    const int64_t rank = q->rank, per_pixel = states * NV;
    const int first = b->direction == 0, far = is_far(q, b);
    vf *slope = m->slope, *pixel_sums = m->pixel_sums, *state_incoming = m->incoming, *state_sum_A = m->sum_A;
    vf sum_bias[WIDE], sum_D[WIDE], sum_A[WIDE], incoming[WIDE]; /* with one state all stay in registers */
    for (int v = 0; v < NV; v++) {
        sum_bias[v] = m->sum_bias[v], sum_D[v] = m->sum_D[v];
        sum_A[v] = state_sum_A[v], incoming[v] = state_incoming[v];
    }
    for (int64_t p = count - 1; p >= 0; p--) {
        const float *B = pixel_proj(q, b, pixels[p]) + rank, *C = B + states;
        int64_t offset = (b->image * q->pixels + pixels[p]) * q->channels + b->first_channel;
        if (far) {
            int32_t ahead = pixels[p < AHEAD ? 0 : p - AHEAD];
            __builtin_prefetch(pixel_proj(q, b, ahead));
            fetch_channels(q, b, q->x, ahead, NV);
            fetch_channels(q, b, q->grad_y, ahead, NV);
            fetch_channels(q, b, q->grad_x, ahead, NV);
        }
        vf pixel_B = vset(0.f), pixel_C = vset(0.f), *sums = pixel_sums + p * 2 * states;
        if (states != 1)
            for (int64_t s = 0; s < 2 * states; s++)
                sums[s] = vset(0.f);
        EACH(NV) {
            vf x = load_channels(q->x + offset, v, tail, b->valid);
            vf grad_y = load_channels(q->grad_y + offset, v, tail, b->valid);
            vf step = steps[p * NV + v], drive = step * x, grad_drive = vset(0.f), grad_step = vset(0.f);
            if (states == 1) {
                int64_t i = p * NV + v;
                state_gradient g = back_state(grad_y, decay[i], h + i, NV, A[v], step, drive, B[0], C[0], &incoming[v],
                                              &sum_A[v]);
                grad_drive = g.drive, grad_step = g.step;
                pixel_B += g.pixel_B, pixel_C += g.pixel_C;
            } else {
                for (int64_t s = 0; s < states; s++) {
                    int64_t i = p * per_pixel + s * NV + v, j = s * NV + v;
                    state_gradient g = back_state(grad_y, decay[i], h + i, per_pixel, A[j], step, drive, B[s], C[s],
                                                  &state_incoming[j], &state_sum_A[j]);
                    grad_drive += g.drive, grad_step += g.step;
                    sums[s] += g.pixel_B, sums[states + s] += g.pixel_C;
                }
            }
            vf grad_raw = (grad_step + grad_drive * x) * slope[p * NV + v], grad_x = grad_drive * step;
            slope[p * NV + v] = grad_raw;
            sum_bias[v] += grad_raw;
            if (first) {
                sum_D[v] += grad_y * x;
                grad_x += direct[v] * grad_y;
            } else {
                grad_x += load_channels(q->grad_x + offset, v, tail, b->valid);
            }
            store_channels(q->grad_x + offset, v, grad_x, tail, b->valid);
        }
        if (states == 1)
            sums[0] = pixel_B, sums[1] = pixel_C;
    }
    for (int v = 0; v < NV; v++) {
        m->sum_bias[v] = sum_bias[v], m->sum_D[v] = sum_D[v];
        if (states == 1)
            state_sum_A[v] = sum_A[v], state_incoming[v] = incoming[v];
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
    int32_t pixels[MAX_TILE + AHEAD];
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
