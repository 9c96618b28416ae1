"""The occupancy grid: what it must keep, drop and find again, and the samples it lets through."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from dreampgc.cameras import fixed_views
from dreampgc.render.marching import OccupancyGrid, Samples, march

MakeBall = Callable[..., Any]  # the fixture in conftest.py
STEP = 2 * 3**0.5 / 96


def some_rays() -> tuple[torch.Tensor, torch.Tensor]:
    rays = fixed_views([20.0, 250.0], elevation=30.0).rays(24, 24)
    return rays.origins.reshape(-1, 3), rays.directions.reshape(-1, 3)


def centres(resolution: int) -> torch.Tensor:
    axis = (torch.arange(resolution) + 0.5) * (2 / resolution) - 1
    return torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), dim=-1)


def test_a_new_grid_lets_every_sample_in_the_cube_through() -> None:
    origins, directions = some_rays()
    samples = march(origins, directions, OccupancyGrid(8), STEP)
    points = origins[samples.rays] + samples.distances[:, None] * directions[samples.rays]
    assert points.abs().max() <= 1 + 1e-4
    everywhere = (torch.arange(200) + 0.5) * STEP
    inside = (origins[:, None] + everywhere[:, None] * directions[:, None]).abs().amax(-1) < 1 - 1e-4
    counts = torch.bincount(samples.rays, minlength=len(origins))
    assert ((counts - inside.sum(1)).abs() <= 1).all()  # a sample on the border may fall on either side


def test_samples_come_ray_by_ray_front_to_back() -> None:
    samples = march(*some_rays(), OccupancyGrid(8), STEP, torch.rand(2 * 24 * 24))
    assert (samples.rays.diff() >= 0).all()
    steps = samples.distances.diff()[samples.rays.diff() == 0]
    torch.testing.assert_close(steps, torch.full_like(steps, STEP), atol=1e-5, rtol=0)


def test_pruning_only_removes_samples_and_most_of_them(make_ball: MakeBall) -> None:
    ball, (origins, directions) = make_ball(), some_rays()
    jitter = torch.rand(len(origins))
    everything = march(origins, directions, OccupancyGrid(8), STEP, jitter)
    kept = march(origins, directions, ball.grid(), STEP, jitter)
    assert len(kept.rays) < 0.2 * len(everything.rays)

    def keys(samples: Samples) -> set[int]:
        """One number for each sample: distances on a ray are a whole number of steps apart."""
        place = (samples.distances / STEP - jitter[samples.rays]).round().long()
        return set((samples.rays * 1000 + place).tolist())

    assert keys(kept) <= keys(everything)


@pytest.mark.parametrize("peak", [0.5, 50.0])
def test_first_update_keeps_every_cell_near_a_first_blob(peak: float) -> None:
    grid, generator = OccupancyGrid(24), torch.Generator().manual_seed(0)
    grid.update(lambda p: peak * torch.exp(-8 * p.norm(dim=-1)), generator, share=1)
    assert grid.occupied[centres(24).norm(dim=-1) < 0.3].all()
    assert grid.occupied.float().mean() < 0.5
    assert (grid.bounds[0] < -0.3).all()
    assert (grid.bounds[1] > 0.3).all()


def test_matter_that_appears_in_empty_space_is_found_and_matter_that_left_is_dropped(make_ball: MakeBall) -> None:
    grid, generator = OccupancyGrid(16), torch.Generator().manual_seed(0)
    old, new = make_ball(0.3, (-0.6, 0, 0)), make_ball(0.3, (0.6, 0, 0))
    grid.update(old.density, generator, share=1)
    inside_new = (centres(16) - new.centre).norm(dim=-1) < 0.2
    assert not grid.occupied[inside_new].any()
    for _ in range(30):
        grid.update(new.density, generator)
    assert grid.occupied[inside_new].all()
    assert not grid.occupied[(centres(16) - old.centre).norm(dim=-1) < 0.2].any()


def test_a_field_of_nan_does_not_blind_the_grid_for_ever(make_ball: MakeBall) -> None:
    grid, ball = OccupancyGrid(16), make_ball()
    grid.update(lambda p: p[:, 0] * torch.nan)
    grid.update(ball.density)
    assert torch.equal(grid.occupied, ball.grid(16).occupied)


def test_an_empty_field_gives_no_samples() -> None:
    grid = OccupancyGrid(16)
    grid.update(lambda p: p[:, 0] * 0)
    assert len(march(*some_rays(), grid, STEP).rays) == 0


def test_state_restores_the_grid_exactly(make_ball: MakeBall) -> None:
    grid, other = make_ball().grid(16), OccupancyGrid(16)
    other.load_state_dict(grid.state_dict())
    a, b = (march(*some_rays(), g, STEP) for g in (grid, other))
    assert torch.equal(a.rays, b.rays)
    assert torch.equal(a.distances, b.distances)


def test_updates_repeat_with_the_generator(make_ball: MakeBall) -> None:
    grids = [OccupancyGrid(16) for _ in range(2)]
    for grid in grids:
        generator = torch.Generator().manual_seed(5)
        for _ in range(3):
            grid.update(make_ball().density, generator)
    assert torch.equal(grids[0].peak, grids[1].peak)


def test_rays_along_the_axes_and_from_inside_hit() -> None:
    origins = torch.tensor([[0.0, 0, 3], [0, 0, 0], [0, 3, 0], [3, 3, 3]])
    directions = torch.tensor([[0.0, 0, -1], [1, 0, 0], [0, -1, 0], [1, 0, 0]])
    counts = torch.bincount(march(origins, directions, OccupancyGrid(8), 0.1).rays, minlength=4)
    assert counts.tolist() == [20, 10, 20, 0]
