// Errors for Python, and the checks that operators share.

#pragma once

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <stdexcept>
#include <string>

namespace dreampgc {

// Without torch's macro: that writes to a stream of the C++ library, and crashed where torch was linked against another.
inline void require(bool condition, const std::string& message) {
  if (!condition) throw std::runtime_error(message);
}

}  // namespace dreampgc
