"""Property: colours at the surface are those of a volume renderer that looks straight at it."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from dreampgc.mesh.colours import BLOCK, seen_colors

POINTS = np.array([[0.1, 0.0, 0.3], [-0.5, 0.2, 0.0]], np.float32)
UP = np.array([[0, 1, 0], [0, 1, 0]], np.float32)


def layers(density: float) -> "object":
    """Red above the points' heights, blue below, of one density."""

    def field(positions: Tensor, _directions: Tensor | None) -> tuple[Tensor, Tensor]:
        above = positions[:, 1] > torch.where(positions[:, 0] > 0, 0.0, 0.2)
        colour = torch.where(above[:, None], torch.tensor([1.0, 0.0, 0.0]), torch.tensor([0.0, 0.0, 1.0]))
        return torch.full_like(positions[:, 0], density), colour

    return field


@pytest.mark.parametrize("density", [0.0, 3.0, 20.0, 1e4, math.inf])
def test_the_light_that_upper_layers_leave_shows_the_lower_ones(density: float) -> None:
    colors = seen_colors(layers(density), POINTS, UP, reach=0.1)
    red = 1 - math.exp(-density * 0.1)  # Beer and Lambert
    np.testing.assert_allclose(colors, [[red, 0, 1 - red]] * 2, atol=1e-6)


def test_blocks_and_values_out_of_range() -> None:
    def field(positions: Tensor, _directions: Tensor | None) -> tuple[Tensor, Tensor]:
        colour = torch.stack([positions[:, 0] * 4, positions[:, 0] - 9, torch.full_like(positions[:, 0], math.nan)], 1)
        return torch.ones_like(positions[:, 0]), colour

    points = np.zeros((BLOCK + 3, 3), np.float32)
    points[:, 0] = np.linspace(0, 1, len(points))
    colors = seen_colors(field, points, np.broadcast_to(UP[:1], points.shape).copy(), reach=0.01)
    np.testing.assert_allclose(colors[:, 0], np.minimum(points[:, 0] * 4, 1), atol=1e-6)
    assert (colors[:, 1:] == 0).all()
