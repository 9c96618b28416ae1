"""Surfaces as graphs of triangles: components, manifoldness, winding, vertex normals.

A mesh is *sound* when it is one closed oriented 2-manifold: every directed edge occurs once and its
reverse once, the faces around each vertex form one fan, all faces hang together, none is degenerate, and
no two vertices are at one place.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from dreampgc.types import Mesh

Vertices = NDArray[np.float32]
Faces = NDArray[np.int64]

#: A face whose height is below this share of the mesh's diagonal is degenerate.
DEGENERATE_HEIGHT = 1e-6
#: Rounds of cutting repeated edges; two are enough for all but hopeless meshes.
ROUNDS = 8


def _labels(pairs: tuple[NDArray[np.int64], NDArray[np.int64]], count: int) -> NDArray[np.int64]:
    """The connected component of each of ``count`` nodes, for the graph with edges ``pairs``."""
    graph = coo_matrix((np.ones(len(pairs[0]), dtype=bool), pairs), shape=(count, count))
    return connected_components(graph, directed=False)[1].astype(np.int64)


def face_components(faces: Faces, vertex_count: int) -> NDArray[np.int64]:
    """The component ``[F]`` of each face; faces that share a vertex hang together."""
    rows, columns = faces[:, [0, 1]].ravel(), faces[:, [1, 2]].ravel()
    return _labels((rows, columns), vertex_count)[faces[:, 0]]


def signed_volumes(vertices: Vertices, faces: Faces) -> NDArray[np.float64]:
    """Signed volume ``[F]`` of each face's tetrahedron with the origin; the sum is the enclosed volume."""
    a, b, c = (vertices[faces[:, k]].astype(np.float64) for k in range(3))
    return np.einsum("fk,fk->f", a, np.cross(b, c)) / 6


def compact(vertices: Vertices, faces: Faces) -> tuple[Vertices, Faces]:
    """The same faces without the vertices that none of them uses."""
    used, inverse = np.unique(faces, return_inverse=True)
    return vertices[used], inverse.reshape(-1, 3).astype(np.int64)


def largest_component(vertices: Vertices, faces: Faces) -> tuple[Vertices, Faces]:
    """The component that encloses the most, wound outward.

    The walls of cavities enclose a negative volume, so a hollow object becomes solid.
    """
    if len(faces) == 0:
        return vertices, faces
    component = face_components(faces, len(vertices))
    volume = np.bincount(component, weights=signed_volumes(vertices, faces))
    return compact(vertices, faces[component == volume.argmax()])


def _directed_edges(faces: Faces) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Start and end vertex ``[3F]`` of every face's sides; side ``3f + k`` leaves corner ``k`` of face ``f``."""
    return faces.ravel(), np.roll(faces, -1, axis=1).ravel()


def _opposite_sides(faces: Faces, vertex_count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Sides paired with the sides that run the other way, each pair once.

    Where an edge has more than two faces, sides are paired in the order of their faces; sides that have
    no partner are left out.
    """
    start, end = _directed_edges(faces)
    _, edge = np.unique(np.minimum(start, end) * vertex_count + np.maximum(start, end), return_inverse=True)
    sides, keys = [], []
    for side in (np.flatnonzero(start < end), np.flatnonzero(start > end)):
        ordered = side[np.argsort(edge[side], kind="stable")]
        sides.append(ordered)
        keys.append(edge[ordered] * (faces.size + 1) + _ranks(edge[ordered]))
    _, one, other = np.intersect1d(*keys, assume_unique=True, return_indices=True)
    return sides[0][one], sides[1][other]


def _ranks(ordered: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many equal values come before each value of a sorted array."""
    return np.arange(len(ordered)) - np.searchsorted(ordered, ordered)


def _fans(faces: Faces, vertex_count: int) -> NDArray[np.int64]:
    """The fan ``[3F]`` of each corner: corners are in one fan when faces joined by sides lead from one to the other."""
    one, other = _opposite_sides(faces, vertex_count)

    def following(side: NDArray[np.int64]) -> NDArray[np.int64]:
        return side - side % 3 + (side + 1) % 3

    rows = np.concatenate([one, following(one)])
    columns = np.concatenate([following(other), other])
    return _labels((rows, columns), faces.size)


def without_flaps(faces: Faces) -> Faces:
    """The faces without the pairs that lie back to back on the same three vertices and enclose nothing."""
    _, corner_set, counts = np.unique(np.sort(faces, axis=1), axis=0, return_inverse=True, return_counts=True)
    a, b, c = faces.T
    turn = np.sign(b - a) * np.sign(c - b) * np.sign(a - c)
    balance = np.bincount(corner_set.ravel(), weights=turn)
    flap = (counts == 2) & (balance == 0)
    return faces[~flap[corner_set.ravel()]]


def split_fans(vertices: Vertices, faces: Faces) -> tuple[Vertices, Faces]:
    """Give every fan of faces its own vertex, so that parts that only touch come apart.

    This undoes vertices with two fans and most edges with four faces, the two ways in which marching
    cubes and edge collapses leave the manifolds.
    """
    fans = _fans(faces, len(vertices))
    origin = np.zeros(fans.max() + 1, dtype=np.int64)
    origin[fans] = faces.ravel()
    return vertices[origin], fans.reshape(-1, 3)


def _repeated_pairs(faces: Faces, vertex_count: int) -> NDArray[np.int64]:
    """Pairs of opposite sides ``[P,2]`` on an edge that an earlier pair has already."""
    one, other = _opposite_sides(faces, vertex_count)
    start, end = (ends[one] for ends in _directed_edges(faces))
    edge = start * vertex_count + end
    order = np.argsort(edge, kind="stable")
    repeated = order[_ranks(edge[order]) > 0]
    return np.stack([one[repeated], other[repeated]], axis=1)


def split_repeated_edges(vertices: Vertices, faces: Faces) -> tuple[Vertices, Faces]:
    """Cut each repetition of an edge at a new vertex, so that no two pairs of faces share an edge.

    Where a thin neck was collapsed, one edge has four faces that hang together at both of its ends, so
    that `split_fans` cannot part them.
    """
    for _ in range(ROUNDS):
        pairs = _repeated_pairs(faces, len(vertices))
        if len(pairs) == 0:
            break
        # Cutting renumbers the sides of two faces: a pair that shares one of them waits for the next round.
        cut: set[int] = set()
        for sides in pairs.tolist():
            if cut.isdisjoint(side // 3 for side in sides):
                cut.update(side // 3 for side in sides)
                vertices, faces = _cut_edge(vertices, faces, sides)
    return vertices, faces


def _cut_edge(vertices: Vertices, faces: Faces, sides: list[int]) -> tuple[Vertices, Faces]:
    """Put a vertex on the edge that ``sides`` share, a little off it towards the two opposite corners."""
    middle = len(vertices)
    (a, b, c), (_, _, d) = (np.roll(faces[side // 3], -(side % 3)) for side in sides)
    kept = faces.copy()
    kept[[side // 3 for side in sides]] = [[a, middle, c], [b, middle, d]]
    point = 0.45 * (vertices[a] + vertices[b]) + 0.05 * (vertices[c] + vertices[d])
    cut = np.vstack([kept, [[middle, b, c], [middle, a, d]]])
    return np.vstack([vertices, point[None]]).astype(np.float32), cut


def part_coincident(vertices: Vertices, faces: Faces) -> Vertices:
    """Move vertices at the same position apart, each a little towards its neighbours.

    Programs that merge vertices by position would else sew together again what was split.
    """
    _, inverse, counts = np.unique(vertices, axis=0, return_inverse=True, return_counts=True)
    shared = counts[inverse.ravel()] > 1
    if not shared.any():
        return vertices
    start, end = _directed_edges(faces)
    sums = np.stack([np.bincount(start, vertices[end, k], minlength=len(vertices)) for k in range(3)], axis=1)
    means = sums / np.maximum(np.bincount(start, minlength=len(vertices)), 1)[:, None]
    return np.where(shared[:, None], 0.9 * vertices + 0.1 * means, vertices).astype(np.float32)


def heights(vertices: Vertices, faces: Faces) -> NDArray[np.float64]:
    """The smallest height ``[F]`` of each face: twice its area over its longest side; 0 for a point."""
    corners = vertices[faces].astype(np.float64)
    sides = np.linalg.norm(corners - np.roll(corners, -1, axis=1), axis=2).max(axis=1)
    doubled = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    return np.divide(doubled, sides, out=np.zeros_like(sides), where=sides > 0)


def is_sound(vertices: Vertices, faces: Faces) -> bool:
    """Whether the mesh is one closed oriented 2-manifold without degenerate faces (see the module's docstring)."""
    if len(faces) < 4:
        return False
    start, end = _directed_edges(faces)
    directed = np.sort(start * len(vertices) + end)
    closed = np.array_equal(directed, np.sort(end * len(vertices) + start))
    unique = bool((np.diff(directed) > 0).all()) and bool((start != end).all())
    if not (closed and unique and face_components(faces, len(vertices)).max() == 0):
        return False
    one_fan_each = _fans(faces, len(vertices)).max() + 1 == len(np.unique(faces))
    one_place_each = len(np.unique(vertices, axis=0)) == len(vertices)
    diagonal = float(np.linalg.norm(np.ptp(vertices, axis=0)))
    return one_place_each and one_fan_each and bool(heights(vertices, faces).min() > DEGENERATE_HEIGHT * diagonal)


def vertex_normals(vertices: Vertices, faces: Faces) -> NDArray[np.float32]:
    """Unit normals ``[V,3]``: the faces' normals weighted by their angle at the vertex.

    Angle weights make the normal independent of how the surface around the vertex is cut into triangles.
    """
    corners = vertices[faces].astype(np.float64)
    after = np.roll(corners, -1, axis=1) - corners
    after /= np.maximum(np.linalg.norm(after, axis=2, keepdims=True), 1e-30)
    before = -np.roll(after, 1, axis=1)
    angles = np.arccos(np.clip(np.einsum("fck,fck->fc", after, before), -1, 1))
    face_normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    face_normals /= np.maximum(np.linalg.norm(face_normals, axis=1, keepdims=True), 1e-30)
    weighted = angles[:, :, None] * face_normals[:, None, :]
    total = np.stack(
        [np.bincount(faces.ravel(), weighted[:, :, k].ravel(), minlength=len(vertices)) for k in range(3)], axis=1
    )
    length = np.linalg.norm(total, axis=1, keepdims=True)
    # A vertex whose faces cancel out has no normal; any unit vector will do.
    return np.where(length > 1e-12, total / np.maximum(length, 1e-12), [0.0, 1.0, 0.0]).astype(np.float32)


def normals_of(mesh: Mesh) -> NDArray[np.float32]:
    """The mesh's own normals ``[V,3]``, or those that its faces give it."""
    return vertex_normals(mesh.vertices, mesh.faces) if mesh.normals is None else mesh.normals
