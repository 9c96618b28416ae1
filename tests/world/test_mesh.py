"""Property: ground-truth meshes are closed, face outward and lie on the surface."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import trimesh

from dreampgc.world.mesh import world_mesh
from dreampgc.world.objects import CLASSES
from dreampgc.world.scene import albedo, make_scene, signed_distance


@pytest.mark.parametrize("name", CLASSES)
def test_meshes_are_watertight_and_face_outward(name: str) -> None:
    scene = make_scene([(name, "red", 0)])
    mesh = world_mesh(scene, resolution=48)
    solid = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    assert solid.is_watertight
    assert solid.is_winding_consistent
    points = torch.rand(1, 20_000, 3, generator=torch.Generator().manual_seed(0)) * 1.8 - 0.9
    expected = (signed_distance(scene, points) < 0).float().mean().item() * 1.8**3
    # Cells of 0.04 cut the corners of legs and masts, a few cells thick; inside out, the volume would be negative.
    assert solid.volume == pytest.approx(expected, rel=0.2)


def test_vertices_lie_on_the_surface_and_have_its_colours() -> None:
    scene = make_scene([("mug", "brick", 2)])
    mesh = world_mesh(scene, resolution=64)
    points = torch.from_numpy(mesh.vertices)[None]
    assert signed_distance(scene, points).abs().max() < 1.8 / 63  # less than a cell
    assert mesh.colors is not None
    np.testing.assert_array_equal(mesh.colors, albedo(scene, points)[0].numpy())
    assert np.abs(mesh.vertices).max() <= 0.8 + 1.8 / 63
