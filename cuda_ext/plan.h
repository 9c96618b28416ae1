// How the pixels of [B,C,H,W] tensors are handed out to threads, for any strides.
//
// Pixels lie in rows: one a picture's row, or one a picture where its rows follow one another without a gap. A row is
// cut into items (what one thread shapes) and these into chunks (what one block does, one a thread). An item is C
// words: 16 bytes each where the layout and the alignment allow it, else single elements of one pixel.

#pragma once

#include <limits>

#include "pixel.h"

namespace dreampgc {

constexpr int kWarp = 32;
constexpr int kThreads = 512;  // of a block: the items of one chunk
constexpr int kWordBytes = 16;

enum class Access {
  kPlanar,       // a word holds consecutive pixels of one channel
  kInterleaved,  // channels last: C words hold consecutive pixels, channel after channel
  kScattered,    // a word is one element
};

// Distances between neighbours in elements.
struct Strides {
  int64_t batch, channel, row, column;
};

struct Shape {
  int64_t batch, channels, height, width;
};

struct Plan {
  Strides in, out;
  int64_t items;  // of a row
  int64_t chunks;
  uint32_t rows_per_picture;
  uint32_t chunks_per_row;
  Access access;
};

// A thread's item, which may lie behind the last of its row, and its number in the warp.
struct Place {
  int64_t item;
  uint32_t row, lane;
};

inline bool fits(const Strides& s, const void* data, Access access, int64_t channels, int64_t pixels) {
  const bool dense = access == Access::kPlanar ? s.column == 1 && s.channel % pixels == 0
                                               : s.channel == 1 && s.column == channels;
  return dense && s.batch % pixels == 0 && s.row % pixels == 0 && reinterpret_cast<uintptr_t>(data) % kWordBytes == 0;
}

// The plan for tensors of one shape whose first elements are at `from` and `to`.
// chunks is negative where they are more than a grid may have blocks.
inline Plan make_plan(Shape shape, Strides in, Strides out, const void* from, const void* to, int64_t element_bytes) {
  if (in.row == shape.width * in.column && out.row == shape.width * out.column) {
    shape.width *= shape.height;
    shape.height = 1;
  }
  for (Strides* strides : {&in, &out}) {  // an axis of one element has any stride: nobody steps along it
    if (shape.batch == 1) strides->batch = 0;
    if (shape.height == 1) strides->row = 0;
  }
  Plan plan{in, out, shape.width, 0, static_cast<uint32_t>(shape.height), 0, Access::kScattered};
  const int64_t pixels = kWordBytes / element_bytes;
  for (const Access access : {Access::kPlanar, Access::kInterleaved}) {
    if (shape.width % pixels == 0 && fits(in, from, access, shape.channels, pixels) &&
        fits(out, to, access, shape.channels, pixels)) {
      plan.access = access;
      plan.items = shape.width / pixels;
      break;
    }
  }
  constexpr int64_t kMost = std::numeric_limits<int32_t>::max();
  const int64_t per_row = (plan.items + kThreads - 1) / kThreads;
  const int64_t rows = shape.batch * shape.height;
  plan.chunks = per_row > 0 && rows > kMost / per_row ? -1 : per_row * rows;
  plan.chunks_per_row = static_cast<uint32_t>(plan.chunks > 0 ? per_row : 1);
  return plan;
}

DREAMPGC_INLINE Place place(const Plan& plan, uint32_t chunk, uint32_t thread) {
  const uint32_t row = chunk / plan.chunks_per_row;
  const int64_t first = static_cast<int64_t>(chunk - row * plan.chunks_per_row) * kThreads;
  return {first + thread, row, thread % kWarp};
}

DREAMPGC_INLINE int64_t row_offset(const Plan& plan, const Strides& strides, uint32_t row) {
  if (plan.rows_per_picture == 1) return row * strides.batch;
  const uint32_t picture = row / plan.rows_per_picture;
  return picture * strides.batch + (row - picture * plan.rows_per_picture) * strides.row;
}

}  // namespace dreampgc
