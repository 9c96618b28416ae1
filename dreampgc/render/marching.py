"""Which points of a ray are worth a look: an occupancy grid, and samples that it lets through."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

_OPAQUE = 5.0  # optical depth behind which nothing is seen: exp(-5) < 0.01, and it is a bound from below


class OccupancyGrid(nn.Module):
    """What is known of the density in ``resolution``^3 cells of [-1,1]^3; all of it is state for a checkpoint.

    ``peak`` ``[R,R,R]`` (x, y, z) is a slowly forgotten maximum of the densities seen in a cell, ``latest`` the
    last one. A cell is occupied while its peak exceeds both a small optical depth and the mean. A new grid
    knows nothing: every cell is occupied.

    Raises:
        ValueError: ``resolution`` is not positive.
    """

    peak: Tensor
    latest: Tensor
    lower: Tensor
    bounds: Tensor

    def __init__(self, resolution: int = 64, *, threshold: float = 0.03, decay: float = 0.6) -> None:
        super().__init__()
        if resolution < 1:
            raise ValueError(f"occupancy grid of {resolution} cells")
        self.resolution, self.decay = resolution, decay
        self._threshold = threshold * resolution / 2  # optical depth across one cell, as a density
        shape = (resolution,) * 3
        self.register_buffer("peak", torch.zeros(shape))
        self.register_buffer("latest", torch.zeros(shape))
        self.register_buffer("lower", torch.zeros(shape))  # bound on the density from below; -1 in empty cells
        self.register_buffer("bounds", torch.tensor([[-1.0] * 3, [1.0] * 3]))  # box around the occupied cells

    @property
    def occupied(self) -> Tensor:
        """Cells ``[R,R,R]`` (x, y, z) that a renderer looks into."""
        return self.lower >= 0

    @torch.no_grad()
    def update(
        self, density: Callable[[Tensor], Tensor], generator: torch.Generator | None = None, *, share: float = 0.125
    ) -> None:
        """Look again at every occupied cell and at a random ``share`` of all, one random point in each.

        Empty cells are thus seen again from time to time, and matter can grow there. Without a ``generator``
        (exports, tests) all cells are looked at, in their centres. Use ``share=1`` for the first update.
        """
        cells, jitter = self._choose(generator, share)
        corners = torch.stack(torch.unravel_index(cells, self.peak.shape), dim=-1)
        seen = density((corners + jitter) * (2 / self.resolution) - 1).to(self.peak.dtype)
        seen = seen.nan_to_num(0)  # one bad step must not blind the grid for ever
        flat = self.peak.view(-1)
        flat[cells] = torch.maximum(flat[cells] * self.decay, seen)
        self.latest.view(-1)[cells] = seen
        self._refresh()

    def _choose(self, generator: torch.Generator | None, share: float) -> tuple[Tensor, Tensor]:
        """Flat indices ``[n]`` of the cells to look at and where in them ``[n,3]``; drawn on the CPU."""
        device, count = self.peak.device, self.peak.numel()
        if generator is None:
            return torch.arange(count, device=device), torch.full((1, 3), 0.5, device=device)
        chosen = (torch.rand(count, generator=generator) < share).to(device) | self.occupied.view(-1)
        cells = chosen.nonzero()[:, 0]
        return cells, torch.rand(len(cells), 3, generator=generator).to(device)

    def _refresh(self) -> None:
        """Occupancy, its bounding box and the bound from below, from the recorded densities."""
        # At most the mean, or a faint first blob would vanish from the grid and never be trained.
        # Neighbours of a dense cell count too: one sample does not tell of a cell's far corner, and objects grow there.
        threshold = self.peak.mean().clamp(max=self._threshold)
        occupied = _largest_around(self.peak) > threshold
        # The least density around a cell: a ray that only grazes a surface must not count as stopped.
        least = -_largest_around(-self.latest)
        self.lower.copy_(torch.where(occupied, least, -1.0))
        cells = occupied.nonzero()
        box = torch.stack([cells.amin(0), cells.amax(0) + 1]) if len(cells) else cells.new_zeros(2, 3)
        self.bounds.copy_(box * (2 / self.resolution) - 1)


def _largest_around(values: Tensor) -> Tensor:
    """Maximum ``[R,R,R]`` of ``values`` over each cell and its 26 neighbours."""
    return functional.max_pool3d(values[None], kernel_size=3, stride=1, padding=1)[0]


@dataclass(frozen=True)
class Samples:
    """Packed samples: ``rays`` ``[N]`` int64 ascending, ``distances`` ``[N]``, ascending on each ray."""

    rays: Tensor
    distances: Tensor


@torch.no_grad()
def march(
    origins: Tensor, directions: Tensor, grid: OccupancyGrid, step: float, jitter: Tensor | None = None
) -> Samples:
    """Samples ``step`` apart in occupied cells, up to where the grid is sure that the ray is opaque.

    ``origins``, ``directions`` ``[R,3]``; ``jitter`` ``[R]`` in [0,1) moves each ray's samples within a step
    (0.5 without). Distances are ``(k + jitter) * step`` whatever the grid: pruning only removes samples.
    """
    near, far = _box_interval(origins, directions, grid.bounds)
    hit = (far > near).nonzero()[:, 0]
    if not len(hit):
        return Samples(hit, near[:0])
    shift = near.new_full((len(hit), 1), 0.5) if jitter is None else jitter[hit, None]
    first = torch.ceil(near[hit, None] / step - shift)
    steps = int(((far - near).max() / step).ceil()) + 1
    distances = (first + torch.arange(steps, device=near.device) + shift) * step
    lower = _look_up(origins[hit], directions[hit], distances, grid)
    depth = lower.clamp(min=0) * step
    hidden = depth.cumsum(dim=1) - depth > _OPAQUE
    ray, place = ((lower >= 0) & ~hidden & (distances < far[hit, None])).nonzero(as_tuple=True)
    return Samples(hit[ray], distances[ray, place])


def _box_interval(origins: Tensor, directions: Tensor, bounds: Tensor) -> tuple[Tensor, Tensor]:
    """Distances ``[R]`` where each ray enters and leaves a box (``far <= near``: it misses)."""
    away = torch.where(directions.abs() < 1e-9, 1e-9, directions)
    ends = (bounds[:, None, :] - origins) / away
    return ends.amin(dim=0).amax(dim=-1).clamp_min(0), ends.amax(dim=0).amin(dim=-1)


def _look_up(origins: Tensor, directions: Tensor, distances: Tensor, grid: OccupancyGrid) -> Tensor:
    """``grid.lower`` ``[R,S]`` at the points of each ray at ``distances`` ``[R,S]``."""
    half = grid.resolution / 2
    start, slope = (origins + 1) * half, directions * half
    flat = torch.zeros_like(distances, dtype=torch.long)
    for axis in range(3):
        cell = torch.addcmul(start[:, axis, None], distances, slope[:, axis, None]).long()
        flat = flat.mul_(grid.resolution).add_(cell.clamp_(0, grid.resolution - 1))
    return grid.lower.view(-1).index_select(0, flat.view(-1)).view_as(distances)
