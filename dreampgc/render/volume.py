"""Volume rendering of packed samples: transmittance, weights and their sums along each ray (Max 1995)."""

from __future__ import annotations

import torch
from torch import Tensor

from dreampgc.ops import accelerators
from dreampgc.ops.segments import sum_before

#: Nothing passes a sample of this optical depth. Deeper ones would drown the sums of all later rays in rounding.
OPAQUE = 100.0


def transmittance(optical_depth: Tensor, rays: Tensor) -> Tensor:
    """Share of light ``[N]`` in [0,1] that reaches the front of each sample, ``exp(-sum of the earlier ones)``.

    ``optical_depth`` ``[N]`` is density times step length, ``rays`` ``[N]`` the ascending ray numbers.
    """
    return torch.exp(-sum_before(optical_depth.clamp(max=OPAQUE), rays))


def sample_weights(optical_depth: Tensor, rays: Tensor, count: int) -> Tensor:
    """Weight ``[N]`` in [0,1] of each sample in its pixel: ``T * (1 - exp(-optical depth))``.

    The weights of a ray and its final transmittance add up to 1. ``count`` is the number of rays.
    """
    if optical_depth.is_cuda and optical_depth.dtype == torch.float32 and accelerators.usable("nerfacc"):
        return accelerators.nerfacc_weights(optical_depth.clamp(max=OPAQUE), rays, count)
    return transmittance(optical_depth, rays) * -torch.expm1(-optical_depth)


def over_background(colour: Tensor, opacity: Tensor, background: Tensor) -> Tensor:
    """Accumulated (premultiplied) ``colour`` ``[...,C]`` in front of ``background``, ``opacity`` ``[...,1]``."""
    return colour + (1 - opacity) * background
