/* Forward pass of the cross scan, channels last: x (N, H, W, C) and proj (N, H, W, 4, R + 2S) are read in place in all
 * four directions, vectors run over the channels, and nothing is stored but the sum y (N, H, W, C). */
#include "cross_scan.h"

#define TILE 256

/* One step of one state; gives what it adds to y. B is at its place in proj, and C `states` places behind. */
INLINE vf advance(vf *h, vf step, vf drive, vf A_log2, const float *B, int64_t states) {
    *h = vexp2(step * A_log2) * *h + drive * B[0];
    return *h * B[states];
}

INLINE void forward_block(const cross_problem *q, const cross_block *b, vf *memory, const int NV, const int tail,
                          const int single_state) {
    const int64_t states = single_state ? 1 : q->states, rank = q->rank;
    block_weights w;
    pack_weights(q, b, NV, memory, &w);
    vf direct[NV], h[NV]; /* with one state h stays in registers */
    sum_direct(q, b->first_channel, NV, direct);
    vf *h_states = memory + block_weights_vectors(q);
    memset(h, 0, sizeof h);
    memset(h_states, 0, sizeof(vf) * (size_t)(states * NV));

    int32_t pixels[TILE];
    for (int64_t start = 0; start < q->pixels; start += TILE) {
        int64_t count = q->pixels - start < TILE ? q->pixels - start : TILE;
        fill_pixels(q, b->direction, start, count, pixels);
        for (int64_t p = 0; p < count; p++) {
            const float *values = pixel_proj(q, b, pixels[p]);
            int64_t offset = (b->image * q->pixels + pixels[p]) * q->channels + b->first_channel;
            vf z[NV];
            raw_steps(values, &w, rank, NV, z);
            UNROLL
            for (int v = 0; v < NV; v++) {
                vf t, step = vsoftplus(z[v], &t), x = load_channels(q->x + offset, v, tail, b->valid);
                vf drive = step * x, y = vset(0.f);
                if (single_state)
                    y = advance(&h[v], step, drive, w.A_log2[v], values + rank, states);
                else
                    for (int64_t s = 0; s < states; s++)
                        y += advance(&h_states[s * NV + v], step, drive, w.A_log2[s * NV + v], values + rank + s, states);
                float *out = q->y + offset;
                y += b->direction == 0 ? direct[v] * x : load_channels(out, v, tail, b->valid);
                store_channels(out, v, y, tail, b->valid);
            }
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
