/* Forward pass of the cross scan, channels last: x (N, H, W, C) and proj (N, H, W, 4, R + 2S) are read in place in all
 * four directions, vectors run over the channels, and nothing is stored but the sum y (N, H, W, C). */
#include "cross_scan.h"

#define TILE 256

INLINE void forward_block(const cross_problem *q, const cross_block *b, vf *memory, const int NV, const int tail,
                          const int single_state) {
    const int64_t states = single_state ? 1 : q->states, rank = q->rank;
    block_weights w;
    pack_weights(q, b, NV, memory, &w);
    vf direct[WIDE], h_single[WIDE]; /* h_single: with one state h stays in registers */
    vf *h = memory + block_weights_vectors(q);
    sum_direct(q, b->first_channel, NV, direct);
    EACH(NV) h_single[v] = vset(0.f);
    memset(h, 0, sizeof(vf) * (size_t)(states * NV));

    const int far = is_far(q, b);
    int32_t pixels[TILE + AHEAD];
    for (int64_t start = 0; start < q->pixels; start += TILE) {
        int64_t count = q->pixels - start < TILE ? q->pixels - start : TILE;
        fill_pixels(q, b->direction, start, count, pixels);
        for (int64_t p = 0; p < count; p++) {
            const float *values = pixel_proj(q, b, pixels[p]), *B = values + rank, *C = B + states;
            int64_t offset = (b->image * q->pixels + pixels[p]) * q->channels + b->first_channel;
            const float *x_in = q->x + offset;
            float *out = q->y + offset;
            if (far) {
                __builtin_prefetch(pixel_proj(q, b, pixels[p + AHEAD]));
                fetch_channels(q, b, q->x, pixels[p + AHEAD], NV);
                fetch_channels(q, b, q->y, pixels[p + AHEAD], NV);
            }
            vf z[WIDE], t[WIDE], step[WIDE], drive[WIDE], decay[WIDE], y[WIDE];
            raw_steps(values, &w, rank, NV, z);
            vsoftplus(NV, z, t, step);
            EACH(NV) {
                vf x = load_channels(x_in, v, tail, b->valid);
                drive[v] = step[v] * x;
                y[v] = b->direction == 0 ? direct[v] * x : load_channels(out, v, tail, b->valid);
            }
            if (single_state) {
                EACH(NV) decay[v] = step[v] * w.A_log2[v];
                vexp2(NV, decay, decay);
                EACH(NV) h_single[v] = decay[v] * h_single[v] + drive[v] * B[0];
                EACH(NV) y[v] += h_single[v] * C[0];
            } else {
                for (int64_t s = 0; s < states; s++) {
                    EACH(NV) decay[v] = step[v] * w.A_log2[s * NV + v];
                    vexp2(NV, decay, decay);
                    EACH(NV) h[s * NV + v] = decay[v] * h[s * NV + v] + drive[v] * B[s];
                    EACH(NV) y[v] += h[s * NV + v] * C[s];
                }
            }
            EACH(NV) store_channels(out, v, y[v], tail, b->valid);
        }
    }
}

static void forward_wide_1(const cross_problem *q, const cross_block *b, vf *m) { forward_block(q, b, m, WIDE, 0, 1); }
static void forward_one_1(const cross_problem *q, const cross_block *b, vf *m) { forward_block(q, b, m, 1, 0, 1); }
static void forward_tail_1(const cross_problem *q, const cross_block *b, vf *m) { forward_block(q, b, m, 1, 1, 1); }
static void forward_wide_s(const cross_problem *q, const cross_block *b, vf *m) { forward_block(q, b, m, WIDE, 0, 0); }
static void forward_one_s(const cross_problem *q, const cross_block *b, vf *m) { forward_block(q, b, m, 1, 0, 0); }
static void forward_tail_s(const cross_problem *q, const cross_block *b, vf *m) { forward_block(q, b, m, 1, 1, 0); }

/* One task: one group of channels of one image, in all directions. */
static void forward_task(void *context, int task, int worker) {
    const cross_problem *q = context;
    vf *memory = (vf *)(q->scratch + q->scratch_bytes * (size_t)worker);
    int group = task / (int)q->batch;
    int vector = (int)((int64_t)group * q->vectors / q->groups);
    int end = (int)((int64_t)(group + 1) * q->vectors / q->groups);
    while (vector < end) {
        cross_block b = {task % q->batch, (int64_t)vector * VL, 0, VL};
        int wide = vector + WIDE <= end && (int64_t)(vector + WIDE) * VL <= q->channels;
        if (q->channels - b.first_channel < VL)
            b.valid = (int)(q->channels - b.first_channel);
        for (b.direction = 0; b.direction < DIRECTIONS; b.direction++) {
            if (q->states == 1)
                (wide ? forward_wide_1 : b.valid == VL ? forward_one_1 : forward_tail_1)(q, &b, memory);
            else
                (wide ? forward_wide_s : b.valid == VL ? forward_one_s : forward_tail_s)(q, &b, memory);
        }
        vector += wide ? WIDE : 1;
    }
}

/* Returns 0, or -1 if there is no memory. All arrays are float32 and contiguous. */
int cross_scan_forward(const float *x, const float *proj, const float *weight, const float *bias, const float *A,
                       const float *D, float *y, int64_t batch, int64_t height, int64_t width, int64_t channels,
                       int64_t rank, int64_t states, int threads) {
    cross_problem q = {.x = x, .proj = proj, .weight = weight, .bias = bias, .A = A, .D = D, .y = y, .batch = batch,
                       .height = height, .width = width, .channels = channels, .rank = rank, .states = states};
    int workers = plan_tasks(&q, threads);
    q.scratch_bytes = sizeof(vf) * (block_weights_vectors(&q) + (size_t)(WIDE * states));
    q.scratch = scratch_alloc(q.scratch_bytes * (size_t)workers);
    if (!q.scratch)
        return -1;
    run_tasks(forward_task, &q, (int)(batch * q.groups), workers);
    free(q.scratch);
    return 0;
}
