// The operators of cuda_ext/pixel_clip.cu for CPU tensors: the same plans, items and arithmetic in plain loops.
//
// What runs here is all of cuda_ext but the launch and the reduction over threads, so that a machine without a GPU can
// test layouts, alignment and rounding.

#include "tensors.h"

namespace dreampgc {
namespace {

template <typename Statistics>
Statistics run(const Tensor& gradient, const Tensor& shaped, const Rule& rule) {
  Statistics tally;
  const Plan plan = plan_of(gradient, shaped);
  with_types(gradient, plan, [&](auto type, auto channels, auto way) {
    using T = typename decltype(type)::type;
    for (uint32_t chunk = 0; chunk < plan.chunks; ++chunk) {
      for (uint32_t thread = 0; thread < kThreads; ++thread) {
        const Place at = place(plan, chunk, thread);
        if (at.item >= plan.items) continue;
        shape_item<T, channels(), way()>(
            static_cast<const T*>(gradient.data_ptr()), static_cast<T*>(shaped.data_ptr()), plan, rule, at, tally);
      }
    }
  });
  return tally;
}

Tensor pixel_clip(const Tensor& gradient, double threshold, std::string mode, std::string norm) {
  check_gradient(gradient);
  Tensor shaped = torch::stable::empty_like(gradient);
  run<NoTally>(gradient, shaped, rule_of(threshold, mode, norm));
  return shaped;
}

std::tuple<Tensor, Tensor> pixel_clip_with_statistics(
    const Tensor& gradient, double threshold, std::string mode, std::string norm) {
  check_gradient(gradient);
  Tensor shaped = torch::stable::empty_like(gradient);
  const Tally tally = run<Tally>(gradient, shaped, rule_of(threshold, mode, norm));
  const Tensor statistics = torch::stable::new_empty(gradient, {4}, ScalarType::Double);
  auto* values = static_cast<double*>(statistics.data_ptr());
  values[0] = static_cast<double>(tally.clipped);
  values[1] = static_cast<double>(tally.non_finite);
  values[2] = tally.maximum;
  values[3] = tally.sum;
  return {shaped, statistics};
}

// 0 planar, 1 interleaved, 2 scattered: how the gradient and a result like it would be read and written.
int64_t access(const Tensor& gradient) {
  return static_cast<int64_t>(plan_of(gradient, torch::stable::empty_like(gradient)).access);
}

// The chunks of a contiguous tensor of any size, which need not exist; -1 where they are too many.
int64_t chunks(int64_t batch, int64_t channels, int64_t height, int64_t width, int64_t row_stride) {
  const Strides strides{channels * height * row_stride, height * row_stride, row_stride, 1};
  return make_plan({batch, channels, height, width}, strides, strides, nullptr, nullptr, 4).chunks;
}

// Where the last element of a contiguous tensor of any size is, as the last item of the last chunk finds it.
int64_t last_offset(int64_t batch, int64_t channels, int64_t pixels) {
  const Strides strides{channels * pixels, pixels, pixels, 1};
  const Plan plan = make_plan({batch, channels, 1, pixels}, strides, strides, nullptr, nullptr, 4);
  const Place first = place(plan, static_cast<uint32_t>(plan.chunks - 1), 0);
  constexpr Access kAccess = Access::kPlanar;
  const int word = static_cast<int>(channels) - 1;
  const int64_t start = row_offset(plan, plan.in, first.row);
  return start + word_offset<float, 3, kAccess>(plan.in, plan.items - 1, word) + Word<float, kAccess>::kElements - 1;
}

}  // namespace
}  // namespace dreampgc

STABLE_TORCH_LIBRARY(dreampgc_emulated, m) {
  m.def("pixel_clip(Tensor gradient, float threshold, str mode, str norm) -> Tensor");
  m.def("pixel_clip_with_statistics(Tensor gradient, float threshold, str mode, str norm) -> (Tensor, Tensor)");
  m.def("access(Tensor gradient) -> int");
  m.def("chunks(int batch, int channels, int height, int width, int row_stride) -> int");
  m.def("last_offset(int batch, int channels, int pixels) -> int");
}

STABLE_TORCH_LIBRARY_IMPL(dreampgc_emulated, CPU, m) {
  m.impl("pixel_clip", TORCH_BOX(&dreampgc::pixel_clip));
  m.impl("pixel_clip_with_statistics", TORCH_BOX(&dreampgc::pixel_clip_with_statistics));
  m.impl("access", TORCH_BOX(&dreampgc::access));
}

STABLE_TORCH_LIBRARY_IMPL(dreampgc_emulated, CompositeExplicitAutograd, m) {
  m.impl("chunks", TORCH_BOX(&dreampgc::chunks));
  m.impl("last_offset", TORCH_BOX(&dreampgc::last_offset));
}
