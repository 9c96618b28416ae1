"""Sums over packed samples: values of all rays in one row, ray after ray.

``rays`` ``[N]`` int64 (ascending) says which ray owns each sample. Running sums go through float64, for they
are differences of sums over the whole row; every operation has a fixed order on the CPU (repeatable bit for bit).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def sum_before(values: Tensor, rays: Tensor) -> Tensor:
    """For each sample ``[N]``, the sum of ``values`` ``[N]`` of the earlier samples on its ray."""
    return _SumBefore.apply(values, rays)


def sum_by_ray(values: Tensor, rays: Tensor, count: int) -> Tensor:
    """Sums ``[count, C]`` of ``values`` ``[N,C]`` over each ray; zero for a ray without samples."""
    return values.new_zeros(count, values.shape[1]).index_add_(0, rays, values)


def _running_sum(values: Tensor, rays: Tensor) -> Tensor:
    """Sum of the earlier values on the same ray, in float64."""
    total = values.double().cumsum(0)
    earlier = total - values
    first = torch.searchsorted(rays, rays)  # of each sample's ray: the first place that holds its number
    return earlier - earlier[first]


class _SumBefore(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, rays: Tensor) -> Tensor:
        ctx.save_for_backward(rays)
        return _running_sum(values, rays).to(values.dtype)

    # torch declares `*grad_outputs`; a function knows how many it has.
    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, gradient: Tensor
    ) -> tuple[Tensor, None]:
        """A value enters every later sum of its ray: the same running sum, from the other end."""
        (rays,) = ctx.saved_tensors
        return _running_sum(gradient.flip(0), -rays.flip(0)).flip(0).to(gradient.dtype), None
