// What launching a kernel takes: errors, and torch's current stream.

#pragma once

#include <cuda_runtime.h>
#include <torch/csrc/inductor/aoti_torch/c/shim.h>
#include <torch/csrc/stable/accelerator.h>

#include "require.h"

#ifndef STABLE_TORCH_ERROR_CODE_CHECK  // before torch 2.13
#define STABLE_TORCH_ERROR_CODE_CHECK(call) TORCH_ERROR_CODE_CHECK(call)
#endif

namespace dreampgc {

inline void check(cudaError_t status) {
  require(status == cudaSuccess, cudaGetErrorString(status));
}

inline cudaStream_t current_stream(const torch::stable::Tensor& tensor) {
  void* stream = nullptr;
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_current_cuda_stream(tensor.get_device(), &stream));
  return static_cast<cudaStream_t>(stream);
}

}  // namespace dreampgc
