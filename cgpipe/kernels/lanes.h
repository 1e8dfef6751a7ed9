// A vector of float32, one weight a lane: AVX-512, AVX2 or the compiler's own vectors.
//
// `larger` and `smaller` are exact choices of one of their operands, of the second where one is NaN;
// `where_at_most` is p where x <= y, and q elsewhere.
// `add_product` rounds once where the processor can.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>

#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#endif

namespace {

#if defined(__AVX512F__)

struct Lanes {
    static constexpr int count = 16;
    __m512 v;
    static Lanes of(float x) { return {_mm512_set1_ps(x)}; }
    static Lanes load(const float* p) { return {_mm512_loadu_ps(p)}; }
    void store(float* p) const { _mm512_storeu_ps(p, v); }
};
[[gnu::always_inline]] inline Lanes operator+(Lanes x, Lanes y) {
    return {_mm512_add_ps(x.v, y.v)};
}
[[gnu::always_inline]] inline Lanes operator-(Lanes x, Lanes y) {
    return {_mm512_sub_ps(x.v, y.v)};
}
[[gnu::always_inline]] inline Lanes operator*(Lanes x, Lanes y) {
    return {_mm512_mul_ps(x.v, y.v)};
}
[[gnu::always_inline]] inline Lanes add_product(Lanes sum, Lanes x, Lanes y) {
    return {_mm512_fmadd_ps(x.v, y.v, sum.v)};
}
[[gnu::always_inline]] inline Lanes larger(Lanes x, Lanes y) {
    return {_mm512_max_ps(x.v, y.v)};
}
[[gnu::always_inline]] inline Lanes smaller(Lanes x, Lanes y) {
    return {_mm512_min_ps(x.v, y.v)};
}
[[gnu::always_inline]] inline Lanes where_at_most(Lanes x, Lanes y, Lanes p, Lanes q) {
    return {_mm512_mask_blend_ps(_mm512_cmp_ps_mask(x.v, y.v, _CMP_LE_OQ), q.v, p.v)};
}
// The smaller first. The larger is what is left of the two: bits that no port of minima and maxima is needed
// for.
[[gnu::always_inline]] inline void exchange(Lanes& x, Lanes& y) {
    const Lanes least = smaller(x, y);
    y.v = _mm512_castsi512_ps(_mm512_ternarylogic_epi32(_mm512_castps_si512(x.v), _mm512_castps_si512(y.v),
                                                        _mm512_castps_si512(least.v), 0x96));
    x = least;
}

#elif defined(__AVX2__)

struct Lanes {
    static constexpr int count = 8;
    __m256 v;
    static Lanes of(float x) { return {_mm256_set1_ps(x)}; }
    static Lanes load(const float* p) { return {_mm256_loadu_ps(p)}; }
    void store(float* p) const { _mm256_storeu_ps(p, v); }
};
[[gnu::always_inline]] inline Lanes operator+(Lanes x, Lanes y) {
    return {_mm256_add_ps(x.v, y.v)};
}
[[gnu::always_inline]] inline Lanes operator-(Lanes x, Lanes y) {
    return {_mm256_sub_ps(x.v, y.v)};
}
[[gnu::always_inline]] inline Lanes operator*(Lanes x, Lanes y) {
    return {_mm256_mul_ps(x.v, y.v)};
}
[[gnu::always_inline]] inline Lanes add_product(Lanes sum, Lanes x, Lanes y) {
    return {_mm256_fmadd_ps(x.v, y.v, sum.v)};
}
[[gnu::always_inline]] inline Lanes larger(Lanes x, Lanes y) {
    return {_mm256_max_ps(x.v, y.v)};
}
[[gnu::always_inline]] inline Lanes smaller(Lanes x, Lanes y) {
    return {_mm256_min_ps(x.v, y.v)};
}
[[gnu::always_inline]] inline Lanes where_at_most(Lanes x, Lanes y, Lanes p, Lanes q) {
    return {_mm256_blendv_ps(q.v, p.v, _mm256_cmp_ps(x.v, y.v, _CMP_LE_OQ))};
}

#else

struct Lanes {
    static constexpr int count = 4;
    typedef float Four __attribute__((vector_size(16)));  // of GCC and Clang, on any processor
    Four v;
    static Lanes of(float x) { return {Four{x, x, x, x}}; }
    static Lanes load(const float* p) {
        Lanes x;
        std::memcpy(&x.v, p, sizeof(x.v));
        return x;
    }
    void store(float* p) const { std::memcpy(p, &v, sizeof(v)); }
};
[[gnu::always_inline]] inline Lanes operator+(Lanes x, Lanes y) {
    return {x.v + y.v};
}
[[gnu::always_inline]] inline Lanes operator-(Lanes x, Lanes y) {
    return {x.v - y.v};
}
[[gnu::always_inline]] inline Lanes operator*(Lanes x, Lanes y) {
    return {x.v * y.v};
}
[[gnu::always_inline]] inline Lanes add_product(Lanes sum, Lanes x, Lanes y) {
    return {sum.v + x.v * y.v};
}
[[gnu::always_inline]] inline Lanes larger(Lanes x, Lanes y) {
    return {x.v > y.v ? x.v : y.v};
}
[[gnu::always_inline]] inline Lanes smaller(Lanes x, Lanes y) {
    return {x.v < y.v ? x.v : y.v};
}
[[gnu::always_inline]] inline Lanes where_at_most(Lanes x, Lanes y, Lanes p, Lanes q) {
    return {x.v <= y.v ? p.v : q.v};
}

#endif

#if !defined(__AVX512F__)
[[gnu::always_inline]] inline void exchange(Lanes& x, Lanes& y) {
    const Lanes least = smaller(x, y);
    y = larger(x, y);
    x = least;
}
#endif

// The first few of a vector's places, the rest 0.
[[gnu::always_inline]] inline Lanes load_some(const float* p, int64_t few) {
    float all[Lanes::count] = {};
    std::memcpy(all, p, few * sizeof(float));
    return Lanes::load(all);
}
inline void store_some(Lanes x, float* p, int64_t few) {
    float all[Lanes::count];
    x.store(all);
    std::memcpy(p, all, few * sizeof(float));
}

// Two side by side.
struct Pair {
    static constexpr int count = 2 * Lanes::count;
    Lanes left, right;
    static Pair of(float x) { return {Lanes::of(x), Lanes::of(x)}; }
    static Pair load(const float* p) { return {Lanes::load(p), Lanes::load(p + Lanes::count)}; }
    void store(float* p) const {
        left.store(p);
        right.store(p + Lanes::count);
    }
};
[[gnu::always_inline]] inline Pair operator+(Pair x, Pair y) {
    return {x.left + y.left, x.right + y.right};
}
[[gnu::always_inline]] inline Pair operator-(Pair x, Pair y) {
    return {x.left - y.left, x.right - y.right};
}
[[gnu::always_inline]] inline Pair operator*(Pair x, Pair y) {
    return {x.left * y.left, x.right * y.right};
}
[[gnu::always_inline]] inline Pair add_product(Pair sum, Pair x, Pair y) {
    return {add_product(sum.left, x.left, y.left), add_product(sum.right, x.right, y.right)};
}
[[gnu::always_inline]] inline Pair larger(Pair x, Pair y) {
    return {larger(x.left, y.left), larger(x.right, y.right)};
}
[[gnu::always_inline]] inline Pair smaller(Pair x, Pair y) {
    return {smaller(x.left, y.left), smaller(x.right, y.right)};
}
[[gnu::always_inline]] inline void exchange(Pair& x, Pair& y) {
    exchange(x.left, y.left);
    exchange(x.right, y.right);
}

// Whether any of n values is not 0.
inline bool any(const float* values, int64_t n) {
    uint32_t bits = 0;
    for (int64_t j = 0; j < n; ++j) bits |= std::bit_cast<uint32_t>(values[j]);
    return bits << 1 != 0;  // the sign of a 0 is none
}

}  // namespace
