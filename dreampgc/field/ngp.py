"""A radiance field: hash-grid encoding and a small network, with a soft ball to start from."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from dreampgc.field.encoding import HashGrid

Activation = Literal["trunc_exp", "softplus"]


class InstantNGP(nn.Module):
    """Density and colour of points in [-1,1]^3: ``encoding`` (hash grid) followed by ``network`` (ReLU layers).

    The raw density starts as a cone ``blob_density * (1 - |p| / blob_radius)``, bounded below by
    ``-blob_density``, so that the first image shows a soft ball and far space starts empty but can still grow.
    Colours do not depend on the view: shading is the renderer's business. Initial weights come from torch's
    global generator.

    Raises:
        ValueError: an unknown activation, or a size that is not positive.
    """

    def __init__(
        self,
        *,
        levels: int = 8,
        features: int = 2,
        log2_hashmap_size: int = 15,
        base_resolution: int = 16,
        max_resolution: int = 256,
        hidden: int = 32,
        layers: int = 2,
        density_activation: Activation = "trunc_exp",
        blob_density: float = 5.0,
        blob_radius: float = 0.5,
        colour_channels: int = 3,
    ) -> None:
        super().__init__()
        if density_activation not in _ACTIVATIONS:
            raise ValueError(f"density activation {density_activation!r} is not one of {sorted(_ACTIVATIONS)}")
        if min(hidden, layers, colour_channels) < 1 or blob_radius <= 0:
            raise ValueError(f"{hidden=}, {layers=}, {colour_channels=}, {blob_radius=} must be positive")
        self.encoding = HashGrid(
            levels=levels,
            features=features,
            log2_hashmap_size=log2_hashmap_size,
            base_resolution=base_resolution,
            max_resolution=max_resolution,
        )
        widths = [self.encoding.width, *[hidden] * layers]
        hidden_layers = [
            module
            for inputs, outputs in pairwise(widths)
            for module in (nn.Linear(inputs, outputs), nn.ReLU(inplace=True))
        ]
        self.network = nn.Sequential(*hidden_layers)
        self.head = nn.Linear(hidden, 1 + colour_channels)
        self._activate = _ACTIVATIONS[density_activation]
        self._blob = blob_density, blob_radius

    def forward(self, positions: Tensor, directions: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Density ``[N]`` >= 0 and colour ``[N,C]`` (RGB in [0,1]; raw latents if C is not 3) at ``[N,3]``."""
        raw = self.head(self.network(self.encoding(positions)))
        colour = raw[:, 1:]
        return self._density(raw[:, 0], positions), torch.sigmoid(colour) if colour.shape[1] == 3 else colour

    def density(self, positions: Tensor) -> Tensor:
        """Density ``[N]`` alone, the same values as ``forward`` gives."""
        hidden = self.network(self.encoding(positions))
        raw = functional.linear(hidden, self.head.weight[:1], self.head.bias[:1])
        return self._density(raw[:, 0], positions)

    def _density(self, raw: Tensor, positions: Tensor) -> Tensor:
        peak, radius = self._blob
        cone = 1 - positions.norm(dim=-1) / radius
        return self._activate(raw + peak * cone.clamp_min_(-1))


class Background(nn.Module):
    """What is seen where no object is: a smooth colour of the ray's direction."""

    def __init__(self, *, hidden: int = 16, colour_channels: int = 3) -> None:
        super().__init__()
        self.network = nn.Sequential(nn.Linear(3, hidden), nn.SiLU(inplace=True), nn.Linear(hidden, colour_channels))

    def forward(self, directions: Tensor) -> Tensor:
        """Image ``[B,C,H,W]`` (RGB in [0,1]; raw latents if C is not 3) for unit ``directions`` ``[B,H,W,3]``."""
        colour = self.network(directions).movedim(-1, 1)
        return torch.sigmoid(colour) if colour.shape[1] == 3 else colour


class _TruncatedExponential(torch.autograd.Function):
    """``exp(x)`` whose derivative stops growing at x = 15 (Müller et al. 2022), so that no step explodes."""

    @staticmethod
    def forward(ctx: Any, raw: Tensor) -> Tensor:
        ctx.save_for_backward(raw)
        return raw.clamp(max=80).exp_()  # exp(80) is still finite in float32

    # torch declares `*grad_outputs`; a function knows how many it has.
    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        (raw,) = ctx.saved_tensors
        return gradient * raw.clamp(max=15).exp_()


_ACTIVATIONS = {"trunc_exp": _TruncatedExponential.apply, "softplus": functional.softplus}
