"""A function at a point, and the transpose of its Jacobian there."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

#: Carries a cotangent back through a linearised function: ``g_y -> (dy/dx)^T g_y``.
Transpose = Callable[[Tensor], Tensor]


def linearise(function: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, Transpose]:
    """``y = f(x)`` and the transpose of the Jacobian there, exact by reverse-mode differentiation (used once)."""
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        y = function(x)
    return y.detach(), lambda g: torch.autograd.grad(y, x, g)[0]
