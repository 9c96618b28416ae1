// From torch's tensors to plans and typed pointers, through torch's stable interface.

#pragma once

#include <torch/headeronly/core/ScalarType.h>
#include <torch/headeronly/util/BFloat16.h>
#include <torch/headeronly/util/Half.h>

#include <tuple>
#include <type_traits>

#include "item.h"
#include "require.h"

namespace dreampgc {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

template <>
inline constexpr bool kSquaresFit<torch::headeronly::Half> = true;

inline Rule rule_of(double threshold, const std::string& mode, const std::string& norm) {
  require(threshold > 0 && std::isfinite(threshold), "the threshold must be positive and finite");
  require(mode == "norm" || mode == "value" || mode == "normalize", "unknown mode " + mode);
  require(norm == "l2" || norm == "linf", "unknown norm " + norm);
  return {mode == "norm" ? Mode::kNorm : mode == "value" ? Mode::kValue : Mode::kNormalize,
          norm == "l2" ? Norm::kL2 : Norm::kLinf, static_cast<float>(threshold)};
}

inline Strides strides_of(const Tensor& tensor) {
  return {tensor.stride(0), tensor.stride(1), tensor.stride(2), tensor.stride(3)};
}

// `out` is empty_like(in): the same shape, dtype and device.
inline Plan plan_of(const Tensor& in, const Tensor& out) {
  const Shape shape{in.size(0), in.size(1), in.size(2), in.size(3)};
  const Plan plan =
      make_plan(shape, strides_of(in), strides_of(out), in.data_ptr(), out.data_ptr(), in.element_size());
  require(plan.chunks >= 0, "the gradient has too many rows for one launch");
  return plan;
}

template <typename T>
struct Type {
  using type = T;
};
template <int N>
using Count = std::integral_constant<int, N>;
template <Access A>
using Way = std::integral_constant<Access, A>;

// Calls f(Type<T>, Count<C>, Way<A>) with what fits the tensor and the plan.
template <typename F>
void with_types(const Tensor& tensor, const Plan& plan, F&& f) {
  const auto by_access = [&](auto type, auto channels) {
    switch (plan.access) {
      case Access::kPlanar: return f(type, channels, Way<Access::kPlanar>{});
      case Access::kInterleaved: return f(type, channels, Way<Access::kInterleaved>{});
      case Access::kScattered: return f(type, channels, Way<Access::kScattered>{});
    }
  };
  const auto by_channels = [&](auto type) {
    tensor.size(1) == 3 ? by_access(type, Count<3>{}) : by_access(type, Count<4>{});
  };
  switch (tensor.scalar_type()) {
    case ScalarType::Float: return by_channels(Type<float>{});
    case ScalarType::Half: return by_channels(Type<torch::headeronly::Half>{});
    case ScalarType::BFloat16: return by_channels(Type<torch::headeronly::BFloat16>{});
    default: require(false, "the gradient must be float32, float16 or bfloat16");
  }
}

inline void check_gradient(const Tensor& gradient) {
  require(gradient.dim() == 4 && (gradient.size(1) == 3 || gradient.size(1) == 4),
          "the gradient must be [B,3,H,W] or [B,4,H,W]");
}

}  // namespace dreampgc
