"""Property: a texture shows at each place of the surface the colour that belongs there."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import trimesh
from numpy.typing import NDArray
from torch import Tensor

from dreampgc.cameras import orbit_views
from dreampgc.mesh import texture as module
from dreampgc.mesh.colours import seen_colors
from dreampgc.mesh.texture import MAX_SUPERSAMPLING, bake_texture, cut_at_seams, encode_png
from dreampgc.mesh.topology import vertex_normals
from dreampgc.render import OccupancyGrid, render_image
from dreampgc.render.mesh import render_mesh
from dreampgc.types import Mesh

Floats = NDArray[np.float32]


def as_mesh(mesh: trimesh.Trimesh) -> Mesh:
    vertices, faces = np.asarray(mesh.vertices, np.float32), np.asarray(mesh.faces, np.int64)
    return Mesh(vertices, faces, normals=vertex_normals(vertices, faces))


RING = as_mesh(trimesh.creation.torus(0.5, 0.2, major_sections=24, minor_sections=12))
BLOCK = as_mesh(trimesh.creation.box((0.8, 1.0, 0.6)))


def by_place(points: Floats, _normals: Floats) -> Floats:
    return points * 0.5 + 0.5


@pytest.mark.parametrize("mesh", [RING, BLOCK], ids=["ring", "block"])
@pytest.mark.parametrize("size", [96, 256])
def test_every_place_has_its_colour(mesh: Mesh, size: int) -> None:
    shown = replace(mesh, texture=bake_texture(mesh, by_place, size=size, detail=1.0))
    views = orbit_views(3)
    out = render_mesh(shown, views, height=96, width=96, shading="albedo", supersampling=1)
    rays = views.rays(96, 96)
    distance = out.depth[:, 0] / (rays.directions * rays.forward).sum(-1)
    hit = out.opacity[:, 0] > 0
    points = (rays.origins + distance[..., None] * rays.directions)[hit]
    errors = (out.image.permute(0, 2, 3, 1)[hit] - (points * 0.5 + 0.5)).abs()
    # The colour changes by half a unit for each of length. Off a seam, a look-up is one texel off at most, and the
    # surface's ~3.5 square units fill half of the texture or more: a texel is below 3 / size long.
    assert errors.max() < 0.5 * 3 / size + 1 / 255
    assert errors.mean() < 1 / 255


def test_charts_are_padded_with_what_is_nearest() -> None:
    baked = bake_texture(RING, lambda points, _: np.full_like(points, 0.4), size=128, detail=1.0)
    assert (baked.image == 102).all()


def test_the_same_mesh_gives_the_same_texture_in_bands_of_any_height(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = bake_texture(RING, by_place, size=128, detail=1e-3)
    monkeypatch.setattr(module, "BLOCK", 128 * 5)
    bands = bake_texture(RING, by_place, size=128, detail=1e-3)
    assert encode_png(whole.image) == encode_png(bands.image)
    np.testing.assert_array_equal(whole.coordinates, bands.coordinates)
    np.testing.assert_array_equal(whole.corners, bands.corners)


def test_texels_average_what_is_finer_than_they_are() -> None:
    calls: list[int] = []

    def noise(points: Floats, _normals: Floats) -> Floats:
        calls.append(len(points))
        return np.random.default_rng(0).random(points.shape, np.float32)

    coarse, fine = (bake_texture(RING, noise, size=128, detail=detail) for detail in (1.0, 1e-3))
    assert 0.9 * MAX_SUPERSAMPLING**2 < calls[1] / calls[0] < 1.1 * MAX_SUPERSAMPLING**2
    # The mean of 4 independent values spreads half as much; texels at the border of a chart have fewer.
    assert fine.image.std() < 0.7 * coarse.image.std()


def test_cutting_at_seams_moves_nothing() -> None:
    mesh = replace(RING, colors=by_place(RING.vertices, RING.vertices))
    mesh = replace(mesh, texture=bake_texture(mesh, by_place, size=64, detail=1.0))
    cut = cut_at_seams(mesh)
    assert mesh.texture is not None and mesh.colors is not None and cut.colors is not None
    assert len(cut.vertices) == len(mesh.texture.coordinates) > len(mesh.vertices)
    np.testing.assert_array_equal(cut.faces, mesh.texture.corners)
    for name in ("vertices", "normals", "colors"):
        np.testing.assert_array_equal(getattr(cut, name)[cut.faces], getattr(mesh, name)[mesh.faces])
    assert cut_at_seams(RING) is RING


def striped(positions: Tensor, _directions: Tensor | None) -> tuple[Tensor, Tensor]:
    """A ball with stripes, finer than the faces of the mesh that is made of it."""
    # Half of the light, exactly, is left at the radius 0.6: 1000 / 1000 * log(2) is the optical depth outside.
    density = 1000 * torch.sigmoid((0.6 - positions.norm(dim=-1)) * 1000)
    stripes = 0.5 + 0.3 * torch.sin(positions * 30)
    return density, stripes


def test_a_textured_mesh_looks_like_its_field() -> None:
    views, white = orbit_views(2, elevation=20.0), torch.ones(2, 3)
    field = render_image(striped, views, OccupancyGrid(32), height=64, width=64, samples=1024, background=white).image
    mesh = as_mesh(trimesh.creation.icosphere(3, 0.6))
    assert mesh.normals is not None

    def colours(points: Floats, normals: Floats) -> Floats:
        return seen_colors(striped, points, normals, reach=0.004)

    def closeness(shown: Mesh) -> float:
        """PSNR in dB against the field's own images."""
        image = render_mesh(shown, views, height=64, width=64, shading="albedo", background=torch.ones(3)).image
        return float(-10 * (image - field).square().mean().log10())

    colored = replace(mesh, colors=colours(mesh.vertices, mesh.normals))
    textured = replace(mesh, texture=bake_texture(mesh, colours, size=256, detail=0.1))
    assert closeness(textured) > 28
    assert closeness(textured) > closeness(colored) + 3
