// One pixel's gradient: its norm and its shaping.
//
// The same arithmetic as dreampgc/ops/reference.py, for a float[C]; plain C++ that runs on a GPU and on a CPU. There is
// one branch, to what is not finite or close to it; all other pixels go the same way, by selects.

#pragma once

#include <cmath>
#include <cstdint>

#ifdef __CUDACC__
#define DREAMPGC_INLINE __host__ __device__ __forceinline__
#else
#define DREAMPGC_INLINE inline
#endif

#ifdef __CUDA_ARCH__
#define DREAMPGC_UNROLL _Pragma("unroll")
#else
#define DREAMPGC_UNROLL
#endif

namespace dreampgc {

enum class Mode { kNorm, kValue, kNormalize };
enum class Norm { kL2, kLinf };

struct Rule {
  Mode mode;
  Norm norm;
  float threshold;
};

// Whether a type is so narrow that no square of it leaves float's range: true for float16.
template <typename T>
inline constexpr bool kSquaresFit = false;

constexpr float kLargest = 3.402823466e38f;
constexpr float kSmallestNormal = 1.175494351e-38f;

// 1/x and 1/sqrt(x) of a normal x whose result is normal too, within 2^-23 and 2^-22.9 of it on a GPU: one instruction.
DREAMPGC_INLINE float reciprocal(float x) {
#ifdef __CUDA_ARCH__
  asm("rcp.approx.ftz.f32 %0, %0;" : "+f"(x));
  return x;
#else
  return 1 / x;
#endif
}

DREAMPGC_INLINE float inverse_root(float x) {
#ifdef __CUDA_ARCH__
  asm("rsqrt.approx.ftz.f32 %0, %0;" : "+f"(x));
  return x;
#else
  return 1 / sqrtf(x);
#endif
}

// A power of two that brings a pixel's channels to where their squares neither overflow nor vanish.
// Multiplying by it is exact, and costs less than the reference's division by the largest channel.
struct Scale {
  float factor, inverse;
};

// Squares of scaled channels add up to no more than this, or the norm may leave float's range. It follows from the
// 2^-64 below; what is missing from 2^128 are the roundings of the norm.
constexpr float kMostSquares = 3.4e38f;

DREAMPGC_INLINE Scale safe_scale(float largest) {
  const bool large = largest > 0x1p62f, small = largest < 0x1p-48f;
  return {large ? 0x1p-64f : small ? 0x1p96f : 1, large ? 0x1p64f : small ? 0x1p-96f : 1};
}

template <int C>
DREAMPGC_INLINE float largest_channel(const float (&g)[C]) {
  float largest = fabsf(g[0]);
  for (int i = 1; i < C; ++i) largest = fmaxf(largest, fabsf(g[i]));
  return largest;
}

template <int C>
DREAMPGC_INLINE float sum_of_squares(const float (&g)[C]) {
  float sum = g[0] * g[0];
  for (int i = 1; i < C; ++i) sum = fmaf(g[i], g[i], sum);
  return sum;
}

struct Length {
  float value, inverse;
};

// Of a vector whose squares stay in range; where it is 0, the inverse is merely large.
template <Norm N, int C>
DREAMPGC_INLINE Length length_of(const float (&unit)[C]) {
  if constexpr (N == Norm::kLinf) {
    const float largest = largest_channel(unit);
    return {largest, reciprocal(fmaxf(largest, 0x1p-64f))};
  } else {
    const float sum = sum_of_squares(unit);
    const float inverse = inverse_root(fmaxf(sum, kSmallestNormal));
    const float value = sum * inverse;
    // one step of Newton's method: a norm that is just the threshold must not come out above it
    return {fmaf(0.5f * inverse, fmaf(-value, value, sum), value), inverse};
  }
}

// Shapes g, whose scaled channels are `unit` (Sec. 4.4, Eq. 9 and 10), and returns the norm it had.
template <Mode M, Norm N, int C>
DREAMPGC_INLINE float shape_scaled(float (&g)[C], const float (&unit)[C], const Scale& scale, float c) {
  const Length length = length_of<N>(unit);
  const float norm = length.value * scale.inverse;
  const bool above = norm > c;
  if constexpr (M == Mode::kValue) {
    for (int i = 0; i < C; ++i) g[i] = fminf(fmaxf(g[i], -c), c);
  } else if constexpr (M == Mode::kNorm) {
    const float shrink = c * length.inverse;
    for (int i = 0; i < C; ++i) g[i] = above ? unit[i] * shrink : g[i];  // below the threshold every bit stays
  } else {
    // c g / (norm + c) times the scale or an eighth, so that neither the sum nor its reciprocal leaves float's range
    const float part = c * 0.125f;
    const float sum = above ? fmaf(c, scale.factor, length.value) : fmaf(norm, 0.125f, part);
    const float shrink = (above ? c : part) * reciprocal(sum);
    for (int i = 0; i < C; ++i) g[i] = (above ? unit[i] : g[i]) * shrink;
  }
  return norm;
}

// The same for a pixel whose squares are out of range: NaN, infinite, or close to it.
// A pixel with a NaN becomes 0; one with an infinity a vector of norm c along its signs (a clamped one in kValue).
template <Mode M, Norm N, int C>
DREAMPGC_INLINE float shape_extreme(float (&g)[C], float c) {
  bool has_nan = false;
  for (int i = 0; i < C; ++i) has_nan = has_nan || g[i] != g[i];
  if (has_nan) {
    for (int i = 0; i < C; ++i) g[i] = 0;
    return NAN;
  }
  const bool infinite = largest_channel(g) > kLargest;
  const Scale scale = infinite ? Scale{0, INFINITY} : Scale{0x1p-96f, 0x1p96f};
  float unit[C];
  for (int i = 0; i < C; ++i) {
    unit[i] = infinite ? static_cast<float>((g[i] > 0) - (g[i] < 0)) : g[i] * scale.factor;
  }
  return shape_scaled<M, N>(g, unit, scale, c);
}

// Shapes the gradient g of one pixel in place, and adds the norm it had to `seen`.
template <Mode M, Norm N, bool Fits, int C, typename Statistics>
DREAMPGC_INLINE void shape_pixel(float (&g)[C], float c, Statistics& seen) {
  const Scale scale = Fits ? Scale{1, 1} : safe_scale(largest_channel(g));
  float unit[C];
  for (int i = 0; i < C; ++i) unit[i] = g[i] * scale.factor;
  if (__builtin_expect(sum_of_squares(unit) <= kMostSquares, true)) {  // false for NaN too
    seen.add(shape_scaled<M, N>(g, unit, scale, c), c);
  } else {
    seen.add_extreme(shape_extreme<M, N>(g, c), c);
  }
}

}  // namespace dreampgc
