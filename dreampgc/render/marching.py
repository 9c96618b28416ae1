"""Which points of a ray are worth a look: an occupancy grid, and samples that it lets through."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from dreampgc.render.room import Rooms, places
from dreampgc.transfer import upload

_POINTS = 2**18  # densities that are looked at together
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
        self,
        density: Callable[[Tensor], Tensor],
        generator: torch.Generator | None = None,
        *,
        share: float = 0.125,
        rooms: Rooms | None = None,
    ) -> None:
        """Look again at every occupied cell and at a random ``share`` of all, one random point in each.

        Empty cells are thus seen again from time to time, and matter can grow there. Without a ``generator``
        (exports, tests) all cells are looked at, in their centres. Use ``share=1`` for the first update. With ``rooms``
        the host does not wait for the number of cells; should they have multiplied, some are not looked at this time.
        """
        cells, jitter = self._choose(generator, share, rooms)
        size = self.resolution
        corners = torch.stack([cells // size**2, cells // size % size, cells % size], dim=-1)
        points = (corners + jitter) * (2 / size) - 1
        seen = torch.cat([density(part) for part in points.split(_POINTS)]).to(self.peak.dtype)
        seen = seen.nan_to_num(0)  # one bad step must not blind the grid for ever
        _put(self.peak, cells, torch.maximum(_with_spare(self.peak)[cells] * self.decay, seen))
        _put(self.latest, cells, seen)
        self._refresh()

    def _choose(self, generator: torch.Generator | None, share: float, rooms: Rooms | None) -> tuple[Tensor, Tensor]:
        """Flat indices ``[n]`` of the cells to look at and where in them ``[n,3]``.

        With ``rooms`` they are drawn on the device, from a seed of the generator's; the index after the last cell is
        padding then.
        """
        device, count = self.peak.device, self.peak.numel()
        if generator is None:
            return torch.arange(count, device=device), torch.full((1, 3), 0.5, device=device)
        if rooms is None or share >= 1:
            dice = torch.rand(count, generator=generator) < share
            cells = torch.arange(count) if share >= 1 else (dice | self.occupied.view(-1).cpu()).nonzero()[:, 0]
            return upload(cells, device), upload(torch.rand(len(cells), 3, generator=generator), device)
        seed = int(torch.randint(2**62, (), generator=generator))
        own = torch.Generator(device).manual_seed(seed)
        chosen = (torch.rand(count, generator=own, device=device) < share) | self.occupied.view(-1)
        ends = chosen.cumsum(0, dtype=torch.int32)
        cells = places(ends, rooms.reserve("cells", count, ends[-1], of_views=False))
        return cells, torch.rand(len(cells), 3, generator=own, device=device)

    def _refresh(self) -> None:
        """Occupancy, its bounding box and the bound from below, from the recorded densities."""
        # At most the mean, or a faint first blob would vanish from the grid and never be trained.
        # Neighbours of a dense cell count too: one sample does not tell of a cell's far corner, and objects grow there.
        threshold = self.peak.mean().clamp(max=self._threshold)
        occupied = _largest_around(self.peak) > threshold
        # The least density around a cell: a ray that only grazes a surface must not count as stopped.
        least = -_largest_around(-self.latest)
        self.lower.copy_(torch.where(occupied, least, -1.0))
        self.bounds.copy_(_box(occupied) * (2 / self.resolution) - 1)


def _largest_around(values: Tensor) -> Tensor:
    """Maximum ``[R,R,R]`` of ``values`` over each cell and its 26 neighbours."""
    return functional.max_pool3d(values[None], kernel_size=3, stride=1, padding=1)[0]


def _box(occupied: Tensor) -> Tensor:
    """First and one past the last occupied cell along each axis, ``[2,3]``; zeros where there is none."""
    size = len(occupied)
    numbers = torch.arange(size, device=occupied.device)
    axes = [occupied.flatten(1).any(1), occupied.any(2).any(0), occupied.flatten(0, 1).any(0)]
    first = torch.stack([torch.where(some, numbers, size).amin() for some in axes])
    last = torch.stack([torch.where(some, numbers + 1, 0).amax() for some in axes])
    return torch.stack([torch.where(first < last, first, 0), last])


def _with_spare(cells: Tensor) -> Tensor:
    """All ``cells`` in one row, and one more that padding may write to."""
    return torch.cat([cells.view(-1), cells.new_zeros(1)])


def _put(cells: Tensor, indices: Tensor, values: Tensor) -> None:
    cells.view(-1).copy_(_with_spare(cells).index_copy_(0, indices, values)[:-1])


@dataclass(frozen=True)
class Samples:
    """Packed samples: ``rays`` ``[N]`` int64 ascending, ``distances`` ``[N]``, ascending on each ray.

    Where room was reserved, ``valid`` ``[N]`` tells samples from padding, which belongs to the last ray, and ``whole``
    (0-d) whether all samples found room. Else both are None.
    """

    rays: Tensor
    distances: Tensor
    valid: Tensor | None = None
    whole: Tensor | None = None


@torch.no_grad()
def march(
    origins: Tensor,
    directions: Tensor,
    grid: OccupancyGrid,
    step: float,
    jitter: Tensor | None = None,
    rooms: Rooms | None = None,
) -> Samples:
    """Samples ``step`` apart in occupied cells, up to where the grid is sure that the ray is opaque.

    ``origins``, ``directions`` ``[R,3]``; ``jitter`` ``[R]`` in [0,1) moves each ray's samples within a step
    (0.5 without). Distances are ``(k + jitter) * step`` whatever the grid: pruning only removes samples.
    With ``rooms`` the host does not wait for the number of samples: the same ones come with padding.
    """
    near, far = _box_interval(origins, directions, grid.bounds)
    shift = torch.full_like(near, 0.5) if jitter is None else jitter
    if rooms is not None:
        return _march_into_room(origins, directions, grid, step, (near, far, shift), rooms)
    hit = (far > near).nonzero()[:, 0]
    if not len(hit):
        return Samples(hit, near[:0])
    steps = int(((far - near).max() / step).ceil()) + 1
    hits = origins[hit], directions[hit]
    distances, seen = _visible(*hits, grid, step, (near[hit], far[hit], shift[hit]), steps)
    ray, place = seen.nonzero(as_tuple=True)
    return Samples(hit[ray], distances[ray, place])


def _march_into_room(
    origins: Tensor,
    directions: Tensor,
    grid: OccupancyGrid,
    step: float,
    interval: tuple[Tensor, Tensor, Tensor],
    rooms: Rooms,
) -> Samples:
    """`march` of all rays, whether they hit or miss, through as many steps as the whole cube is deep."""
    distances, seen = _visible(origins, directions, grid, step, interval, math.ceil(2 * 3**0.5 / step) + 1)
    seen &= (interval[1] > interval[0])[:, None]
    ends = seen.view(-1).cumsum(0, dtype=torch.int32)
    size = rooms.reserve("samples", len(ends), ends[-1])
    place = places(ends, size)
    valid, place = place < len(ends), place.clamp(max=len(ends) - 1)
    rays = torch.where(valid, place // seen.shape[1], len(origins) - 1)
    return Samples(rays, distances.view(-1)[place], valid, ends[-1] <= size)


def _visible(
    origins: Tensor,
    directions: Tensor,
    grid: OccupancyGrid,
    step: float,
    interval: tuple[Tensor, Tensor, Tensor],
    steps: int,
) -> tuple[Tensor, Tensor]:
    """Distances ``[R, steps]`` from where each ray enters the grid's box, and which of them are worth a look.

    ``interval``: where each ray enters and leaves the box, and its jitter, ``[R]`` each.
    """
    near, far, shift = (x[:, None] for x in interval)
    first = torch.ceil(near / step - shift)
    distances = (first + torch.arange(steps, device=near.device) + shift) * step
    lower = _look_up(origins, directions, distances, grid)
    depth = lower.clamp(min=0) * step
    hidden = depth.cumsum(dim=1) - depth > _OPAQUE
    return distances, (lower >= 0) & ~hidden & (distances < far)


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
