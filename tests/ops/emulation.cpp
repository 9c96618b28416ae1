// The operators of cuda_ext for CPU tensors: the same plans, items, stages, corners and arithmetic in plain loops.
//
// What runs here is all of cuda_ext but kernel.cuh (the launch and the reduction over threads) and the GPU's
// approximate reciprocals, so that a machine without a GPU can test layouts, alignment and rounding.

#include <algorithm>

#include "hash_grid_tensors.h"
#include "tensors.h"

namespace dreampgc {
namespace {

// What a warp does, each step for all of its lanes in turn.
template <typename T, int C, Access A, typename Statistics>
void run_warp(const T* in, T* out, const Plan& plan, const Rule& rule, const Place (&lanes)[kWarp],
              Statistics (&seen)[kWarp]) {
  Quad stage[kWarp * C];
  Item<T, C, A> items[kWarp];
  for (int i = 0; i < kWarp; ++i) read(items[i], in, plan, lanes[i], stage);
  for (int i = 0; i < kWarp; ++i) take(items[i], lanes[i], stage);
  for (int i = 0; i < kWarp; ++i) {
    if (lanes[i].item < plan.items) shape(items[i], rule, seen[i]);
  }
  for (int i = 0; i < kWarp; ++i) put(items[i], lanes[i], stage);
  for (int i = 0; i < kWarp; ++i) write(items[i], out, plan, lanes[i], stage);
}

// Calls `sum` with what each warp saw.
template <typename Statistics, typename Sum>
void run(const Tensor& gradient, const Tensor& shaped, const Rule& rule, Sum&& sum) {
  const Plan plan = plan_of(gradient, shaped);
  with_types(gradient, plan, [&](auto type, auto channels, auto way) {
    using T = typename decltype(type)::type;
    for (uint32_t chunk = 0; chunk < plan.chunks; ++chunk) {
      for (uint32_t first = 0; first < kThreads; first += kWarp) {
        Place lanes[kWarp];
        for (uint32_t lane = 0; lane < kWarp; ++lane) lanes[lane] = place(plan, chunk, first + lane);
        Statistics seen[kWarp];
        run_warp<T, channels(), way()>(
            static_cast<const T*>(gradient.data_ptr()), static_cast<T*>(shaped.data_ptr()), plan, rule, lanes, seen);
        sum(seen);
      }
    }
  });
}

Tensor pixel_clip(const Tensor& gradient, double threshold, std::string mode, std::string norm) {
  check_gradient(gradient);
  Tensor shaped = torch::stable::empty_like(gradient);
  run<Unseen>(gradient, shaped, rule_of(threshold, mode, norm), [](auto&) {});
  return shaped;
}

std::tuple<Tensor, Tensor> pixel_clip_with_statistics(
    const Tensor& gradient, double threshold, std::string mode, std::string norm) {
  check_gradient(gradient);
  Tensor shaped = torch::stable::empty_like(gradient);
  const Tensor statistics = torch::stable::new_empty(gradient, {4}, ScalarType::Double);
  Tally<uint64_t> total{};
  run<Seen>(gradient, shaped, rule_of(threshold, mode, norm), [&](auto& seen) {
    for (const Seen& one : seen) total.add(one);
  });
  total.write(static_cast<double*>(statistics.data_ptr()));
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
  return start + word_offset<float, kAccess>(plan.in, plan.items - 1, word) + Word<float, kAccess>::kElements - 1;
}

// Calls f(number, level, corners) for every point on every level.
template <typename F>
void each_cell(const GridCall& call, F&& f) {
  for (int64_t level = 0; level < call.grid.levels; ++level) {
    for (int64_t number = 0; number < call.points; ++number) f(number, level, corners_at(call, number, level));
  }
}

Tensor hash_grid(const Tensor& unit, const Tensor& table, const Tensor& resolutions, const Tensor& multipliers) {
  require_plain(table, 3, ScalarType::Float, "table");
  const GridCall call = grid_call(unit, resolutions, multipliers, table.size(0) * table.size(1), table.size(2));
  Tensor out = torch::stable::new_empty(unit, {call.features * call.grid.levels, call.points});
  const auto* values = static_cast<const float*>(table.data_ptr());
  auto* found = static_cast<float*>(out.data_ptr());
  each_cell(call, [&](int64_t number, int64_t level, const Corners& corners) {
    for (int64_t feature = 0; feature < call.features; ++feature) {
      const int64_t plane = feature * call.grid.levels + level;
      found[plane * call.points + number] = interpolated(values + plane * call.grid.entries, corners);
    }
  });
  return out;
}

Tensor hash_grid_backward(const Tensor& unit, const Tensor& gradient, const Tensor& resolutions,
                          const Tensor& multipliers, int64_t entries) {
  require_plain(gradient, 2, ScalarType::Float, "gradient");
  const GridCall call = grid_call(unit, resolutions, multipliers, gradient.size(0), entries);
  const int64_t places = call.grid.levels * entries;
  Tensor out = torch::stable::new_empty(unit, {call.features, places});
  const auto* incoming = static_cast<const float*>(gradient.data_ptr());
  auto* found = static_cast<float*>(out.data_ptr());
  std::fill_n(found, call.features * places, 0.0f);
  each_cell(call, [&](int64_t number, int64_t level, const Corners& corners) {
    for (int64_t feature = 0; feature < call.features; ++feature) {
      const int64_t plane = feature * call.grid.levels + level;
      for (int i = 0; i < kCorners; ++i) {
        found[plane * entries + corners.index[i]] += incoming[plane * call.points + number] * corners.weight[i];
      }
    }
  });
  return out;
}

}  // namespace
}  // namespace dreampgc

STABLE_TORCH_LIBRARY(dreampgc_emulated, m) {
  m.def("pixel_clip(Tensor gradient, float threshold, str mode, str norm) -> Tensor");
  m.def("pixel_clip_with_statistics(Tensor gradient, float threshold, str mode, str norm) -> (Tensor, Tensor)");
  m.def("hash_grid(Tensor unit, Tensor table, Tensor resolutions, Tensor multipliers) -> Tensor");
  m.def(
      "hash_grid_backward(Tensor unit, Tensor gradient, Tensor resolutions, Tensor multipliers, int entries) -> Tensor");
  m.def("access(Tensor gradient) -> int");
  m.def("chunks(int batch, int channels, int height, int width, int row_stride) -> int");
  m.def("last_offset(int batch, int channels, int pixels) -> int");
}

STABLE_TORCH_LIBRARY_IMPL(dreampgc_emulated, CPU, m) {
  m.impl("pixel_clip", TORCH_BOX(&dreampgc::pixel_clip));
  m.impl("pixel_clip_with_statistics", TORCH_BOX(&dreampgc::pixel_clip_with_statistics));
  m.impl("hash_grid", TORCH_BOX(&dreampgc::hash_grid));
  m.impl("hash_grid_backward", TORCH_BOX(&dreampgc::hash_grid_backward));
  m.impl("access", TORCH_BOX(&dreampgc::access));
}

STABLE_TORCH_LIBRARY_IMPL(dreampgc_emulated, CompositeExplicitAutograd, m) {
  m.impl("chunks", TORCH_BOX(&dreampgc::chunks));
  m.impl("last_offset", TORCH_BOX(&dreampgc::last_offset));
}
