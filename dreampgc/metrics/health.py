"""Whether a mesh is one closed surface, as files are read: corners at one place count as one vertex."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import trimesh
from trimesh.graph import connected_component_labels

from dreampgc.types import Mesh

#: The share of faces that fragments may have in a sound mesh.
FRAGMENTS = 0.01


@dataclass(frozen=True)
class MeshHealth:
    """What is wrong with a mesh, if anything.

    ``components`` hang together by vertices; ``watertight`` means that every edge has exactly two faces;
    ``non_manifold_edges`` have more than two; ``fragment_share`` is the share of the ``faces`` that do not belong to
    the component with the most faces, in [0, 1].
    """

    components: int
    watertight: bool
    non_manifold_edges: int
    fragment_share: float
    faces: int

    @property
    def one_component(self) -> bool:
        """Whether all faces hang together."""
        return self.components == 1

    @property
    def sound(self) -> bool:
        """Whether the mesh is a closed manifold with fragments of less than 1 % of its faces, if any."""
        return self.watertight and self.non_manifold_edges == 0 and self.fragment_share < FRAGMENTS


def mesh_health(mesh: Mesh) -> MeshHealth:
    """The health of ``mesh``; one without faces has no component and is not watertight."""
    if len(mesh.faces) == 0:
        return MeshHealth(components=0, watertight=False, non_manifold_edges=0, fragment_share=0.0, faces=0)
    surface = trimesh.Trimesh(mesh.vertices, mesh.faces, process=True)  # merges vertices at one place
    labels = connected_component_labels(surface.edges, node_count=len(surface.vertices))[surface.faces[:, 0]]
    sizes = np.bincount(labels)
    _, faces_at_edge = np.unique(surface.edges_sorted, axis=0, return_counts=True)
    return MeshHealth(
        components=int(np.count_nonzero(sizes)),
        watertight=bool(surface.is_watertight),
        non_manifold_edges=int((faces_at_edge > 2).sum()),
        fragment_share=float(1 - sizes.max() / len(surface.faces)),
        faces=len(surface.faces),
    )
