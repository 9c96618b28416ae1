"""Analytic shapes for the mesh tests."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional


def snowman(positions: Tensor) -> Tensor:
    """Signed distance of two balls and a thin arm towards +x."""

    def ball(y: float, radius: float) -> Tensor:
        return (positions - torch.tensor([0.0, y, 0.0])).norm(dim=-1) - radius

    outside = (positions - torch.tensor([0.4, 0.2, 0.0])).abs() - torch.tensor([0.3, 0.04, 0.04])
    arm = outside.clamp(min=0).norm(dim=-1) + outside.amax(-1).clamp(max=0)
    return torch.stack([ball(-0.3, 0.4), ball(0.25, 0.28), arm]).amin(0)


def rough(positions: Tensor, seed: int = 0) -> Tensor:
    """Smooth random values of unit scale, 16 lattice cells a side."""
    lattice = torch.randn(1, 1, 17, 17, 17, generator=torch.Generator().manual_seed(seed))
    return functional.grid_sample(lattice, positions.reshape(1, 1, 1, -1, 3), align_corners=True).reshape(-1)


@pytest.fixture
def snowman_sdf() -> Callable[[Tensor], Tensor]:
    return snowman


@pytest.fixture
def noisy_density() -> Callable[[float], Callable[[Tensor], Tensor]]:
    """Densities of the snowman with ``noise`` nats of roughness, haze everywhere and floaters all around."""

    def make(noise: float) -> Callable[[Tensor], Tensor]:
        places = torch.rand(30, 3, generator=torch.Generator().manual_seed(1)) * 1.9 - 0.95

        def density(positions: Tensor) -> Tensor:
            body = 80 * torch.sigmoid(-30 * snowman(positions) + noise * rough(positions))
            floaters = 60 * (torch.cdist(positions, places).amin(-1) < 0.04)
            return body + floaters + 0.1

        return density

    return make
