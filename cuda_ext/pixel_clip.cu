// dreampgc_native::pixel_clip and ::pixel_clip_with_statistics: one pass over a gradient, for CUDA.
//
// Nothing waits for the device, all memory is torch's, and all work is on its current stream, so that a CUDA graph can
// capture it. The kernel itself (kernel.cuh) knows nothing of torch.
//
// It runs on an H100 (torch 2.11, CUDA 13.0). Machines without a GPU test what the headers hold, layouts, alignment and
// arithmetic, through tests/ops/emulation.cpp.

#include "kernel.cuh"
#include "launch.h"
#include "tensors.h"

namespace dreampgc {
namespace {

// Memory for the parts that `blocks` leave.
std::pair<Tensor, Scratch> make_scratch(const Tensor& like, const Tensor& statistics, uint32_t blocks) {
  const Tensor memory = torch::stable::new_empty(like, {scratch_doubles(blocks)}, ScalarType::Double);
  return {memory,
          scratch_in(static_cast<double*>(memory.data_ptr()), blocks, static_cast<double*>(statistics.data_ptr()))};
}

// Launches over a gradient that is not empty; `statistics` is null where nobody asks.
template <typename Statistics>
void launch(
    const Tensor& gradient, const Tensor& shaped, const Tensor* statistics, const Plan& plan, const Rule& rule) {
  with_types(gradient, plan, [&](auto type, auto channels, auto way) {
    using T = typename decltype(type)::type;
    const auto blocks = static_cast<uint32_t>(plan.chunks);
    std::pair<Tensor, Scratch> scratch;
    if (statistics != nullptr) scratch = make_scratch(gradient, *statistics, blocks);
    clip<T, channels(), way(), Statistics><<<blocks, kThreads, 0, current_stream(gradient)>>>(
        static_cast<const T*>(gradient.data_ptr()), static_cast<T*>(shaped.data_ptr()), plan, rule, scratch.second);
    check(cudaGetLastError());
    if (statistics != nullptr) {
      sum_up<<<groups_of(blocks), kThreads, 0, current_stream(gradient)>>>(scratch.second, blocks);
      check(cudaGetLastError());
    }
  });
}

Tensor pixel_clip(const Tensor& gradient, double threshold, std::string mode, std::string norm) {
  check_gradient(gradient);
  const Rule rule = rule_of(threshold, mode, norm);
  const torch::stable::accelerator::DeviceGuard guard(gradient.get_device());
  Tensor shaped = torch::stable::empty_like(gradient);
  const Plan plan = plan_of(gradient, shaped);
  if (plan.chunks > 0) launch<Unseen>(gradient, shaped, nullptr, plan, rule);
  return shaped;
}

std::tuple<Tensor, Tensor> pixel_clip_with_statistics(
    const Tensor& gradient, double threshold, std::string mode, std::string norm) {
  check_gradient(gradient);
  const Rule rule = rule_of(threshold, mode, norm);
  const torch::stable::accelerator::DeviceGuard guard(gradient.get_device());
  Tensor shaped = torch::stable::empty_like(gradient);
  Tensor statistics = torch::stable::new_empty(gradient, {4}, ScalarType::Double);
  const Plan plan = plan_of(gradient, shaped);
  if (plan.chunks > 0) {
    launch<Seen>(gradient, shaped, &statistics, plan, rule);
  } else {
    check(cudaMemsetAsync(statistics.data_ptr(), 0, 4 * sizeof(double), current_stream(gradient)));
  }
  return {shaped, statistics};
}

}  // namespace
}  // namespace dreampgc

STABLE_TORCH_LIBRARY(dreampgc_native, m) {
  m.def("pixel_clip(Tensor gradient, float threshold, str mode, str norm) -> Tensor");
  m.def("pixel_clip_with_statistics(Tensor gradient, float threshold, str mode, str norm) -> (Tensor, Tensor)");
}

STABLE_TORCH_LIBRARY_IMPL(dreampgc_native, CUDA, m) {
  m.impl("pixel_clip", TORCH_BOX(&dreampgc::pixel_clip));
  m.impl("pixel_clip_with_statistics", TORCH_BOX(&dreampgc::pixel_clip_with_statistics));
}
