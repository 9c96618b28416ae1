"""Property: what counts as a sound mesh, and that repairs make one."""

import numpy as np
import trimesh

from dreampgc.mesh.simplify import clean, decimate, smooth
from dreampgc.mesh.topology import is_sound, largest_component, signed_volumes, vertex_normals

CUBE = trimesh.creation.box()
BALL = trimesh.creation.icosphere(subdivisions=3)


def parts(mesh: trimesh.Trimesh) -> tuple[np.ndarray, np.ndarray]:
    return np.asarray(mesh.vertices, np.float32), np.asarray(mesh.faces, np.int64)


def test_soundness_sees_each_defect() -> None:
    vertices, faces = parts(BALL)
    assert is_sound(vertices, faces)
    assert not is_sound(vertices, faces[1:])  # a hole
    assert not is_sound(vertices, np.vstack([faces[:1, ::-1], faces[1:]]))  # a face turned over
    assert not is_sound(vertices, np.vstack([faces, faces[:1], faces[:1, ::-1]]))  # a flap
    assert not is_sound(np.vstack([vertices, vertices + 3]), np.vstack([faces, faces + len(vertices)]))
    flat = vertices.copy()
    flat[faces[0, 0]] = (flat[faces[0, 1]] + flat[faces[0, 2]]) / 2
    assert not is_sound(flat, faces)  # no area


def test_largest_component_is_outward_and_fills_cavities() -> None:
    vertices, faces = parts(BALL)
    cavity = faces[:, ::-1] + len(vertices)
    crumb = faces + 2 * len(vertices)
    everything = np.vstack([vertices, 0.7 * vertices, 0.1 * vertices + 3]).astype(np.float32)
    kept, triangles = largest_component(everything, np.vstack([crumb, cavity, faces]))
    assert is_sound(kept, triangles)
    np.testing.assert_allclose(signed_volumes(kept, triangles).sum(), BALL.volume, rtol=1e-5)


def welded(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two boxes at ``first`` and ``second`` with the corners that coincide made one vertex."""
    vertices, faces = parts(CUBE)
    both = np.vstack([vertices + first, 0.9999 * (vertices + second) + 0.0001 * np.round(vertices + second, 3)])
    merged, inverse = np.unique(np.round(both, 3), axis=0, return_inverse=True)
    return merged.astype(np.float32), inverse.ravel()[np.vstack([faces, faces + len(vertices)])]


def test_boxes_that_touch_at_an_edge_or_a_corner_come_apart() -> None:
    for shift in ([1.0, 1.0, 0.0], [1.0, 1.0, 1.0]):
        vertices, faces = welded(np.zeros(3), np.array(shift))
        assert len(vertices) < 16 and not is_sound(vertices, faces)
        repaired = clean(vertices, faces)
        assert is_sound(*repaired) and len(repaired[1]) == 12


def test_an_edge_with_four_faces_in_one_piece_is_cut() -> None:
    # A ring of voxels whose ends meet at an edge only: the edge's four faces hang together all around.
    cells = [(0, 0, 0), (0, 0, 1), (0, 0, 2), (0, 1, 2), (1, 1, 2), (1, 1, 1), (1, 1, 0)]
    grid = np.zeros((2, 2, 3), dtype=bool)
    grid[tuple(np.transpose(cells))] = True
    boxes = trimesh.voxel.VoxelGrid(grid).as_boxes()
    merged, inverse = np.unique(np.round(boxes.vertices, 3), axis=0, return_inverse=True)
    faces = inverse.ravel()[boxes.faces]
    # Walls between neighbouring cells are there twice, four triangles about one centre: leave them out.
    centres = np.round(_square_centres(merged, faces), 3)
    _, square, count = np.unique(centres, axis=0, return_inverse=True, return_counts=True)
    outer = faces[count[square.ravel()] == 2]
    vertices = merged.astype(np.float32)
    edges = np.sort(outer[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    assert np.unique(edges, axis=0, return_counts=True)[1].max() == 4
    assert is_sound(*clean(vertices, outer))


def _square_centres(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """The middle of the longest side of each triangle: the centre of the square it is half of."""
    corners = vertices[faces]
    after = np.roll(corners, -1, axis=1)
    longest = np.linalg.norm(after - corners, axis=2).argmax(axis=1)
    return ((corners + after) / 2)[np.arange(len(faces)), longest]


def test_smoothing_takes_noise_and_leaves_the_volume() -> None:
    vertices, faces = parts(BALL)
    noise = np.random.default_rng(0).normal(0, 0.02, vertices.shape).astype(np.float32)
    smoothed = smooth(vertices + noise, faces, 10)
    before, after = (np.linalg.norm(v, axis=1).std() for v in (vertices + noise, smoothed))
    assert after < before / 2
    np.testing.assert_allclose(signed_volumes(smoothed, faces).sum(), BALL.volume, rtol=0.01)


def test_decimation_keeps_shape_and_soundness() -> None:
    vertices, faces = parts(trimesh.creation.torus(0.6, 0.2, major_sections=96, minor_sections=48))
    kept, triangles = decimate(vertices, faces, 800)
    assert len(triangles) <= 800 and is_sound(kept, triangles)
    volume = signed_volumes(vertices, faces).sum()
    np.testing.assert_allclose(signed_volumes(kept, triangles).sum(), volume, rtol=0.02)


def test_normals_of_a_cube_do_not_depend_on_its_diagonals() -> None:
    vertices, faces = parts(CUBE)
    expected = np.sign(vertices) / np.sqrt(3)
    np.testing.assert_allclose(vertex_normals(vertices, faces), expected, atol=1e-5)
