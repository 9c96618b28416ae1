"""Property and reference: solids of meshes and of ground truth are right, aligned, and agree with one another."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import trimesh

from dreampgc.metrics.solids import (
    RADIUS,
    SIDE,
    Solid,
    balanced,
    filled,
    matched,
    mesh_solid,
    object_solid,
    surface_points,
)
from dreampgc.types import Mesh
from dreampgc.world.mesh import world_mesh
from dreampgc.world.objects import CARRIERS
from dreampgc.world.scene import make_scene, signed_distance


def iou(one: Solid, other: Solid) -> float:
    return float((one & other).sum() / (one | other).sum())


def as_mesh(surface: trimesh.Trimesh) -> Mesh:
    return Mesh(np.asarray(surface.vertices, dtype=np.float32), np.asarray(surface.faces, dtype=np.int64))


def centres(side: int) -> np.ndarray:
    return (np.indices((side,) * 3) + 0.5) * (2 / side) - 1


@pytest.fixture(scope="module")
def sphere() -> Mesh:
    return as_mesh(trimesh.creation.icosphere(subdivisions=4, radius=0.3).apply_translation([0.2, -0.5, 0.1]))


def test_a_sphere_becomes_all_voxels_within_its_radius(sphere: Mesh) -> None:
    radius = np.linalg.norm(centres(SIDE), axis=0)
    solid = mesh_solid(sphere)
    # The triangles lie up to 0.2 % of the radius below the sphere; voxels that near to it may go either way.
    assert solid[radius < 0.99].all()
    assert not solid[radius > 1].any()


def test_a_box_fills_its_share_of_the_lattice_exactly() -> None:
    # Faces and diagonals of a box run straight through rays and voxel centres: the worst case for counting crossings.
    solid = mesh_solid(as_mesh(trimesh.creation.box(extents=(2, 1, 0.5))), side=16)
    expected = np.zeros((16, 16, 16), dtype=bool)
    expected[:, 4:12, 6:10] = True
    np.testing.assert_array_equal(solid, expected)


@pytest.mark.parametrize("turned", [(2, 0, 1), (1, 2, 0)])
def test_axes_stay_what_they_are(turned: tuple[int, int, int]) -> None:
    surface = trimesh.creation.cone(radius=0.4, height=1.0, sections=24)
    solid = mesh_solid(as_mesh(surface), side=24)
    mesh = as_mesh(surface)
    again = mesh_solid(Mesh(np.ascontiguousarray(mesh.vertices[:, turned]), mesh.faces), side=24)
    np.testing.assert_array_equal(again, solid.transpose(turned))


def test_a_few_missing_faces_and_turned_ones_change_next_to_nothing(sphere: Mesh) -> None:
    rng = np.random.default_rng(0)
    kept = np.delete(sphere.faces, rng.choice(len(sphere.faces), 20, replace=False), axis=0)
    kept[::3] = kept[::3, ::-1]
    assert iou(mesh_solid(Mesh(sphere.vertices, kept)), mesh_solid(sphere)) > 0.99


def test_cavities_are_filled_and_dents_are_not() -> None:
    ball, hole = (trimesh.creation.icosphere(subdivisions=3, radius=r) for r in (1.0, 0.5))
    hollow = as_mesh(trimesh.util.concatenate([ball, hole]))
    np.testing.assert_array_equal(mesh_solid(hollow, side=32), mesh_solid(as_mesh(ball), side=32))
    dented = np.ones((8, 8, 8), dtype=bool)
    dented[3:5, 3:5, 2:] = False
    np.testing.assert_array_equal(filled(dented), dented)


@pytest.mark.parametrize("faces", [np.zeros((0, 3), dtype=np.int64), np.array([[0, 1, 2], [0, 2, 1]])])
def test_a_mesh_that_encloses_nothing_is_refused(faces: np.ndarray) -> None:
    with pytest.raises(ValueError, match=f"{len(faces)} faces"):
        mesh_solid(Mesh(np.eye(3, dtype=np.float32), faces))


@pytest.mark.parametrize("name", ["car", "mug", "house"])
def test_a_ground_truth_solid_is_that_of_its_mesh(name: str) -> None:
    mesh = world_mesh(make_scene([(name, "red", 3)]), resolution=64)
    truth = object_solid(name, 3, side=48)
    # The mesh's cells are as large as voxels and cut tips off, on which the bounding box hangs.
    assert iou(matched(mesh_solid(mesh, side=48), truth), truth) > 0.93


def test_skipping_empty_space_changes_no_voxel() -> None:
    solid, scene = object_solid("robot", 5, side=32), make_scene([("robot", "red", 5)])
    points = torch.rand(40_000, 3, generator=torch.Generator().manual_seed(0)) * 2 - 1
    inside = points[signed_distance(scene, points[None])[0] < 0]
    # The scale follows from the volume: both are the same share of the box around them.
    volume = 8 * len(inside) / len(points)
    scale = (8 * solid.mean() / volume) ** (1 / 3)
    middle = (inside.amin(0) + inside.amax(0)) / 2
    voxels = (((inside - middle) * scale + 1) * 16).long().clamp(0, 31)
    assert solid[tuple(voxels.T.numpy())].mean() > 0.85  # points near to the surface may fall beside


def test_pairs_are_solids_of_both_objects() -> None:
    carrier = CARRIERS[0]
    alone, pair = object_solid(carrier, 1, side=32), object_solid("snowman", 1, (carrier, 1), side=32)
    low, high = (np.flatnonzero(pair.any(axis=(0, 2)))[k] for k in (0, -1))
    assert high - low >= 20  # two objects, one above the other, are high
    assert iou(alone, pair) < 0.8
    assert iou(object_solid("mug", 1, side=32), pair) < 0.8


@pytest.mark.parametrize("name", ["teapot", "lamp"])
def test_a_placed_solid_is_where_it_is_in_the_world(name: str) -> None:
    scene = make_scene([(name, "red", 3)])
    truth, mesh = object_solid(name, 3, side=48, aligned=False), world_mesh(scene, resolution=64)
    x, y, z = centres(48)
    inside = signed_distance(scene, torch.tensor(np.stack([x, y, z], axis=-1), dtype=torch.float32).view(1, -1, 3)) < 0
    assert iou(truth, inside.view(48, 48, 48).numpy()) > 0.98  # cavities are filled
    solid = mesh_solid(mesh, side=48, aligned=False)
    assert iou(solid, truth) > 0.85  # the world's mesh is as coarse as voxels
    moved = Mesh(mesh.vertices + np.float32([0, 4 / 24, 0]), mesh.faces)
    assert iou(mesh_solid(moved, side=48, aligned=False), np.roll(solid, 4, axis=1)) > 0.98


def test_what_reaches_beyond_a_placed_lattice_is_cut_off() -> None:
    solid = mesh_solid(as_mesh(trimesh.creation.box(extents=(4, 1, 1))), side=16, aligned=False)
    expected = np.zeros((16, 16, 16), dtype=bool)
    expected[:, 4:12, 4:12] = True
    np.testing.assert_array_equal(solid, expected)


def test_a_side_that_cannot_be_halved_is_refused() -> None:
    with pytest.raises(ValueError, match="30"):
        object_solid("mug", 0, side=30)


def test_surface_points_of_a_box_lie_on_its_faces() -> None:
    solid = np.zeros((8, 8, 8), dtype=bool)
    solid[2:6, 2:6, 2:6] = True
    points = surface_points(solid)
    assert len(points) == 6 * 16
    np.testing.assert_allclose(np.abs(points).max(axis=1), 0.5)
    np.testing.assert_allclose(points.mean(axis=0), 0, atol=1e-12)


def test_surface_points_reach_the_border_of_a_full_lattice() -> None:
    points = surface_points(np.ones((4, 4, 4), dtype=bool))
    assert len(points) == 6 * 16
    np.testing.assert_allclose(np.abs(points).max(axis=1), 1)


def test_mass_does_not_hang_on_a_mast() -> None:
    solid = np.zeros((32, 32, 32), dtype=bool)
    solid[8:24, 0:12, 8:24] = True
    masted = solid.copy()
    masted[15, 12:, 15] = True
    moved = np.roll(solid, (3, 9, -4), axis=(0, 1, 2))
    assert iou(matched(moved, solid), solid) == 1
    assert iou(moved, solid) < 0.5
    assert iou(balanced(masted), balanced(solid)) > 0.85


def test_balanced_mass_is_centred_and_has_the_radius() -> None:
    points = (np.argwhere(balanced(object_solid("duck", 0))) + 0.5) * (2 / SIDE) - 1
    np.testing.assert_allclose(points.mean(axis=0), 0, atol=1 / SIDE)
    assert np.sqrt(points.var(axis=0).sum()) == pytest.approx(RADIUS, rel=0.02)
