/* Vectors of floats at the width of the machine, and the two transcendental functions of the scan on them. */
#ifndef MAMBA_CD_VEC_H
#define MAMBA_CD_VEC_H

#include <stdint.h>
#include <string.h>

#if defined(__SSE__)
#include <immintrin.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#endif

#if defined(__AVX512F__)
#define VBYTES 64
#elif defined(__AVX__)
#define VBYTES 32
#else
#define VBYTES 16
#endif
#define VL (VBYTES / 4)

#define INLINE static inline __attribute__((always_inline))
/* Up to this many vectors are worked on side by side: a polynomial is one long chain, and several chains overlap. */
#define WIDE 4
/* The same for each of n vectors; n is a constant of the instantiation. Only once the loop is unrolled do small arrays
 * of vectors become registers. */
#ifdef __clang__
#define EACH(n) _Pragma("unroll") for (int v = 0; v < (n); v++)
#else
#define EACH(n) _Pragma("GCC unroll 8") for (int v = 0; v < (n); v++)
#endif

typedef float vf __attribute__((vector_size(VBYTES)));
typedef int32_t vi __attribute__((vector_size(VBYTES)));
typedef float vf_unaligned __attribute__((vector_size(VBYTES), aligned(4), may_alias));

INLINE vf vset(float s) { return s - (vf){0}; }
INLINE vf vload(const float *p) { return *(const vf_unaligned *)p; }
INLINE void vstore(float *p, vf v) { *(vf_unaligned *)p = v; }

/* Load or store the first `valid` lanes; the others are 0, or are left as they are. */
INLINE vf vload_part(const float *p, int valid) {
    vf v = {0};
    memcpy(&v, p, sizeof(float) * (size_t)valid);
    return v;
}
INLINE void vstore_part(float *p, vf v, int valid) { memcpy(p, &v, sizeof(float) * (size_t)valid); }

/* Larger and smaller of the two; b where one is NaN, so that a NaN in the data is not hidden. */
#if defined(__AVX512F__)
INLINE vf vmax(vf a, vf b) { return (vf)_mm512_max_ps((__m512)a, (__m512)b); }
INLINE vf vmin(vf a, vf b) { return (vf)_mm512_min_ps((__m512)a, (__m512)b); }
#elif defined(__AVX__)
INLINE vf vmax(vf a, vf b) { return (vf)_mm256_max_ps((__m256)a, (__m256)b); }
INLINE vf vmin(vf a, vf b) { return (vf)_mm256_min_ps((__m256)a, (__m256)b); }
#elif defined(__SSE__)
INLINE vf vmax(vf a, vf b) { return (vf)_mm_max_ps((__m128)a, (__m128)b); }
INLINE vf vmin(vf a, vf b) { return (vf)_mm_min_ps((__m128)a, (__m128)b); }
#elif defined(__ARM_NEON)
INLINE vf vmax(vf a, vf b) { return (vf)vmaxq_f32((float32x4_t)a, (float32x4_t)b); }
INLINE vf vmin(vf a, vf b) { return (vf)vminq_f32((float32x4_t)a, (float32x4_t)b); }
#else
INLINE vf vselect(vi mask, vf a, vf b) { return (vf)((mask & (vi)a) | (~mask & (vi)b)); }
INLINE vf vmax(vf a, vf b) { return vselect(a > b, a, b); }
INLINE vf vmin(vf a, vf b) { return vselect(a < b, a, b); }
#endif
INLINE vf vabs(vf a) { return (vf)((vi)a & 0x7fffffff); }

INLINE float vsum(vf v) {
    float s[VL];
    memcpy(s, &v, sizeof v);
    for (int width = VL / 2; width; width /= 2)
        for (int i = 0; i < width; i++)
            s[i] += s[i + width];
    return s[0];
}

#define LOG2E 1.442695040888963f
#define LN2 0.6931471805599453f
/* Adding 1.5 * 2^23 leaves the nearest integer in the low bits of the mantissa. */
#define ROUND_MAGIC 12582912.f

/* 2^(i + f) with r = i + ROUND_MAGIC and |f| <= 1/2. The minimax polynomial has relative error 9e-8 and is exactly 1 at
 * 0: a decay close to 1 is raised to the power of hundreds of steps by the recurrence. */
INLINE void vexp2_split(const int n, const vf *r, const vf *f, vf *out) {
    vf p[WIDE];
    EACH(n) p[v] = f[v] * 0.00132647272f + 0.00967151264f;
    EACH(n) p[v] = p[v] * f[v] + 0.0555073374f;
    EACH(n) p[v] = p[v] * f[v] + 0.240222421f;
    EACH(n) p[v] = p[v] * f[v] + 0.693146978f;
    EACH(n) p[v] = p[v] * f[v] + 1.f;
    EACH(n) out[v] = (vf)((vi)p[v] + ((vi)r[v] << 23));
}

/* 2^x; outside of [-126, 126] the value at the nearer end. */
INLINE void vexp2(const int n, const vf *x, vf *out) {
    vf in[WIDE], r[WIDE], f[WIDE];
    EACH(n) in[v] = vmin(vset(126.f), vmax(vset(-126.f), x[v]));
    EACH(n) r[v] = in[v] + ROUND_MAGIC;
    EACH(n) f[v] = in[v] - (r[v] - ROUND_MAGIC);
    vexp2_split(n, r, f, out);
}

/* softplus(z) = max(z, 0) + log(1 + t), t = exp(-|z|), which is given too; relative error 3e-7 for every z > -87. */
INLINE void vsoftplus(const int n, const vf *z, vf *t, vf *out) {
    vf w[WIDE], r[WIDE], f[WIDE], p[WIDE];
    EACH(n) w[v] = vmin(vset(87.f), vabs(z[v]));
    EACH(n) r[v] = w[v] * -LOG2E + ROUND_MAGIC;
    EACH(n) f[v] = w[v] * -LOG2E - (r[v] - ROUND_MAGIC);
    vexp2_split(n, r, f, t);
    /* log(1 + t) / t on [0, 1], relative error 3e-8 */
    EACH(n) p[v] = t[v] * 0.0052326943f - 0.0295052389f;
    EACH(n) p[v] = p[v] * t[v] + 0.0782259521f;
    EACH(n) p[v] = p[v] * t[v] - 0.136632458f;
    EACH(n) p[v] = p[v] * t[v] + 0.191060068f;
    EACH(n) p[v] = p[v] * t[v] - 0.248429822f;
    EACH(n) p[v] = p[v] * t[v] + 0.333190968f;
    EACH(n) p[v] = p[v] * t[v] - 0.499994931f;
    EACH(n) p[v] = p[v] * t[v] + 0.99999997f;
    EACH(n) out[v] = p[v] * t[v] + (z[v] + vabs(z[v])) * 0.5f;
}

/* Derivative of softplus, sigmoid(z), from t = exp(-|z|); keeps its relative accuracy where it is small. */
INLINE vf vsigmoid(vf z, vf t) {
    vi negative = (vi)z >> 31;
    vf numerator = (vf)((negative & (vi)t) | (~negative & (vi)vset(1.f)));
    return numerator / (1.f + t);
}

/* Lanes moved d up (towards the end) or down; the free ones are taken from `fill`. */
#if VL == 16
#define LANES(f, d) f(0, d), f(1, d), f(2, d), f(3, d), f(4, d), f(5, d), f(6, d), f(7, d), f(8, d), f(9, d), \
                    f(10, d), f(11, d), f(12, d), f(13, d), f(14, d), f(15, d)
#elif VL == 8
#define LANES(f, d) f(0, d), f(1, d), f(2, d), f(3, d), f(4, d), f(5, d), f(6, d), f(7, d)
#else
#define LANES(f, d) f(0, d), f(1, d), f(2, d), f(3, d)
#endif
#define LANE_UP(i, d) ((i) < (d) ? (i) : VL + (i) - (d))
#define LANE_DOWN(i, d) ((i) + (d) < VL ? VL + (i) + (d) : (i))
#define LANE_SAME(i, d) (d)
#ifdef __clang__
#define SHUFFLE(a, b, f, d) __builtin_shufflevector(a, b, LANES(f, d))
#else
#define SHUFFLE(a, b, f, d) __builtin_shuffle(a, b, (vi){LANES(f, d)})
#endif

/* One doubling of the distance over which lanes are combined. */
#define SCAN_STEP(lane, d)                                                  \
    if ((d) < VL) {                                                         \
        EACH(n) b[v] = a[v] * SHUFFLE(vset(0.f), b[v], lane, d) + b[v];     \
        EACH(n) a[v] = a[v] * SHUFFLE(vset(1.f), a[v], lane, d);            \
    }

/* The recurrence h[i] = a[i] * h[i-1] + b[i] over the lanes of n neighbouring vectors. `before` is h before the first
 * lane, in all lanes, and becomes h of the last one. */
INLINE void vscan_up(const int n, vf *a, vf *b, vf *h, vf *before) {
    SCAN_STEP(LANE_UP, 1)
    SCAN_STEP(LANE_UP, 2)
    SCAN_STEP(LANE_UP, 4)
    SCAN_STEP(LANE_UP, 8)
    EACH(n) {
        h[v] = a[v] * *before + b[v];
        *before = SHUFFLE(h[v], h[v], LANE_SAME, VL - 1);
    }
}

/* The same from the last lane of the last vector to the first: q[i] = a[i] * q[i+1] + b[i]; next[i] = q[i+1]. */
INLINE void vscan_down(const int n, vf *a, vf *b, vf *q, vf *next, vf *after) {
    SCAN_STEP(LANE_DOWN, 1)
    SCAN_STEP(LANE_DOWN, 2)
    SCAN_STEP(LANE_DOWN, 4)
    SCAN_STEP(LANE_DOWN, 8)
    EACH(n) {
        const int w = n - 1 - v;
        q[w] = a[w] * *after + b[w];
        next[w] = SHUFFLE(*after, q[w], LANE_DOWN, 1);
        *after = SHUFFLE(q[w], q[w], LANE_SAME, 0);
    }
}

#endif
