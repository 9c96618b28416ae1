// From torch's tensors to a grid and its features, through torch's stable interface.

#pragma once

#include <torch/headeronly/core/ScalarType.h>

#include "hash_grid.h"
#include "require.h"

namespace dreampgc {

// Raw pointers and sizes of a call: features are rows of `points`, level after level of each feature.
struct GridCall {
  Grid grid;
  const float* unit;
  int64_t points, features;
};

inline void require_plain(const torch::stable::Tensor& tensor, int64_t dim, torch::headeronly::ScalarType type,
                          const std::string& name) {
  require(tensor.dim() == dim && tensor.is_contiguous() && tensor.scalar_type() == type,
          name + " must be contiguous, of the right type and number of axes");
}

// `unit` [3,N] and what is per level; `features_and_levels` is how many rows of features there are.
inline GridCall grid_call(const torch::stable::Tensor& unit, const torch::stable::Tensor& resolutions,
                          const torch::stable::Tensor& multipliers, int64_t features_and_levels, int64_t entries) {
  using torch::headeronly::ScalarType;
  require_plain(unit, 2, ScalarType::Float, "unit");
  require_plain(resolutions, 1, ScalarType::Long, "resolutions");
  require_plain(multipliers, 2, ScalarType::Long, "multipliers");
  const int64_t levels = resolutions.size(0);
  require(unit.size(0) == 3 && multipliers.size(0) == 3 && multipliers.size(1) == levels, "sizes do not fit");
  require(levels > 0 && levels < 65536 && features_and_levels % levels == 0, "sizes do not fit the levels");
  require(entries > 0 && entries <= (int64_t{1} << 31) && (entries & (entries - 1)) == 0,
          "the table's size must be a power of two");
  const Grid grid{static_cast<const int64_t*>(resolutions.data_ptr()),
                  static_cast<const int64_t*>(multipliers.data_ptr()), levels, entries};
  return {grid, static_cast<const float*>(unit.data_ptr()), unit.size(1), features_and_levels / levels};
}

DREAMPGC_INLINE Corners corners_at(const GridCall& call, int64_t number, int64_t level) {
  float point[3];
  for (int axis = 0; axis < 3; ++axis) point[axis] = call.unit[axis * call.points + number];
  return corners_of(point, call.grid, level);
}

}  // namespace dreampgc
