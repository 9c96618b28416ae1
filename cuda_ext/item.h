// What one thread does with its item: read, shape, write.
//
// Channels last, the words of one item lie side by side, so that a warp that read word by word would touch three times
// the memory it uses. There it goes through a stage: the lanes read neighbouring words into it, each takes those of its
// item and puts them back, and the lanes write neighbouring words again. The steps are separate functions: on a GPU the
// lanes of a warp synchronise in between, a test without one does each step for all lanes in turn.

#pragma once

#include "plan.h"
#include "tally.h"

namespace dreampgc {

struct alignas(kWordBytes) Quad {
  uint32_t x, y, z, w;
} __attribute__((may_alias));

template <typename T, Access A>
struct Word {
  static constexpr int kElements = kWordBytes / sizeof(T);
  using type = Quad;
};

template <typename T>
struct Word<T, Access::kScattered> {
  static constexpr int kElements = 1;
  using type = T;
};

template <typename T>
DREAMPGC_INLINE T load(const T* from) {
  return *from;
}

template <typename T>
DREAMPGC_INLINE void store(T* to, const T& word) {
  *to = word;
}

// Nothing is read or written twice here: whole words are the first that the caches let go.
DREAMPGC_INLINE Quad load(const Quad* from) {
#ifdef __CUDA_ARCH__
  const uint4 word = __ldcs(reinterpret_cast<const uint4*>(from));
  return {word.x, word.y, word.z, word.w};
#else
  return *from;
#endif
}

DREAMPGC_INLINE void store(Quad* to, const Quad& word) {
#ifdef __CUDA_ARCH__
  __stcs(reinterpret_cast<uint4*>(to), make_uint4(word.x, word.y, word.z, word.w));
#else
  *to = word;
#endif
}

template <typename T, int C, Access A>
struct Item {
  using W = typename Word<T, A>::type;
  static constexpr int kPixels = Word<T, A>::kElements;
  static constexpr bool kStaged = A == Access::kInterleaved;
  static_assert(kPixels <= kMostPixels);

  alignas(kWordBytes) T values[C * kPixels];

  DREAMPGC_INLINE W& word(int i) { return reinterpret_cast<W*>(values)[i]; }
  DREAMPGC_INLINE T& value(int pixel, int channel) {
    return values[A == Access::kInterleaved ? pixel * C + channel : channel * kPixels + pixel];
  }
};

// Where an item's words are, from the start of its row; not for kInterleaved.
template <typename T, Access A>
DREAMPGC_INLINE int64_t word_offset(const Strides& strides, int64_t item, int word) {
  return word * strides.channel + (A == Access::kPlanar ? item * Word<T, A>::kElements : item * strides.column);
}

// The i-th word that a lane moves between memory and stage, from the start of its row.
template <int C>
DREAMPGC_INLINE int64_t staged_word(const Place& at, int i) {
  return (at.item - at.lane) * C + i * kWarp + at.lane;
}

// Where a word is in the stage: four channels are shuffled, or lanes would meet in the same banks of shared memory.
template <int C>
DREAMPGC_INLINE uint32_t slot(uint32_t word) {
  return C % 2 == 0 ? word ^ (word / 8 % 4) : word;
}

template <typename T, int C, Access A>
DREAMPGC_INLINE void read(Item<T, C, A>& item, const T* in, const Plan& plan, const Place& at, Quad* stage) {
  using W = typename Item<T, C, A>::W;
  const T* row = in + row_offset(plan, plan.in, at.row);
  if constexpr (Item<T, C, A>::kStaged) {
    Quad words[C] = {};  // all on their way before the first is awaited
    for (int i = 0; i < C; ++i) {
      const int64_t word = staged_word<C>(at, i);
      if (word < plan.items * C) words[i] = load(reinterpret_cast<const Quad*>(row) + word);
    }
    for (int i = 0; i < C; ++i) stage[slot<C>(i * kWarp + at.lane)] = words[i];
  } else if (at.item < plan.items) {
    for (int i = 0; i < C; ++i) {
      item.word(i) = load(reinterpret_cast<const W*>(row + word_offset<T, A>(plan.in, at.item, i)));
    }
  }
}

template <typename T, int C, Access A>
DREAMPGC_INLINE void take(Item<T, C, A>& item, const Place& at, const Quad* stage) {
  if constexpr (Item<T, C, A>::kStaged) {
    for (int i = 0; i < C; ++i) item.word(i) = stage[slot<C>(at.lane * C + i)];
  }
}

template <typename T, int C, Access A>
DREAMPGC_INLINE void put(Item<T, C, A>& item, const Place& at, Quad* stage) {
  if constexpr (Item<T, C, A>::kStaged) {
    for (int i = 0; i < C; ++i) stage[slot<C>(at.lane * C + i)] = item.word(i);
  }
}

template <typename T, int C, Access A>
DREAMPGC_INLINE void write(Item<T, C, A>& item, T* out, const Plan& plan, const Place& at, const Quad* stage) {
  using W = typename Item<T, C, A>::W;
  T* row = out + row_offset(plan, plan.out, at.row);
  if constexpr (Item<T, C, A>::kStaged) {
    for (int i = 0; i < C; ++i) {
      const int64_t word = staged_word<C>(at, i);
      if (word < plan.items * C) store(reinterpret_cast<Quad*>(row) + word, stage[slot<C>(i * kWarp + at.lane)]);
    }
  } else if (at.item < plan.items) {
    for (int i = 0; i < C; ++i) {
      store(reinterpret_cast<W*>(row + word_offset<T, A>(plan.out, at.item, i)), item.word(i));
    }
  }
}

template <Mode M, Norm N, typename T, int C, Access A, typename Statistics>
DREAMPGC_INLINE void shape_by(Item<T, C, A>& item, float threshold, Statistics& seen) {
  DREAMPGC_UNROLL  // or the values would live in memory
  for (int pixel = 0; pixel < Item<T, C, A>::kPixels; ++pixel) {
    float g[C];
    for (int i = 0; i < C; ++i) g[i] = static_cast<float>(item.value(pixel, i));
    shape_pixel<M, N, kSquaresFit<T>>(g, threshold, seen);
    for (int i = 0; i < C; ++i) item.value(pixel, i) = static_cast<T>(g[i]);
  }
}

// Shapes all pixels of an item; the rule is the same for all threads, so it is asked once.
template <typename T, int C, Access A, typename Statistics>
DREAMPGC_INLINE void shape(Item<T, C, A>& item, const Rule& rule, Statistics& seen) {
  const float c = rule.threshold;
  const bool l2 = rule.norm == Norm::kL2;
  switch (rule.mode) {
    case Mode::kNorm:
      return l2 ? shape_by<Mode::kNorm, Norm::kL2>(item, c, seen) : shape_by<Mode::kNorm, Norm::kLinf>(item, c, seen);
    case Mode::kValue:
      return l2 ? shape_by<Mode::kValue, Norm::kL2>(item, c, seen) : shape_by<Mode::kValue, Norm::kLinf>(item, c, seen);
    case Mode::kNormalize:
      return l2 ? shape_by<Mode::kNormalize, Norm::kL2>(item, c, seen)
                : shape_by<Mode::kNormalize, Norm::kLinf>(item, c, seen);
  }
}

}  // namespace dreampgc
