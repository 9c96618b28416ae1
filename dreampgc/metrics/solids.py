"""Solids on a lattice: what meshes and ground-truth objects become before their shapes are compared.

A *solid* is ``[S,S,S]`` bool, indexed x, y, z: which voxel centres of a lattice over [-1, 1]^3 lie inside. It is
*aligned*: moved and scaled so that its bounding box is centred and its longest side fills the lattice; or *placed*:
where it is in the world, the lattice's unit being the world's. It is never turned, since every object's front faces +z.
Cavities that nobody can see from outside are filled.

A bounding box hangs on the thinnest mast. Where masts may be missing, solids are also compared after `balanced` or
`matched`, which go by the mass: its centre, and its *radius* (the root of the mean squared distance from the centre).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from dreampgc.types import Mesh
from dreampgc.world.scene import Scene, make_scene, signed_distance
from dreampgc.world.sculpture import REACH

Solid = NDArray[np.bool_]
Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

#: Voxels along each side of a solid.
SIDE = 64
#: The same of a placed solid: its voxels are as large as those of an aligned object that reaches from -0.8 to 0.8.
PLACED_SIDE = 80
#: The radius of a `balanced` solid: long ones still fit into the lattice.
RADIUS = 0.5
#: Points whose distances are taken at once: small enough for a processor's cache.
BLOCK = 8192
#: The lower corners of a cube's eight octants, in halves of its side.
OCTANTS = np.argwhere(np.ones((2, 2, 2), dtype=bool))


def mesh_solid(mesh: Mesh, side: int = SIDE, *, aligned: bool = True) -> Solid:
    """The aligned or placed solid inside of ``mesh``.

    A voxel is inside if rays from it cross the surface an odd number of times along at least two of the three axes:
    a few missing faces spoil the rays along one axis only.

    Raises:
        ValueError: the mesh encloses no voxel.
    """
    corners = mesh.vertices[mesh.faces.ravel()].astype(np.float64)
    fitted = aligned and len(corners) > 0
    low, high = (corners.min(axis=0), corners.max(axis=0)) if fitted else (-np.ones(3), np.ones(3))
    edge = max((high - low).max(), 1e-12)
    # In units of voxels, centres at whole numbers; the shift keeps corners of round numbers off the rays.
    scaled = (mesh.vertices - (low + high) / 2) * (side / edge) + (side - 1) / 2 + (1e-7, 2e-7, 3e-7)
    x, y, z = (_odd_crossings(scaled, mesh.faces, axis, side) for axis in range(3))
    solid = filled(x & y | y & z | z & x)
    if not solid.any():
        raise ValueError(f"a mesh of {len(mesh.faces)} faces encloses no voxel of a lattice of {side}^3")
    return solid


def _odd_crossings(vertices: Floats, faces: Integers, axis: int, side: int) -> Solid:
    """Where the rays down one axis have crossed the faces an odd number of times, ``[S,S,S]``."""
    along, u, v = (vertices[:, (axis + k) % 3] for k in range(3))
    column, face = _columns(u[faces], v[faces], side)
    # Both faces of an edge evaluate it alike, so that a ray between them hits exactly one of the two.
    weights = np.stack([_turn(u, v, faces[face, k - 2], faces[face, k - 1], *divmod(column, side)) for k in range(3)])
    hit = (weights > 0).all(axis=0) | (weights < 0).all(axis=0)
    column, corners, weights = column[hit], faces[face[hit]].T, weights[:, hit]
    depth = (weights * along[corners]).sum(axis=0) / weights.sum(axis=0)
    first = np.ceil(depth).astype(np.int64).clip(0, side)
    crossings = np.bincount(column * (side + 1) + first, minlength=side * side * (side + 1))
    odd = crossings.reshape(side, side, side + 1).cumsum(axis=2)[..., :side] % 2 == 1
    return np.moveaxis(odd, (0, 1, 2), ((axis + 1) % 3, (axis + 2) % 3, axis))


def _columns(u: Floats, v: Floats, side: int) -> tuple[Integers, Integers]:
    """The columns (flat) that the boxes around triangles ``[F,3]`` hold, and the triangle of each."""
    (left, width), (top, height) = _span(u, side), _span(v, side)
    counts = width * height
    face = np.repeat(np.arange(len(u)), counts)
    within = np.arange(len(face)) - (np.cumsum(counts) - counts)[face]
    row, column = within // height[face], within % height[face]
    return (left[face] + row) * side + top[face] + column, face


def _span(x: Floats, side: int) -> tuple[Integers, Integers]:
    """The first of 0 ... ``side`` - 1 between the least and the greatest of each row, and how many there are."""
    first = np.ceil(x.min(axis=1)).astype(np.int64).clip(0, side)
    end = np.floor(x.max(axis=1)).astype(np.int64).clip(-1, side - 1) + 1
    return first, end - first


def _turn(u: Floats, v: Floats, start: Integers, end: Integers, row: Integers, column: Integers) -> Floats:
    """Twice the signed area of each triangle (start, end, ray), bit for bit the negative for the reversed edge."""
    one, other = np.minimum(start, end), np.maximum(start, end)
    area = (u[other] - u[one]) * (column - v[one]) - (v[other] - v[one]) * (row - u[one])
    return np.where(start < end, area, -area)


def filled(solid: Solid) -> Solid:
    """The solid and its cavities: all that the outside does not reach by voxels that share a face."""
    found: Any = ndimage.label(np.pad(~solid, 1, constant_values=True))
    return (found[0] != found[0][0, 0, 0])[1:-1, 1:-1, 1:-1]


@torch.no_grad()
def object_solid(
    name: str, seed: int, base: tuple[str, int] | None = None, side: int = SIDE, *, aligned: bool = True
) -> Solid:
    """The aligned or placed solid of a ground-truth object, on a ``base`` (class, seed) if given; ``side`` in eights.

    Raises:
        KeyError: there is no such class.
        ValueError: the base's class carries nothing, or ``side`` is not a multiple of 8.
    """
    if side % 8:
        raise ValueError(f"the side of a ground-truth solid must be a multiple of 8, not {side}")
    item = (name, "red", seed)
    scene = make_scene([(item, (base[0], "red", base[1])) if base else item])
    low, high = _bounds(scene, side) if aligned else (-np.ones(3), np.ones(3))
    return filled(_sampled(scene, (low + high) / 2, (high - low).max() / 2, side) < 0)


def _bounds(scene: Scene, side: int) -> tuple[Floats, Floats]:
    """The corners ``[3]`` of the box around an object, from the balls about its voxels that fit into it."""
    distance = _sampled(scene, np.zeros(3), REACH, side)
    inside = distance < 0
    centres = (np.argwhere(inside) + 0.5) * (2 * REACH / side) - REACH
    # A ball no wider than a voxel reaches the surface of the outermost ones; deep in ellipsoids distances are rough.
    radius = np.minimum(-distance[inside], 2 * REACH / side)[:, None]
    return (centres - radius).min(axis=0), (centres + radius).max(axis=0)


def _sampled(scene: Scene, centre: Floats, half: float, side: int) -> NDArray[np.float32]:
    """Signed distances ``[S,S,S]`` on the lattice over a cube, infinite where larger voxels prove it empty.

    Outside, distances are lower bounds: a voxel whose centre is further out than its corners is empty.
    """
    values = np.full((side,) * 3, np.inf, dtype=np.float32)
    corners = np.argwhere(np.ones((side // 8,) * 3, dtype=bool)) * 8
    for size in (8, 4, 2):
        near = _distance(scene, centre + half * ((2 * corners + size) / side - 1)) < np.sqrt(3) * half * size / side
        corners = (corners[near][:, None] + OCTANTS * (size // 2)).reshape(-1, 3)
    values[tuple(corners.T)] = _distance(scene, centre + half * ((2 * corners + 1) / side - 1))
    return values


def _distance(scene: Scene, points: Floats) -> NDArray[np.float32]:
    """Signed distances ``[N]`` of ``points`` ``[N,3]``."""
    blocks = torch.from_numpy(points).float()[None].split(BLOCK, dim=1)
    return torch.cat([signed_distance(scene, block)[0] for block in blocks]).numpy()


def surface_points(solid: Solid) -> Floats:
    """The centres ``[N,3]`` of all voxel faces between inside and outside, in the aligned frame."""
    padded = np.pad(solid, 1)
    points = []
    for axis in range(3):
        # Entry k of the difference is the face before voxel k; along the other axes, entry k is voxel k - 1.
        places = np.argwhere(np.diff(padded, axis=axis)) - 0.5
        places[:, axis] += 0.5
        points.append(places * (2 / len(solid)) - 1)
    return np.concatenate(points)


def balanced(solid: Solid) -> Solid:
    """The solid moved and scaled so that its mass is centred and has the radius ``RADIUS``."""
    centre, radius = _mass(solid)
    return _resampled(solid, centre, radius / RADIUS)


def matched(solid: Solid, like: Solid) -> Solid:
    """The solid moved and scaled so that its mass has the centre and the radius of another's."""
    (centre, radius), (other, other_radius) = _mass(solid), _mass(like)
    return _resampled(solid, centre - other * (radius / other_radius), radius / other_radius)


def _mass(solid: Solid) -> tuple[Floats, float]:
    """The centre ``[3]`` and the radius of a solid's mass."""
    points = (np.argwhere(solid) + 0.5) * (2 / len(solid)) - 1
    centre = points.mean(axis=0)
    return centre, float(np.sqrt(points.var(axis=0).sum()))


def _resampled(solid: Solid, centre: Floats, scale: float) -> Solid:
    """The solid as it is at ``centre + scale * p``, for every voxel centre ``p``; nothing is outside of the lattice."""
    side = len(solid)
    positions = centre[:, None] + scale * ((np.arange(side) + 0.5) * (2 / side) - 1)
    voxels = np.floor((positions + 1) * (side / 2)).astype(np.int64)
    # Voxels outside read the border of padding.
    return np.pad(solid, 1)[np.ix_(*(voxels + 1).clip(0, side + 1))]
