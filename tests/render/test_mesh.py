"""Property: the software rasteriser against ray casting and closed forms."""

import numpy as np
import pytest
import torch
import trimesh

from dreampgc.cameras import fixed_views, orbit_views
from dreampgc.render.mesh import CLAY, render_mesh, studio_background
from dreampgc.types import Mesh


def as_mesh(mesh: trimesh.Trimesh, smooth: bool = False) -> Mesh:
    normals = np.asarray(mesh.vertex_normals, np.float32) if smooth else None
    vertices = np.asarray(mesh.vertices, np.float32)
    return Mesh(vertices, np.asarray(mesh.faces, np.int64), vertices * 0.5 + 0.5, normals)


BALL = as_mesh(trimesh.creation.icosphere(subdivisions=5, radius=0.6), smooth=True)
BLOCK = trimesh.creation.box((0.8, 1.0, 0.6))


def test_buffers_of_a_ball_are_those_of_the_sphere() -> None:
    views = fixed_views([0.0, 50.0], elevation=30.0)
    out = render_mesh(BALL, views, height=80, width=96, supersampling=1)
    rays = views.rays(80, 96)
    along = -(rays.origins * rays.directions).sum(-1)
    inside = 0.6**2 - (rays.origins.square().sum(-1) - along.square())
    # Pixels at the rim may differ: the ball's faces lie inside the sphere, by 0.0004 at this subdivision.
    clear = inside.abs() > 0.01
    hit = (inside > 0) & clear
    assert torch.equal(out.opacity[:, 0][clear] > 0, inside[clear] > 0)
    points = rays.origins + (along - inside.clamp_min(0).sqrt())[..., None] * rays.directions
    distance = (points - rays.origins).norm(dim=-1)
    depth = distance * (rays.directions * rays.forward).sum(-1)
    # Faces lie at most 0.0004 below the sphere; rays that hit it at a slant (cos >= 0.16) go that much further.
    torch.testing.assert_close(out.depth[:, 0][hit], depth[hit], atol=0.004, rtol=0)
    assert out.normals is not None
    torch.testing.assert_close(out.normals.permute(0, 2, 3, 1)[hit], points[hit] / 0.6, atol=0.02, rtol=0)
    assert (out.depth[out.opacity == 0] == 0).all()


def cast(mesh: trimesh.Trimesh, origins: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """Distance ``[N]`` of the first triangle on each ray, infinite for a miss: every ray against every triangle."""
    a, b, c = (mesh.triangles[None, :, k] for k in range(3))
    normal = np.cross(b - a, c - a)
    with np.errstate(divide="ignore", invalid="ignore"):
        distance = ((a - origins[:, None]) * normal).sum(-1) / (directions[:, None] * normal).sum(-1)
    points = origins[:, None] + distance[..., None] * directions[:, None]
    sides = [(np.cross(q - p, points - p) * normal).sum(-1) for p, q in ((a, b), (b, c), (c, a))]
    inside = (np.min(sides, axis=0) >= -1e-9) & (distance > 0)
    return np.where(inside, distance, np.inf).min(axis=1)


@pytest.mark.parametrize("elevation", [-35.0, 0.0, 20.0, 90.0])
def test_nearest_face_wins(elevation: float) -> None:
    # A block and a ball that cut each other, against casting rays.
    both = BLOCK + trimesh.creation.icosphere(2, 0.55).apply_translation([0.3, 0.2, 0.2])
    views = fixed_views([30.0], elevation=elevation)
    out = render_mesh(as_mesh(both), views, height=40, width=40, supersampling=1)
    rays = views.rays(40, 40)
    cosines = (rays.directions * rays.forward).sum(-1).reshape(-1).numpy()
    origins, directions = (x.reshape(-1, 3).double().numpy() for x in (rays.origins, rays.directions))
    distance = cast(both, origins, directions)
    expected = np.where(np.isfinite(distance), distance * cosines, 0)
    # Rays through an edge of the outline may go either way.
    wrong = np.abs(out.depth.reshape(-1).numpy() - expected) > 1e-3
    assert (expected > 0).mean() > 0.1 and wrong.sum() <= 3


def test_closed_mesh_has_no_pinholes_and_neighbours_share_no_sample() -> None:
    out = render_mesh(BALL, orbit_views(5), height=200, width=200, supersampling=1)
    for mask in out.opacity[:, 0] > 0:
        for row in mask[mask.any(dim=1)]:
            hits = row.nonzero()[:, 0]
            assert len(hits) == hits[-1] - hits[0] + 1


def test_colours_are_perspective_correct_and_faithful() -> None:
    out = render_mesh(as_mesh(BLOCK), orbit_views(3), height=64, width=64, shading="albedo", supersampling=1)
    rays = orbit_views(3).rays(64, 64)
    distance = out.depth[:, 0] / (rays.directions * rays.forward).sum(-1)
    hit = out.opacity[:, 0] > 0
    points = rays.origins + distance[..., None] * rays.directions
    # The colour is an affine function of the place, so that the place found by its depth tells the colour.
    torch.testing.assert_close(out.image.permute(0, 2, 3, 1)[hit], points[hit] * 0.5 + 0.5, atol=1e-4, rtol=0)


def test_light_leaves_colours_mostly_as_they_are() -> None:
    plain, lit = (
        render_mesh(BALL, orbit_views(2), height=64, width=64, shading=shading).image
        for shading in ("albedo", "lambertian")
    )
    inside = render_mesh(BALL, orbit_views(2), height=64, width=64).opacity.expand_as(plain) > 0.99
    ratio = (lit[inside] / plain[inside].clamp_min(1e-3)).median()
    assert 0.85 < ratio < 1.0


def test_axes_front_right_and_up() -> None:
    # A thin bar towards +x is on the right of the front view and points away in the one from +x.
    bar = as_mesh(trimesh.creation.box((0.5, 0.1, 0.1)).apply_translation([0.4, 0.3, 0.0]))
    front = render_mesh(bar, fixed_views([0.0], elevation=0.0), height=64, width=64).opacity[0, 0]
    rows, columns = (front > 0.5).nonzero().T
    assert columns.min() > 32 and rows.max() < 32


def test_supersampling_softens_the_outline_only() -> None:
    hard, soft = (
        render_mesh(BALL, orbit_views(1), height=64, width=64, supersampling=count).opacity for count in (1, 3)
    )
    assert set(hard.unique().tolist()) == {0.0, 1.0}
    assert 10 < ((soft > 0) & (soft < 1)).sum() < 400
    assert abs(float(soft.mean() - hard.mean())) < 0.01


def test_background_and_meshes_without_colours() -> None:
    grey = Mesh(BALL.vertices, BALL.faces)
    white = torch.ones(3)
    image = render_mesh(grey, orbit_views(1), height=32, width=32, shading="albedo", background=white).image[0]
    assert (image[:, 0, 0] == 1).all()
    torch.testing.assert_close(image[:, 16, 16], torch.full((3,), CLAY))
    backdrop = studio_background(32, 48)
    over = render_mesh(grey, orbit_views(1), height=32, width=48).image[0]
    torch.testing.assert_close(over[:, 0, 0], backdrop[:, 0, 0])


def test_camera_inside_or_facing_away_draws_what_is_in_front_only() -> None:
    inside = fixed_views([0.0], distance=0.1)
    out = render_mesh(BALL, inside, height=32, width=32)
    assert out.opacity.sum() == 0 and torch.isfinite(out.image).all()


def test_unknown_shading_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown shading"):
        render_mesh(BALL, orbit_views(1), height=8, width=8, shading="toon")  # type: ignore[arg-type]
