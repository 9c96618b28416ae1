"""A dense marching-cubes surface made fit for use: smooth, few faces, still one closed manifold."""

from __future__ import annotations

import fast_simplification
import numpy as np
from scipy.sparse import coo_matrix, csr_matrix, diags_array

from dreampgc.mesh.topology import (
    Faces,
    Vertices,
    is_sound,
    largest_component,
    part_coincident,
    split_fans,
    split_repeated_edges,
    without_flaps,
)

#: Taubin's two steps: inward with LAMBDA, outward with MU, so that the pass band keeps the volume (pass band 0.1).
LAMBDA, MU = 0.5, -0.5263

#: Shares of the face budget that are tried in turn: collapses go wrong at random, a little fewer may go right.
BUDGETS = (1.0, 0.95, 0.9, 0.8, 0.65, 0.5)
#: What repairs may add to a decimated surface, as a share of the budget.
REPAIRS = 0.01


def _neighbour_mean(faces: Faces, count: int) -> csr_matrix:
    """The matrix ``[V,V]`` that takes each vertex to the mean of its neighbours."""
    rows = np.concatenate([faces.ravel(), np.roll(faces, -1, axis=1).ravel()])
    columns = np.concatenate([np.roll(faces, -1, axis=1).ravel(), faces.ravel()])
    adjacency = coo_matrix((np.ones(len(rows), dtype=np.float32), (rows, columns)), shape=(count, count)).tocsr()
    adjacency.data[:] = 1
    degree = np.maximum(np.asarray(adjacency.sum(axis=1)).ravel(), 1)
    return csr_matrix(diags_array(1 / degree) @ adjacency, dtype=np.float32)


def smooth(vertices: Vertices, faces: Faces, iterations: int) -> Vertices:
    """Vertices ``[V,3]`` after ``iterations`` of Taubin's smoothing, which does not shrink (SIGGRAPH 1995)."""
    if iterations == 0:
        return vertices
    mean = _neighbour_mean(faces, len(vertices))
    for _ in range(iterations):
        for factor in (LAMBDA, MU):
            vertices = (vertices + factor * (mean @ vertices - vertices)).astype(np.float32)
    return vertices


def clean(vertices: Vertices, faces: Faces) -> tuple[Vertices, Faces]:
    """The largest component, with everything apart that only touches: a closed manifold if the input was closed."""
    vertices, faces = largest_component(*split_fans(vertices, without_flaps(faces)))
    vertices, faces = split_repeated_edges(vertices, faces)
    return part_coincident(vertices, faces), faces


def decimate(vertices: Vertices, faces: Faces, budget: int) -> tuple[Vertices, Faces]:
    """At most ``budget`` faces by quadric edge collapses; the mesh stays sound (see `topology`).

    Collapses can fold a surface onto itself. What cutting the touching parts apart does not repair is
    tried again with a smaller budget; when none works, the surface is returned as it came.
    """
    if len(faces) <= budget:
        return vertices, faces
    for share in BUDGETS:
        target = int(budget * share * (1 - REPAIRS))
        collapsed = fast_simplification.simplify(
            vertices.astype(np.float64), faces.astype(np.int32), target_count=target
        )
        candidate = clean(collapsed[0].astype(np.float32), collapsed[1].astype(np.int64))
        if len(candidate[1]) <= budget and is_sound(*candidate):
            return candidate
    return vertices, faces
