// dreampgc_native::hash_grid and ::hash_grid_backward: a multiresolution hash grid (Mueller et al. 2022), for CUDA.
//
// A thread has one point on one level. Forward it gathers, backward it adds to the table's gradient with atomics, whose
// order is not fixed: as with torch's own scatter, two runs differ in their last digits.

#include "hash_grid_tensors.h"
#include "launch.h"

namespace dreampgc {
namespace {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

constexpr int kBlock = 256;

__global__ void __launch_bounds__(kBlock) gather(const GridCall call, const float* __restrict__ table, float* out) {
  const int64_t number = int64_t{blockIdx.x} * kBlock + threadIdx.x, level = blockIdx.y;
  if (number >= call.points) return;
  const Corners corners = corners_at(call, number, level);
  for (int64_t feature = 0; feature < call.features; ++feature) {
    const int64_t plane = feature * call.grid.levels + level;
    out[plane * call.points + number] = interpolated(table + plane * call.grid.entries, corners);
  }
}

__global__ void __launch_bounds__(kBlock) scatter(const GridCall call, const float* __restrict__ gradient, float* out) {
  const int64_t number = int64_t{blockIdx.x} * kBlock + threadIdx.x, level = blockIdx.y;
  if (number >= call.points) return;
  const Corners corners = corners_at(call, number, level);
  for (int64_t feature = 0; feature < call.features; ++feature) {
    const int64_t plane = feature * call.grid.levels + level;
    const float incoming = gradient[plane * call.points + number];
    if (incoming == 0) continue;  // padding, and what nobody sees
    float* places = out + plane * call.grid.entries;
    DREAMPGC_UNROLL
    for (int i = 0; i < kCorners; ++i) atomicAdd(places + corners.index[i], incoming * corners.weight[i]);
  }
}

dim3 blocks_of(const GridCall& call) {
  const int64_t blocks = (call.points + kBlock - 1) / kBlock;
  require(blocks < (int64_t{1} << 31), "too many points for one launch");
  return {static_cast<unsigned>(blocks), static_cast<unsigned>(call.grid.levels)};
}

// Features [F*L,N] of the points `unit` [3,N] in [0,1], from the table [F,L,T].
Tensor hash_grid(const Tensor& unit, const Tensor& table, const Tensor& resolutions, const Tensor& multipliers) {
  require_plain(table, 3, ScalarType::Float, "table");
  require(table.size(1) == resolutions.size(0), "the table has another number of levels");
  const GridCall call = grid_call(unit, resolutions, multipliers, table.size(0) * table.size(1), table.size(2));
  const torch::stable::accelerator::DeviceGuard guard(unit.get_device());
  Tensor out = torch::stable::new_empty(unit, {call.features * call.grid.levels, call.points});
  if (call.points > 0 && call.features > 0) {
    gather<<<blocks_of(call), kBlock, 0, current_stream(unit)>>>(
        call, static_cast<const float*>(table.data_ptr()), static_cast<float*>(out.data_ptr()));
    check(cudaGetLastError());
  }
  return out;
}

// The table's gradient [F,L*T], given the features' [F*L,N].
Tensor hash_grid_backward(const Tensor& unit, const Tensor& gradient, const Tensor& resolutions,
                          const Tensor& multipliers, int64_t entries) {
  require_plain(gradient, 2, ScalarType::Float, "gradient");
  require(gradient.size(1) == unit.size(1), "there is not one gradient for each point");
  const GridCall call = grid_call(unit, resolutions, multipliers, gradient.size(0), entries);
  const torch::stable::accelerator::DeviceGuard guard(unit.get_device());
  Tensor out = torch::stable::new_empty(unit, {call.features, call.grid.levels * entries});
  const cudaStream_t stream = current_stream(unit);
  const auto bytes = static_cast<size_t>(call.features * call.grid.levels * entries) * sizeof(float);
  check(cudaMemsetAsync(out.data_ptr(), 0, bytes, stream));
  if (call.points > 0 && call.features > 0) {
    scatter<<<blocks_of(call), kBlock, 0, stream>>>(
        call, static_cast<const float*>(gradient.data_ptr()), static_cast<float*>(out.data_ptr()));
    check(cudaGetLastError());
  }
  return out;
}

}  // namespace
}  // namespace dreampgc

STABLE_TORCH_LIBRARY_FRAGMENT(dreampgc_native, m) {
  m.def("hash_grid(Tensor unit, Tensor table, Tensor resolutions, Tensor multipliers) -> Tensor");
  m.def(
      "hash_grid_backward(Tensor unit, Tensor gradient, Tensor resolutions, Tensor multipliers, int entries) -> Tensor");
}

STABLE_TORCH_LIBRARY_IMPL(dreampgc_native, CUDA, m) {
  m.impl("hash_grid", TORCH_BOX(&dreampgc::hash_grid));
  m.impl("hash_grid_backward", TORCH_BOX(&dreampgc::hash_grid_backward));
}
