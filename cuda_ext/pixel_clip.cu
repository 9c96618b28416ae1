// dreampgc_native::pixel_clip and ::pixel_clip_with_statistics: one pass over a gradient, for CUDA.
//
// Every block walks over chunks (plan.h) with the stride of the grid, which is as large as the device holds at once.
// With statistics, each block leaves its tally in scratch memory, and the block that finishes last adds them up, in
// the order of the blocks: the sum is the same on every call. Nothing waits for the device, all memory is torch's, and
// all work is on its current stream, so that a CUDA graph can capture it.
//
// As of 2026-11-22 this file was compiled (CUDA 13.0; sm_80, sm_90, PTX) but has not run: launch and reduction wait for
// a GPU. What the headers hold, layouts, alignment and arithmetic, was tested on a CPU by tests/ops/emulation.cpp.

#include <cuda_runtime.h>
#include <torch/csrc/inductor/aoti_torch/c/shim.h>
#include <torch/csrc/stable/accelerator.h>

#include <algorithm>

#include "tensors.h"

#ifndef STABLE_TORCH_ERROR_CODE_CHECK  // before torch 2.13
#define STABLE_TORCH_ERROR_CODE_CHECK(call) TORCH_ERROR_CODE_CHECK(call)
#endif

namespace dreampgc {
namespace {

constexpr int kWarp = 32;
static_assert(sizeof(Tally) == 4 * sizeof(double), "scratch memory is counted in doubles");

// Where a block leaves its tally; `finished` counts the blocks that did.
struct Scratch {
  Tally* tallies = nullptr;
  unsigned* finished = nullptr;
  double* statistics = nullptr;
};

__device__ Tally warp_total(Tally tally) {
  for (int distance = kWarp / 2; distance > 0; distance /= 2) {
    Tally other;
    other.clipped = __shfl_down_sync(~0u, static_cast<unsigned long long>(tally.clipped), distance);
    other.non_finite = __shfl_down_sync(~0u, static_cast<unsigned long long>(tally.non_finite), distance);
    other.maximum = __shfl_down_sync(~0u, tally.maximum, distance);
    other.sum = __shfl_down_sync(~0u, tally.sum, distance);
    tally.add(other);
  }
  return tally;
}

// The sum over the block's threads, in thread 0.
__device__ Tally block_total(Tally tally) {
  constexpr int kWarps = kThreads / kWarp;
  __shared__ double parts[kWarps][sizeof(Tally) / sizeof(double)];
  auto* tallies = reinterpret_cast<Tally*>(parts);
  tally = warp_total(tally);
  __syncthreads();  // an earlier call may still be reading
  if (threadIdx.x % kWarp == 0) tallies[threadIdx.x / kWarp] = tally;
  __syncthreads();
  if (threadIdx.x < kWarp) tally = warp_total(threadIdx.x < kWarps ? tallies[threadIdx.x] : Tally{});
  return tally;
}

__device__ void finish(const Tally& thread_tally, const Scratch& scratch) {
  __shared__ bool last;
  const Tally block = block_total(thread_tally);
  if (threadIdx.x == 0) {
    scratch.tallies[blockIdx.x] = block;
    __threadfence();  // the tally is visible before it is counted
    last = atomicAdd(scratch.finished, 1u) == gridDim.x - 1;
  }
  __syncthreads();
  if (!last) return;
  __threadfence();
  Tally total;
  for (unsigned i = threadIdx.x; i < gridDim.x; i += kThreads) total.add(scratch.tallies[i]);
  total = block_total(total);
  if (threadIdx.x == 0) {
    scratch.statistics[0] = static_cast<double>(total.clipped);
    scratch.statistics[1] = static_cast<double>(total.non_finite);
    scratch.statistics[2] = total.maximum;
    scratch.statistics[3] = total.sum;
  }
}

template <typename T, int C, Access A, typename Statistics>
__global__ void __launch_bounds__(kThreads)
    clip(const T* __restrict__ in, T* __restrict__ out, const Plan plan, const Rule rule, const Scratch scratch) {
  Statistics tally;
  for (uint32_t chunk = blockIdx.x; chunk < plan.chunks; chunk += gridDim.x) {
    const Place at = place(plan, chunk, threadIdx.x);
    if (at.item < plan.items) shape_item<T, C, A>(in, out, plan, rule, at, tally);
  }
  if constexpr (std::is_same_v<Statistics, Tally>) finish(tally, scratch);
}

void check(cudaError_t status) {
  require(status == cudaSuccess, cudaGetErrorString(status));
}

cudaStream_t current_stream(const Tensor& tensor) {
  void* stream = nullptr;
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_current_cuda_stream(tensor.get_device(), &stream));
  return static_cast<cudaStream_t>(stream);
}

// As many blocks as the device holds at once, but no more than there are chunks.
template <typename Kernel>
unsigned grid_size(Kernel* kernel, const Plan& plan, const Tensor& tensor) {
  int blocks = 0, processors = 0;
  check(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, kernel, kThreads, 0));
  check(cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, tensor.get_device()));
  return static_cast<unsigned>(std::min<int64_t>(plan.chunks, static_cast<int64_t>(blocks) * processors));
}

// Memory for the tallies of `blocks`, and behind them their count, which starts at 0.
std::pair<Tensor, Scratch> make_scratch(const Tensor& like, const Tensor& statistics, unsigned blocks) {
  const Tensor memory = torch::stable::new_empty(like, {int64_t{4} * blocks + 1}, ScalarType::Double);
  auto* first = static_cast<double*>(memory.data_ptr());
  auto* finished = reinterpret_cast<unsigned*>(first + int64_t{4} * blocks);
  check(cudaMemsetAsync(finished, 0, sizeof(unsigned), current_stream(like)));
  return {memory, {reinterpret_cast<Tally*>(first), finished, static_cast<double*>(statistics.data_ptr())}};
}

// Launches over a gradient that is not empty; `statistics` is null where nobody asks.
template <typename Statistics>
void launch(const Tensor& gradient, const Tensor& shaped, const Tensor* statistics, const Plan& plan, const Rule& rule) {
  with_types(gradient, plan, [&](auto type, auto channels, auto way) {
    using T = typename decltype(type)::type;
    auto* kernel = clip<T, channels(), way(), Statistics>;
    const unsigned blocks = grid_size(kernel, plan, gradient);
    std::pair<Tensor, Scratch> scratch;
    if (statistics != nullptr) scratch = make_scratch(gradient, *statistics, blocks);
    kernel<<<blocks, kThreads, 0, current_stream(gradient)>>>(
        static_cast<const T*>(gradient.data_ptr()), static_cast<T*>(shaped.data_ptr()), plan, rule, scratch.second);
    check(cudaGetLastError());
  });
}

Tensor pixel_clip(const Tensor& gradient, double threshold, std::string mode, std::string norm) {
  check_gradient(gradient);
  const Rule rule = rule_of(threshold, mode, norm);
  const torch::stable::accelerator::DeviceGuard guard(gradient.get_device());
  Tensor shaped = torch::stable::empty_like(gradient);
  const Plan plan = plan_of(gradient, shaped);
  if (plan.chunks > 0) launch<NoTally>(gradient, shaped, nullptr, plan, rule);
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
    launch<Tally>(gradient, shaped, &statistics, plan, rule);
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
