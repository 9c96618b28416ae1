"""Normals of analytic densities, their gradient, and Lambert's law."""

from typing import Any, cast

import pytest
import torch
from torch.nn import functional

from dreampgc.cameras import fixed_views
from dreampgc.render.shading import density_normals, needs_normals, sample_lights, shade


def test_normals_of_a_ball_point_outwards_and_are_exact_for_a_plane() -> None:
    points = functional.normalize(torch.randn(200, 3), dim=-1) * 0.5
    normals = density_normals(lambda p: 50 * torch.sigmoid((0.5 - p.norm(dim=-1)) * 20), points)
    assert (normals * points).sum(-1).min() > 0.5 * 0.999  # 2.6 degrees
    plane = torch.tensor([0.6, 0.0, -0.8])
    torch.testing.assert_close(density_normals(lambda p: p @ -plane, points), plane.expand(200, 3), atol=1e-4, rtol=0)


def test_normals_of_empty_space_are_zero_not_nan() -> None:
    assert torch.equal(density_normals(lambda p: p[:, 0] * 0, torch.rand(4, 3)), torch.zeros(4, 3))


def test_normals_are_differentiable_in_the_density() -> None:
    points = torch.rand(5, 3, dtype=torch.float64)
    shape = torch.rand(3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda a: density_normals(lambda p: (p * a).square().sum(-1), points), (shape,))


def test_lambert() -> None:
    albedo, up, ambient = torch.full((3, 3), 0.5), torch.tensor([[0.0, 1, 0]]).expand(3, 3), torch.full((3, 1), 0.2)
    light = torch.tensor([[0, 1, 0], [1.0, 0, 0], [0, -1, 0]])
    shaded = shade(albedo, up, light, ambient, "lambertian")
    torch.testing.assert_close(shaded[:, 0], torch.tensor([0.5, 0.1, 0.1]))
    torch.testing.assert_close(shade(albedo, up, light, ambient, "textureless"), shaded * 2)
    assert shade(albedo, up, light, ambient, "normals")[0].tolist() == [0.5, 1, 0.5]


def test_unknown_shading_is_refused_by_name() -> None:
    assert [needs_normals(name) for name in ("albedo", "lambertian", "textureless", "normals")] == [False] + [True] * 3
    with pytest.raises(ValueError, match="'phong'"):
        needs_normals(cast(Any, "phong"))


def test_lights_are_unit_vectors_on_the_camera_side() -> None:
    views = fixed_views([0.0] * 50)
    lights = sample_lights(views, torch.Generator().manual_seed(0))
    torch.testing.assert_close(lights.norm(dim=-1), torch.ones(50))
    assert (lights[:, 2] > 0).float().mean() > 0.9
    assert lights.std(dim=0).min() > 0.1
