// The statistics of many pixels' norms: what one thread sees of them, and sums of that.

#pragma once

#include "pixel.h"

namespace dreampgc {

constexpr int kMostPixels = 8;  // of one thread

// What one thread sees: few pixels, so that float is enough.
struct Seen {
  uint32_t clipped = 0;     // norms above the threshold, infinite ones too
  uint32_t non_finite = 0;  // NaN and infinity, left out of the next two
  float maximum = 0;
  float part = 0;  // of the sum, which would overflow: 1 / kMostPixels, exact for what is above 1e-37

  DREAMPGC_INLINE void add(float norm, float threshold) {
    clipped += norm > threshold;
    maximum = fmaxf(maximum, norm);
    part = fmaf(norm, 1.0f / kMostPixels, part);
  }

  DREAMPGC_INLINE void add_extreme(float norm, float threshold) {
    if (norm <= kLargest) return add(norm, threshold);
    clipped += norm > threshold;  // not a NaN
    non_finite += 1;
  }
};

// In place of it where nobody asks for statistics.
struct Unseen {
  DREAMPGC_INLINE void add(float, float) {}
  DREAMPGC_INLINE void add_extreme(float, float) {}
};

// The sum of what many saw. Trivial, for it lives in shared memory: begin with Tally{}.
template <typename Count>
struct alignas(16) Tally {
  double sum;
  float maximum;
  Count clipped, non_finite;

  DREAMPGC_INLINE void add(const Seen& seen) {
    sum += static_cast<double>(seen.part) * kMostPixels;
    maximum = fmaxf(maximum, seen.maximum);
    clipped += seen.clipped;
    non_finite += seen.non_finite;
  }

  template <typename Other>
  DREAMPGC_INLINE void add(const Tally<Other>& other) {
    sum += other.sum;
    maximum = fmaxf(maximum, other.maximum);
    clipped += other.clipped;
    non_finite += other.non_finite;
  }

  // The operator's tensor of statistics.
  DREAMPGC_INLINE void write(double* statistics) const {
    statistics[0] = static_cast<double>(clipped);
    statistics[1] = static_cast<double>(non_finite);
    statistics[2] = maximum;
    statistics[3] = sum;
  }
};

}  // namespace dreampgc
