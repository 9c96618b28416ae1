"""Ground-truth meshes of the procedural world."""

from __future__ import annotations

import mcubes
import numpy as np
import torch

from dreampgc.types import Mesh
from dreampgc.world.scene import Scene, albedo, signed_distance


def world_mesh(scene: Scene, *, resolution: int = 96) -> Mesh:
    """The first object of ``scene`` as a closed triangle mesh with vertex colours, by marching cubes.

    ``resolution`` counts the samples along each side of the cube [-0.9, 0.9]^3.
    """
    side = torch.linspace(-0.9, 0.9, resolution)
    planes = []
    for x in side:  # by planes, so that memory stays small
        y, z = torch.meshgrid(side, side, indexing="ij")
        points = torch.stack([x.expand_as(y), y, z], dim=-1).reshape(1, -1, 3)
        planes.append(signed_distance(scene, points).reshape(resolution, resolution))
    # PyMCubes winds faces outward where the inside is above the level.
    vertices, faces = mcubes.marching_cubes(-torch.stack(planes).numpy().astype(np.float64), 0.0)
    vertices = (vertices / (resolution - 1) * 1.8 - 0.9).astype(np.float32)
    colors = albedo(scene, torch.from_numpy(vertices)[None])[0].numpy()
    return Mesh(vertices, faces.astype(np.int64), colors.astype(np.float32))
