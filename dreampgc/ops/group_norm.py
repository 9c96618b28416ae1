"""Group normalisation for tensors whose channels lie last in memory, written so that a compiler makes it fast.

A group is then a comb: a few neighbouring channels at every pixel. A reduction by groups reads memory in such small
pieces; sums by channel read it in long ones, forward and backward, and a group's few sums are added up afterwards.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def sum_by_channel(network: nn.Module) -> None:
    """Let the group norms of ``network`` take their sums channel by channel; values stay, but for roundings."""
    for module in list(network.modules()):
        if type(module) is nn.GroupNorm:
            module.__class__ = ChannelwiseGroupNorm


class ChannelwiseGroupNorm(nn.GroupNorm):
    """A group norm by sums and sums of squares of each channel, in float32 at least. Made by `sum_by_channel`.

    A variance is a difference of sums: it has 7 digits less those of the squared ratio of mean and deviation.
    """

    def forward(self, input: Tensor) -> Tensor:
        """See `torch.nn.GroupNorm`."""
        wide = torch.promote_types(input.dtype, torch.float32)
        x = input.to(wide).flatten(2)
        count = x.shape[2] * (x.shape[1] // self.num_groups)
        mean, square = (
            sums.unflatten(1, (self.num_groups, -1)).sum(dim=2, keepdim=True) / count
            for sums in (x.sum(dim=2), x.square().sum(dim=2))
        )
        scale = ((square - mean.square()).clamp_min(0) + self.eps).rsqrt()
        shift = -mean * scale
        if self.affine:
            weight, bias = (p.to(wide).unflatten(0, (self.num_groups, -1)) for p in (self.weight, self.bias))
            scale, shift = scale * weight, shift * weight + bias
        else:
            scale, shift = (p.expand(-1, -1, x.shape[1] // self.num_groups) for p in (scale, shift))
        shape = (*input.shape[:2], *[1] * (input.dim() - 2))
        return (input.to(wide) * scale.reshape(shape) + shift.reshape(shape)).to(input.dtype)
