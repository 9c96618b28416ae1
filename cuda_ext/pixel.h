// One pixel's gradient: its norm, its shaping, and the statistics of many of them.
//
// The same arithmetic as dreampgc/ops/reference.py, for a float[C]; plain C++ that runs on a GPU and on a CPU.

#pragma once

#include <cmath>
#include <cstdint>

#ifdef __CUDACC__
#define DREAMPGC_INLINE __host__ __device__ __forceinline__
#define DREAMPGC_UNROLL _Pragma("unroll")
#else
#define DREAMPGC_INLINE inline
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

// Norms of pixels, summed up: what the operator's statistics tensor holds.
struct Tally {
  uint64_t clipped = 0;     // norms above the threshold, infinite ones too
  uint64_t non_finite = 0;  // NaN and infinity, left out of the next two
  double maximum = 0;
  double sum = 0;

  DREAMPGC_INLINE void add(float norm, float threshold) {
    clipped += norm > threshold;
    const bool finite = norm <= 3.402823466e38f;  // false for NaN too
    non_finite += !finite;
    const double value = finite ? norm : 0;
    maximum = value > maximum ? value : maximum;
    sum += value;
  }

  DREAMPGC_INLINE void add(const Tally& other) {
    clipped += other.clipped;
    non_finite += other.non_finite;
    maximum = other.maximum > maximum ? other.maximum : maximum;
    sum += other.sum;
  }
};

// A power of two that brings a pixel's channels to where their squares neither overflow nor vanish.
// Multiplying by it is exact, and costs less than the reference's division by the largest channel.
struct Scale {
  float factor, inverse;
};

DREAMPGC_INLINE Scale safe_scale(float largest) {
  constexpr float kUp = 79228162514264337593543950336.0f;  // 2^96
  constexpr float kDown = 1 / kUp;
  if (largest > 4611686018427387904.0f) return {kDown, kUp};  // 2^62
  if (largest < 3.5527136788005009e-15f) return {kUp, kDown};  // 2^-48
  return {1, 1};
}

// Shapes the gradient g of one pixel in place (Sec. 4.4, Eq. 9 and 10) and returns the norm it had.
// A pixel with a NaN becomes 0; one with an infinity a vector of norm c along its signs (a clamped one in kValue).
template <int C>
DREAMPGC_INLINE float shape_pixel(float (&g)[C], const Rule& rule) {
  const float c = rule.threshold;
  float largest = 0;
  bool has_nan = false;
  for (int i = 0; i < C; ++i) {
    has_nan = has_nan || g[i] != g[i];
    largest = fmaxf(largest, fabsf(g[i]));
  }
  if (has_nan) {
    for (int i = 0; i < C; ++i) g[i] = 0;
    return NAN;
  }

  const bool infinite = largest == INFINITY;
  const Scale scale = safe_scale(largest);
  float unit[C], sum = 0, peak = 0;
  for (int i = 0; i < C; ++i) {
    unit[i] = infinite ? static_cast<float>((g[i] > 0) - (g[i] < 0)) : g[i] * scale.factor;
    sum += unit[i] * unit[i];
    peak = fmaxf(peak, fabsf(unit[i]));
  }
  const float length = rule.norm == Norm::kL2 ? sqrtf(sum) : peak;
  const float norm = infinite ? INFINITY : length * scale.inverse;

  if (rule.mode == Mode::kValue) {
    for (int i = 0; i < C; ++i) g[i] = fminf(fmaxf(g[i], -c), c);
  } else if (norm > c) {
    // c g / (norm + c) divided through by the scale, so that neither sum nor quotient leaves float's range
    const float softening = rule.mode == Mode::kNormalize && !infinite ? c * scale.factor : 0;
    const float shrink = c / (length + softening);
    for (int i = 0; i < C; ++i) g[i] = unit[i] * shrink;
  } else if (rule.mode == Mode::kNormalize) {
    const float shrink = 1 / (norm / c + 1);
    for (int i = 0; i < C; ++i) g[i] *= shrink;
  }  // kNorm below the threshold: every bit stays
  return norm;
}

}  // namespace dreampgc
