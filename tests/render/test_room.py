"""Property and fault: rendering into reserved room gives what packed rendering gives, or says that it does not."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from dreampgc.cameras import orbit_views
from dreampgc.field import InstantNGP
from dreampgc.render import OccupancyGrid, render
from dreampgc.render import room as room_module
from dreampgc.render.marching import march
from dreampgc.render.room import Room, Rooms, places
from dreampgc.transfer import Download
from dreampgc.types import RenderOutput


@pytest.fixture
def field() -> InstantNGP:
    torch.manual_seed(3)
    return InstantNGP(levels=3, log2_hashmap_size=9, hidden=8, blob_radius=0.4)


@pytest.fixture
def grid(field: InstantNGP) -> OccupancyGrid:
    grid = OccupancyGrid(16)
    grid.update(field.density)
    return grid


@given(chosen=st.lists(st.booleans(), min_size=1, max_size=40), size=st.integers(1, 50))
def test_places_are_those_of_nonzero_and_then_padding(chosen: list[bool], size: int) -> None:
    mask = torch.tensor(chosen)
    expected = [*mask.nonzero()[:, 0].tolist(), *[len(chosen)] * size][:size]
    assert places(mask.cumsum(0, dtype=torch.int32), size).tolist() == expected


def test_marching_finds_the_same_samples(grid: OccupancyGrid) -> None:
    rays = orbit_views(3).rays(20, 20)
    origins, directions = rays.origins.reshape(-1, 3), rays.directions.reshape(-1, 3)
    jitter = torch.rand(len(origins), generator=torch.Generator().manual_seed(0))
    packed = march(origins, directions, grid, 0.03, jitter)
    padded = march(origins, directions, grid, 0.03, jitter, Rooms())
    assert padded.valid is not None and padded.whole is not None
    assert padded.whole
    assert len(padded.rays) > len(packed.rays) > 1000
    assert torch.equal(padded.rays[padded.valid], packed.rays)
    assert torch.equal(padded.distances[padded.valid], packed.distances)
    assert (padded.rays.diff() >= 0).all()  # sums over rays rely on it


def test_a_grid_that_is_empty_gives_padding_alone() -> None:
    grid = OccupancyGrid(8)
    grid.update(lambda points: torch.zeros(len(points)))
    rays = orbit_views(1).rays(4, 4)
    found = march(rays.origins.reshape(-1, 3), rays.directions.reshape(-1, 3), grid, 0.1, rooms=Rooms())
    assert found.valid is not None
    assert not found.valid.any()
    assert found.distances.isfinite().all()


def drawn(field: InstantNGP, grid: OccupancyGrid, shading: Any, rooms: Rooms | None) -> RenderOutput:
    return render(
        field,
        orbit_views(2),
        grid,
        height=24,
        width=24,
        samples=96,
        background=torch.tensor([[0.2, 0.5, 0.8]]).expand(2, 3),
        shading=shading,
        generator=torch.Generator().manual_seed(1),
        rooms=rooms,
    )


@pytest.mark.parametrize("shading", ["albedo", "lambertian", "textureless", "normals"])
def test_pictures_and_gradients_are_the_same(field: InstantNGP, grid: OccupancyGrid, shading: str) -> None:
    pictures, gradients = [], []
    for rooms in (None, Rooms()):
        out = drawn(field, grid, shading, rooms)
        field.zero_grad()
        (out.image * out.image.detach().cos()).sum().backward()
        pictures.append(out)
        gradients.append({name: p.grad for name, p in field.named_parameters()})
    packed, padded = pictures
    assert "whole" not in packed.extras
    assert padded.extras["whole"]
    for name in ("image", "opacity", "depth"):
        # matrix products of other sizes: roundings differ
        torch.testing.assert_close(getattr(padded, name), getattr(packed, name), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-3, atol=1e-5)
    if shading != "albedo":
        normals, valid = padded.extras["normals"], padded.extras["valid"]
        torch.testing.assert_close(normals[valid], packed.extras["normals"], rtol=1e-4, atol=1e-4)
        assert not normals[~valid].any()


def test_padding_is_spread(field: InstantNGP, grid: OccupancyGrid) -> None:
    """In one place, a GPU's additions would wait in line."""
    seen: list[Tensor] = []

    def spying(positions: Tensor, directions: Tensor | None) -> tuple[Tensor, Tensor]:
        seen.append(positions.detach())
        return field(positions, directions)

    out = render(
        spying,
        orbit_views(2),
        grid,
        height=24,
        width=24,
        samples=96,
        background=torch.ones(2, 3),
        shading="lambertian",
        rooms=Rooms(),
    )
    padding = seen[0][~out.extras["valid"]]
    assert len(padding) > 1000
    assert padding.abs().max() <= 1
    for positions in (padding, seen[1][::4]):  # four densities a normal
        cells = ((positions + 1) * 8).long().clamp(0, 15) @ torch.tensor([256, 16, 1])
        assert cells.bincount().max() < 0.02 * len(positions)


@pytest.mark.parametrize("purpose", ["samples", "normals"])
def test_what_finds_no_room_is_told(
    field: InstantNGP, grid: OccupancyGrid, purpose: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def reserve(self: Rooms, asked: str, among: int, count: Tensor, *, of_views: bool = True) -> int:
        return int(count) - (asked == purpose)

    monkeypatch.setattr(Rooms, "reserve", reserve)
    assert not drawn(field, grid, "lambertian", Rooms()).extras["whole"]
    monkeypatch.setattr(Rooms, "reserve", lambda self, asked, among, count: int(count))
    assert drawn(field, grid, "lambertian", Rooms()).extras["whole"]


def test_a_grid_looks_into_room_at_what_it_must(field: InstantNGP, grid: OccupancyGrid) -> None:
    """At every occupied cell once, at an eighth of the others, and padding is forgotten."""
    seen: list[Tensor] = []

    def density(positions: Tensor) -> Tensor:
        seen.append(positions)
        return field.density(positions)

    occupied, empty = grid.occupied.clone(), ~grid.occupied
    before = grid.latest.clone()
    grid.update(density, torch.Generator().manual_seed(5), share=0.125, rooms=Rooms())
    cells = ((seen[0] + 1) * 8).long()
    inside = cells[:, 0] < 16  # padding is beyond the last cell
    looked = torch.zeros(16**3, dtype=torch.long)
    looked.index_add_(0, cells[inside] @ torch.tensor([256, 16, 1]), torch.ones(int(inside.sum()), dtype=torch.long))
    looked = looked.view(16, 16, 16)
    assert (looked[occupied] == 1).all()
    assert looked.max() == 1
    assert looked[empty].float().mean().item() == pytest.approx(0.125, abs=0.03)
    assert torch.equal(grid.latest[looked == 0], before[looked == 0])


def test_room_follows_the_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room_module, "_GRAIN", 1)
    room = Room()
    assert room.reserve(torch.tensor(100)) == 200
    assert room.reserve(torch.tensor(160)) == 208  # on a CPU a count arrives at once
    assert room.reserve(torch.tensor(400)) == 520
    sizes = [room.reserve(torch.tensor(10)) for _ in range(400)]
    assert 500 < sizes[0] < 520
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] < 20


def test_room_knows_that_nearer_views_need_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room_module, "_GRAIN", 1)
    room = Room()
    room.reserve(torch.tensor(100), scale=0.5)
    assert room.reserve(torch.tensor(300), scale=1.5) == 390
    assert room.reserve(torch.tensor(100), scale=0.5) == pytest.approx(130, abs=2)


def test_room_does_not_wait_for_late_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room_module, "_GRAIN", 1)
    room = Room()
    room.reserve(torch.tensor(100))
    with monkeypatch.context() as patch:
        patch.setattr(Download, "arrived", lambda self: False)
        assert room.reserve(torch.tensor(1000)) == 130
    assert room.reserve(torch.tensor(1000)) == 1300
