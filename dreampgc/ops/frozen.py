"""Convolutions of frozen networks, whose backward is a convolution too.

Only the gradient of what goes in is wanted. For a stride of 1 that is the convolution of the gradient with the mirrored
weights, and libraries have faster kernels for it than for the "data gradient": on an H200, cuDNN's are written for the
chip before.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


def freeze_convolutions(network: nn.Module) -> None:
    """Let the convolutions of ``network`` go backwards as convolutions, where they can: they must not be trained.

    Values stay the same, gradients too but for roundings. Those with a stride stay as they are.
    """
    for module in list(network.modules()):
        if type(module) is nn.Conv2d and _mirrorable(module):
            module.__class__ = FrozenConvolution
            mirrored = module.weight.detach().transpose(0, 1).flip(2, 3)
            layout = torch.channels_last if module.weight.is_contiguous(memory_format=torch.channels_last) else None
            module.register_buffer(
                "mirrored", mirrored.contiguous(memory_format=layout or torch.contiguous_format), persistent=False
            )


class FrozenConvolution(nn.Conv2d):
    """A convolution with a stride of 1 and frozen weights. Made by `freeze_convolutions`."""

    mirrored: Tensor

    def forward(self, input: Tensor) -> Tensor:
        """See `torch.nn.Conv2d`."""
        return _Convolved.apply(input, self.weight, self.bias, self.mirrored, self.padding)


class _Convolved(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, mirrored: Tensor, padding: tuple[int, int]
    ) -> Tensor:
        ctx.save_for_backward(mirrored)
        ctx.padding = tuple(side - 1 - pad for side, pad in zip(weight.shape[2:], padding, strict=True))
        return functional.conv2d(x, weight, bias, padding=padding)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        (mirrored,) = ctx.saved_tensors
        if mirrored.is_contiguous(memory_format=torch.channels_last):
            gradient = gradient.contiguous(memory_format=torch.channels_last)
        return functional.conv2d(gradient, mirrored, padding=ctx.padding), None, None, None, None


def _mirrorable(module: nn.Conv2d) -> bool:
    if isinstance(module.padding, str) or any(parameter.requires_grad for parameter in module.parameters()):
        return False
    plain = module.stride == (1, 1) and module.dilation == (1, 1) and module.groups == 1
    narrow = all(pad < side for pad, side in zip(module.padding, module.kernel_size, strict=True))
    return plain and narrow and module.padding_mode == "zeros"
