// The kernels: a block for every chunk, and, where statistics are asked for, their sum over the grid by a second one.
//
// No block waits for its writes to be seen by others: on a GPU that is what statistics would cost. Sums are added in the
// order of threads, warps, blocks and groups of blocks: the same on every call.

#pragma once

#include <cuda_runtime.h>

#include <type_traits>

#include "item.h"

namespace dreampgc {

constexpr uint32_t kWarps = kThreads / kWarp;
using Part = Tally<uint32_t>;   // of a warp, a block, a group of blocks
using Total = Tally<uint64_t>;  // of the grid
static_assert(int64_t{kThreads} * kThreads * kMostPixels < (int64_t{1} << 32), "a group's counts fit a part");
static_assert(sizeof(Part) == 4 * sizeof(double), "scratch memory is counted in doubles");

// Where blocks leave their parts, and what sums up kThreads blocks each those of its group; `finished` counts the groups.
struct Scratch {
  Part* blocks;
  Part* groups;
  uint32_t* finished;
  double* statistics;
};

inline uint32_t groups_of(uint32_t blocks) {
  return blocks / kThreads + (blocks % kThreads != 0);
}

inline int64_t scratch_doubles(uint32_t blocks) {
  return (int64_t{blocks} + groups_of(blocks)) * 4 + 1;
}

inline Scratch scratch_in(double* memory, uint32_t blocks, double* statistics) {
  Part* parts = reinterpret_cast<Part*>(memory);
  Part* groups = parts + blocks;
  return {parts, groups, reinterpret_cast<uint32_t*>(groups + groups_of(blocks)), statistics};
}

// Over the warp's lanes, in lane 0.
template <typename T>
__device__ T warp_sum(T value) {
  for (int distance = kWarp / 2; distance > 0; distance /= 2) value += __shfl_down_sync(~0u, value, distance);
  return value;
}

#if __CUDA_ARCH__ >= 800  // one instruction
__device__ inline uint32_t warp_sum(uint32_t value) {
  return __reduce_add_sync(~0u, value);
}
#endif

// The same for floats that are not negative: those are ordered as their bits are.
__device__ inline float warp_maximum(float value) {
#if __CUDA_ARCH__ >= 800
  return __uint_as_float(__reduce_max_sync(~0u, __float_as_uint(value)));
#else
  for (int distance = kWarp / 2; distance > 0; distance /= 2) {
    value = fmaxf(value, __shfl_down_sync(~0u, value, distance));
  }
  return value;
#endif
}

template <typename Count>
__device__ Tally<Count> warp_total(const Tally<Count>& tally) {
  return {warp_sum(tally.sum), warp_maximum(tally.maximum), warp_sum(tally.clipped), warp_sum(tally.non_finite)};
}

// The sum over the block's threads, in thread 0. Between two calls the block has to meet.
template <typename Count>
__device__ Tally<Count> block_total(const Tally<Count>& tally) {
  __shared__ Tally<Count> warps[kWarps];
  const Tally<Count> warp = warp_total(tally);
  if (threadIdx.x % kWarp == 0) warps[threadIdx.x / kWarp] = warp;
  __syncthreads();
  if (threadIdx.x >= kWarp) return {};
  return warp_total(threadIdx.x < kWarps ? warps[threadIdx.x] : Tally<Count>{});
}

// The sum of `count` parts in memory, in thread 0.
template <typename Count>
__device__ Tally<Count> sum_of(const Part* parts, uint32_t count) {
  Tally<Count> total{};
  for (uint32_t i = threadIdx.x; i < count; i += kThreads) total.add(parts[i]);
  return block_total(total);
}

// Leaves a part (thread 0's) in memory; true in the block that is the last of `count` to do so.
__device__ inline bool leave(const Part& part, Part* place, uint32_t* finished, uint32_t count) {
  __shared__ bool last;
  if (threadIdx.x == 0) {
    *place = part;
    __threadfence();  // the part is visible before it is counted
    last = atomicAdd(finished, 1u) == count - 1;
  }
  __syncthreads();
  if (last) __threadfence();
  return last;
}

// Leaves what the block saw for the kernel below.
__device__ inline void leave(const Seen& seen, const Scratch& scratch) {
  Part mine{};
  mine.add(seen);
  const Part block = block_total(mine);
  if (threadIdx.x != 0) return;
  scratch.blocks[blockIdx.x] = block;
  if (blockIdx.x == 0) *scratch.finished = 0;
}

// The statistics of all `blocks` of `clip`. A block for every group of them; the last one to finish sums up the groups.
__global__ void __launch_bounds__(kThreads) sum_up(const Scratch scratch, const uint32_t blocks) {
  const Part* parts = scratch.blocks + blockIdx.x * kThreads;
  uint32_t count = min(blocks - blockIdx.x * kThreads, uint32_t{kThreads});
  if (gridDim.x > 1) {
    const Part group = sum_of<uint32_t>(parts, count);
    if (!leave(group, scratch.groups + blockIdx.x, scratch.finished, gridDim.x)) return;
    parts = scratch.groups;
    count = gridDim.x;
  }
  const Total total = sum_of<uint64_t>(parts, count);
  if (threadIdx.x == 0) total.write(scratch.statistics);
}

// Three blocks a multiprocessor leave 40 registers a thread, which three channels always fit.
template <typename T, int C, Access A, typename Statistics>
__global__ void __launch_bounds__(kThreads, C == 3 ? 3 : 2)
    clip(const T* __restrict__ in, T* __restrict__ out, const Plan plan, const Rule rule, const Scratch scratch) {
  constexpr bool kStaged = Item<T, C, A>::kStaged;
  __shared__ Quad stages[kStaged ? kThreads * C : 1];
  Quad* stage = kStaged ? stages + threadIdx.x / kWarp * kWarp * C : stages;
  const Place at = place(plan, blockIdx.x, threadIdx.x);
  Item<T, C, A> item;
  Statistics seen;
  read(item, in, plan, at, stage);
  if constexpr (kStaged) __syncwarp();
  take(item, at, stage);
  if (at.item < plan.items) shape(item, rule, seen);
  put(item, at, stage);
  if constexpr (kStaged) __syncwarp();
  write(item, out, plan, at, stage);
  if constexpr (std::is_same_v<Statistics, Seen>) leave(seen, scratch);
}

}  // namespace dreampgc
