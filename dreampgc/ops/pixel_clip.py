"""Pixel-wise gradient clipping as the operators ``dreampgc::pixel_clip`` and ``dreampgc::pixel_clip_with_statistics``.

They map a gradient to a gradient: data to data, without an autograd formula of their own. Their body is the reference.
On CUDA, where the kernels of `cuda_ext` are built and `dreampgc.ops.native` has proven them, those do the same in one
pass over memory; no caller ever asks which one runs.
"""

from __future__ import annotations

import torch
from torch import Tensor

from dreampgc.ops import native, reference
from dreampgc.ops.reference import Mode, Norm

_NATIVE_DTYPES = (torch.float32, torch.float16, torch.bfloat16)


def pixel_clip(gradient: Tensor, threshold: float, mode: Mode = "norm", norm: Norm = "l2") -> Tensor:
    """Shape each pixel's gradient by a threshold; see `dreampgc.ops.reference.pixel_clip` for the modes.

    ``gradient`` is d(loss)/d(image) of one sample (not divided by the batch size), ``[B,3,H,W]`` or ``[B,4,H,W]``,
    before any loss scaling. Computed in float32, returned in its dtype and strides.

    Raises:
        ValueError: a wrong shape or dtype, a threshold that is not positive and finite, an unknown mode or norm.
    """
    reference.check_arguments(gradient, threshold, mode, norm)
    return _pixel_clip(gradient, threshold, mode, norm)


def pixel_clip_with_statistics(
    gradient: Tensor, threshold: float, mode: Mode = "norm", norm: Norm = "l2"
) -> tuple[Tensor, Tensor]:
    """The same as `pixel_clip`, and what the pass over the gradient saw: float64 ``[4]``, on its device.

    The statistics are the counts of norms above the threshold and of norms that are not finite, the maximum and the
    sum of the others (`dreampgc.ops.reference.clip_statistics`). Nothing waits for the device.

    Raises:
        ValueError: as `pixel_clip`.
    """
    reference.check_arguments(gradient, threshold, mode, norm)
    return _pixel_clip_with_statistics(gradient, threshold, mode, norm)


@torch.library.custom_op("dreampgc::pixel_clip", mutates_args=())
def _pixel_clip(gradient: Tensor, threshold: float, mode: str, norm: str) -> Tensor:
    return reference.pixel_clip(gradient, threshold, mode, norm)


@_pixel_clip.register_kernel("cuda")
def _pixel_clip_on_cuda(gradient: Tensor, threshold: float, mode: str, norm: str) -> Tensor:
    if gradient.dtype in _NATIVE_DTYPES and native.usable():
        return torch.ops.dreampgc_native.pixel_clip(gradient, threshold, mode, norm)
    return reference.pixel_clip(gradient, threshold, mode, norm)


@_pixel_clip.register_fake
def _(gradient: Tensor, threshold: float, mode: str, norm: str) -> Tensor:
    return torch.empty_like(gradient)


def _reference_with_statistics(gradient: Tensor, threshold: float, mode: str, norm: str) -> tuple[Tensor, Tensor]:
    shaped = reference.pixel_clip(gradient, threshold, mode, norm)
    return shaped, reference.clip_statistics(gradient, threshold, norm)


@torch.library.custom_op("dreampgc::pixel_clip_with_statistics", mutates_args=())
def _pixel_clip_with_statistics(gradient: Tensor, threshold: float, mode: str, norm: str) -> tuple[Tensor, Tensor]:
    return _reference_with_statistics(gradient, threshold, mode, norm)


@_pixel_clip_with_statistics.register_kernel("cuda")
def _pixel_clip_with_statistics_on_cuda(
    gradient: Tensor, threshold: float, mode: str, norm: str
) -> tuple[Tensor, Tensor]:
    if gradient.dtype in _NATIVE_DTYPES and native.usable():
        return torch.ops.dreampgc_native.pixel_clip_with_statistics(gradient, threshold, mode, norm)
    return _reference_with_statistics(gradient, threshold, mode, norm)


@_pixel_clip_with_statistics.register_fake
def _(gradient: Tensor, threshold: float, mode: str, norm: str) -> tuple[Tensor, Tensor]:
    return torch.empty_like(gradient), gradient.new_empty(4, dtype=torch.float64)
