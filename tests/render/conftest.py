"""An analytic field for the renderer's tests."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from dreampgc.render import OccupancyGrid


class Ball:
    """A ball of one colour and constant density with a soft skin, and an exact occupancy grid for it."""

    def __init__(self, radius: float = 0.5, centre: tuple[float, ...] = (0.0, 0.0, 0.0), peak: float = 200.0) -> None:
        self.radius, self.centre, self.peak = radius, torch.tensor(centre), peak

    def __call__(self, positions: Tensor, directions: Tensor | None) -> tuple[Tensor, Tensor]:
        return self.density(positions), torch.tensor([0.8, 0.4, 0.2]).expand(len(positions), 3)

    def density(self, positions: Tensor) -> Tensor:
        return self.peak * torch.sigmoid((self.radius - (positions - self.centre).norm(dim=-1)) * 60)

    def grid(self, resolution: int = 32) -> OccupancyGrid:
        grid = OccupancyGrid(resolution)
        grid.update(self.density)
        return grid


@pytest.fixture
def make_ball() -> Callable[..., Ball]:
    return Ball
