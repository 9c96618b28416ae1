"""Pixel-wise gradient clipping as the operator ``dreampgc::pixel_clip``.

The operator maps a gradient to a gradient: data to data, without an autograd formula of its own. Its body
is the reference; a native kernel, where one is built, registers itself on the dispatcher for its device, so
that no caller ever asks which one runs.
"""

from __future__ import annotations

import torch
from torch import Tensor

from dreampgc.ops import reference
from dreampgc.ops.reference import Mode, Norm


def pixel_clip(gradient: Tensor, threshold: float, mode: Mode = "norm", norm: Norm = "l2") -> Tensor:
    """Shape each pixel's gradient by a threshold; see `dreampgc.ops.reference.pixel_clip` for the modes.

    ``gradient`` is d(loss)/d(rgb) ``[B,3,H,W]`` of one sample (not divided by the batch size), before any
    loss scaling. Computed in float32, returned in its dtype and strides.

    Raises:
        ValueError: a wrong shape or dtype, a threshold that is not positive and finite, an unknown mode or norm.
    """
    reference.check_arguments(gradient, threshold, mode, norm)
    return _pixel_clip(gradient, threshold, mode, norm)


@torch.library.custom_op("dreampgc::pixel_clip", mutates_args=())
def _pixel_clip(gradient: Tensor, threshold: float, mode: str, norm: str) -> Tensor:
    return reference.pixel_clip(gradient, threshold, mode, norm)


@_pixel_clip.register_fake
def _(gradient: Tensor, threshold: float, mode: str, norm: str) -> Tensor:
    return torch.empty_like(gradient)
