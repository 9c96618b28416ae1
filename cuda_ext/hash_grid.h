// Where a point's features come from: the corners of its cell on one level of a hash grid, and their trilinear weights.
//
// The same arithmetic as dreampgc/field/encoding.py. Indices are those of int64 arithmetic there: all but their low
// bits is masked away, and those are the same modulo 2^32.

#pragma once

#include "pixel.h"

namespace dreampgc {

constexpr int kCorners = 8;

// A grid of `levels` levels with `entries` places each, a power of two.
struct Grid {
  const int64_t* resolutions;  // [levels], cells across the cube
  const int64_t* multipliers;  // [3, levels]
  int64_t levels, entries;
};

struct Corners {
  uint32_t index[kCorners];
  float weight[kCorners];
};

// The corners around `point`, in [0,1]^3, of its cell on a level.
DREAMPGC_INLINE Corners corners_of(const float (&point)[3], const Grid& grid, int64_t level) {
  const auto resolution = static_cast<float>(grid.resolutions[level]);
  uint32_t keys[3][2];
  float weights[3][2];
  for (int axis = 0; axis < 3; ++axis) {
    const float scaled = point[axis] * resolution;
    const float lower = floorf(scaled);
    const auto step = static_cast<uint32_t>(grid.multipliers[axis * grid.levels + level]);
    keys[axis][0] = static_cast<uint32_t>(lower) * step;
    keys[axis][1] = keys[axis][0] + step;
    weights[axis][1] = scaled - lower;
    weights[axis][0] = 1 - weights[axis][1];
  }
  Corners corners;
  DREAMPGC_UNROLL
  for (int i = 0; i < kCorners; ++i) {
    const int x = i & 1, y = i >> 1 & 1, z = i >> 2;
    corners.index[i] = (keys[0][x] ^ keys[1][y] ^ keys[2][z]) & static_cast<uint32_t>(grid.entries - 1);
    corners.weight[i] = weights[1][y] * weights[2][z] * weights[0][x];
  }
  return corners;
}

// One feature at a point: `plane` holds that of all places of the level.
DREAMPGC_INLINE float interpolated(const float* plane, const Corners& corners) {
  float sum = 0;
  DREAMPGC_UNROLL
  for (int i = 0; i < kCorners; ++i) sum += plane[corners.index[i]] * corners.weight[i];
  return sum;
}

}  // namespace dreampgc
