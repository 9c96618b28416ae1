"""Property: planted defects are found, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import trimesh

from dreampgc.metrics.health import MeshHealth, mesh_health
from dreampgc.types import Mesh


def joined(*surfaces: trimesh.Trimesh) -> Mesh:
    whole = trimesh.util.concatenate(surfaces)
    return Mesh(np.asarray(whole.vertices, dtype=np.float32), np.asarray(whole.faces, dtype=np.int64))


def ball(at: float = 0.0, subdivisions: int = 2) -> trimesh.Trimesh:
    return trimesh.creation.icosphere(subdivisions=subdivisions, radius=0.3).apply_translation([at, 0, 0])


def test_a_closed_surface_is_sound() -> None:
    found = mesh_health(joined(ball()))
    assert found == MeshHealth(components=1, watertight=True, non_manifold_edges=0, fragment_share=0.0, faces=320)
    assert found.sound
    assert found.one_component


def test_vertices_at_one_place_are_one() -> None:
    mesh = joined(ball())
    loose = Mesh(mesh.vertices[mesh.faces.ravel()], np.arange(mesh.faces.size).reshape(-1, 3))
    assert mesh_health(loose) == mesh_health(mesh)


@pytest.mark.parametrize(("subdivisions", "sound"), [(0, True), (2, False)])
def test_a_second_component_is_sound_if_it_is_a_crumb(subdivisions: int, sound: bool) -> None:
    main, crumb = ball(subdivisions=4), ball(1.0, subdivisions)
    found = mesh_health(joined(main, crumb))
    assert found.components == 2
    assert found.fragment_share == pytest.approx(len(crumb.faces) / (len(crumb.faces) + len(main.faces)))
    assert found.watertight
    assert found.sound == sound
    assert not found.one_component


def test_a_missing_face_leaves_the_mesh_open() -> None:
    mesh = joined(ball())
    found = mesh_health(replace(mesh, faces=mesh.faces[1:]))
    assert not found.watertight
    assert not found.sound
    assert (found.components, found.non_manifold_edges) == (1, 0)


def test_an_edge_of_four_faces_is_not_manifold() -> None:
    # Two boxes that share one edge: closed, but no surface there.
    one, other = (trimesh.creation.box(extents=(1, 1, 1)).apply_translation([k, k, 0]) for k in (0, 1))
    found = mesh_health(joined(one, other))
    assert found.non_manifold_edges == 1
    assert not found.sound
    assert found.components == 1


def test_a_mesh_without_faces_is_not_sound() -> None:
    found = mesh_health(Mesh(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.int64)))
    assert (found.components, found.faces, found.sound) == (0, 0, False)
