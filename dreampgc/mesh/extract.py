"""From a field to a mesh: sample, choose the level that the renderer shows, cut, clean, colour.

A *volume* is ``[R,R,R]`` float32, indexed x, y, z, sampled at the nodes of a regular grid over
``[-bound, bound]^3``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Literal

import mcubes
import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from dreampgc.errors import InputError
from dreampgc.mesh.simplify import clean, decimate, smooth
from dreampgc.mesh.topology import Faces, Vertices, vertex_normals
from dreampgc.mesh.visibility import best_light
from dreampgc.types import Mesh

Volume = NDArray[np.float32]
PointFunction = Callable[[Tensor], Tensor]

#: Points evaluated at once: bounds the memory of a field with wide features.
BLOCK = 1 << 17
#: Values are clamped to this many nats around the level: further away they say nothing about where the surface is.
BAND = 4.0
#: The least standard deviation, in voxels, of the blur that takes a field's grid noise out of the topology.
BLUR = 0.7
#: Matter of which cameras get less than this share of light counts as solid, whatever the field holds there.
DARK = 0.1
#: A ray shows a surface where it has lost half of its light.
HALF_LIGHT = math.log(2.0)


def _positions(indices: Tensor, resolution: int, bound: float) -> Tensor:
    """World positions ``[N,3]`` of the grid nodes with flat ``indices`` ``[N]``."""
    axes = torch.stack(torch.unravel_index(indices, (resolution,) * 3), dim=-1)
    return axes.float() * (2 * bound / (resolution - 1)) - bound


def _near_occupied(positions: Tensor, occupied: Tensor, bound: float) -> Tensor:
    """Whether each position ``[N,3]`` lies in a true cell of ``occupied`` ``[G,G,G]``."""
    cells = ((positions + bound) * (occupied.shape[0] / (2 * bound))).long().clamp(0, occupied.shape[0] - 1)
    return occupied[cells[:, 0], cells[:, 1], cells[:, 2]]


def _blocks(resolution: int) -> Iterator[slice]:
    for start in range(0, resolution**3, BLOCK):
        yield slice(start, min(start + BLOCK, resolution**3))


@torch.no_grad()
def sample_volume(
    function: PointFunction,
    resolution: int,
    *,
    bound: float = 1.0,
    occupied: Tensor | None = None,
    device: torch.device | str = "cpu",
) -> Volume:
    """Values of ``function`` (``[N,3]`` to ``[N]``) at the nodes of a grid over ``[-bound, bound]^3``.

    ``occupied`` ``[G,G,G]`` bool (indexed x, y, z) says where the function can be other than 0: it is
    evaluated there and one cell around. Values that are not finite become 0.
    """
    if occupied is not None:
        grown = ndimage.binary_dilation(occupied.cpu().numpy(), structure=np.ones((3, 3, 3), dtype=bool))
        occupied = torch.from_numpy(grown).to(device)
    values = torch.zeros(resolution**3)
    for block in _blocks(resolution):
        positions = _positions(torch.arange(block.start, block.stop, device=device), resolution, bound)
        if occupied is None:
            values[block] = function(positions).float().cpu()
            continue
        inside = _near_occupied(positions, occupied, bound)
        if inside.any():
            values[block][inside.cpu()] = function(positions[inside]).float().cpu()
    return torch.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0).reshape((resolution,) * 3).numpy()


def _axis_views(volume: Volume) -> Iterator[Volume]:
    """The volume seen along each of the six axis directions: the first index grows away from the eye."""
    for axis in range(3):
        along = np.moveaxis(volume, axis, 0)
        yield along
        yield along[::-1]


def visible_level(density: Volume, bound: float = 1.0, *, candidates: int = 40) -> float:
    """The density at which to cut so that the surface lies where a volume renderer shows it.

    Along the six axis directions, a renderer shows depth where the optical depth reaches ln 2 (half of
    the light is gone). The level returned is the one whose first crossing lies nearest to that depth,
    mean absolute error, a hit against a miss counting as a tenth of the volume's width.

    Raises:
        InputError: no ray loses half of its light: there is nothing to see.
    """
    stride = max(1, -(-density.shape[0] // 96))
    coarse = np.maximum(density[::stride, ::stride, ::stride], 0)
    spacing = 2 * bound * stride / (density.shape[0] - 1)
    shown = [(np.cumsum(view, axis=0) * spacing <= HALF_LIGHT).sum(axis=0) for view in _axis_views(coarse)]
    if all(depth.min() == coarse.shape[0] for depth in shown):
        raise InputError(
            "the field is empty: no camera would see a surface, so there is no mesh to extract; "
            "train for more steps, or try another seed or prompt"
        )
    nearest = [np.maximum.accumulate(view, axis=0) for view in _axis_views(coarse)]
    # Below the lowest candidate even a ray through the whole volume keeps half of its light.
    levels = np.geomspace(HALF_LIGHT / (2 * bound * math.sqrt(3)), max(float(coarse.max()), 1.0), candidates + 1)[:-1]
    far = max(2.0, coarse.shape[0] / 10)
    errors = np.array([_depth_error(shown, nearest, level, far) for level in levels])
    # A hard surface is cut at the same place by many levels: take the middle of them.
    best = np.flatnonzero(errors <= errors.min() * 1.05 + 1e-3)
    return float(np.exp(np.log(levels[best]).mean()))


def _depth_error(shown: list[NDArray[np.int64]], nearest: list[Volume], level: float, far: float) -> float:
    """Mean distance in samples, at most ``far``, between the depths shown and those of the cut at ``level``."""
    total = 0.0
    for depth, highest in zip(shown, nearest, strict=True):
        total += float(np.minimum(np.abs((highest <= level).sum(axis=0) - depth), far).mean())
    return total / len(shown)


def isosurface(values: Volume, bound: float = 1.0) -> tuple[Vertices, Faces]:
    """The closed surface, wound outward, of the largest part of the volume where ``values`` > 0.

    What lies beyond the volume counts as outside, so that a part that is cut by its border is closed there.
    """
    # A node exactly on the surface would make faces of no area.
    away = np.where(np.abs(values) < 0.02, np.where(values > 0, np.float32(0.02), np.float32(-0.02)), values)
    padded = np.pad(away, 1, constant_values=np.float32(-BAND))
    vertices, faces = mcubes.marching_cubes(padded, 0.0)
    if len(faces) == 0:
        return np.zeros((0, 3), np.float32), np.zeros((0, 3), np.int64)
    world = (vertices - 1) * (2 * bound / (values.shape[0] - 1)) - bound
    return clean(world.astype(np.float32), faces.astype(np.int64))


def _finished(values: Volume, bound: float, faces: int | None, smoothing: int) -> Mesh:
    """The smoothed and decimated surface of ``values`` > 0 with its normals; an empty mesh where there is none."""
    vertices, triangles = isosurface(values, bound)
    if len(triangles):
        vertices = smooth(vertices, triangles, smoothing)
        vertices, triangles = decimate(vertices, triangles, faces or len(triangles))
    return Mesh(vertices, triangles, normals=vertex_normals(vertices, triangles))


@torch.no_grad()
def vertex_colors(
    mesh: Mesh, colour_fn: PointFunction, *, inset: float, device: torch.device | str = "cpu"
) -> NDArray[np.float32]:
    """sRGB colours ``[V,3]`` in [0,1] of ``colour_fn`` (``[N,3]`` to ``[N,3]``), taken ``inset`` below the surface.

    Just outside, a field's colour was never seen by any camera.
    """
    assert mesh.normals is not None
    points = torch.from_numpy(mesh.vertices - np.float32(inset) * mesh.normals).to(device)
    colors = torch.cat([colour_fn(block).float().cpu() for block in points.split(BLOCK)])
    return torch.nan_to_num(colors).clamp(0, 1).numpy()


def extract_mesh(
    density_fn: PointFunction,
    *,
    resolution: int,
    level: float | Literal["auto"] = "auto",
    faces: int | None = None,
    smoothing: int = 8,
    occupied: Tensor | None = None,
    elevation: tuple[float, float] = (-15.0, 75.0),
    grain: float = 0.0,
    bound: float = 1.0,
    device: torch.device | str = "cpu",
) -> Mesh:
    """The mesh of a density field over ``[-bound, bound]^3``: one closed manifold of at most ``faces`` faces.

    ``density_fn`` takes ``[N,3]`` positions to ``[N]`` densities per world unit. ``level`` "auto" cuts where a
    volume renderer shows the surface (`visible_level`), ``smoothing`` counts Taubin iterations, ``occupied`` is as
    in `sample_volume`. What cameras cannot see from elevations in the range ``elevation`` (degrees) becomes solid.
    ``grain`` is the size in world units (a standard deviation) of the roughness that is smoothed away.

    Raises:
        InputError: there is no surface at that level.
    """
    density = sample_volume(density_fn, resolution, bound=bound, occupied=occupied, device=device)
    cut = visible_level(density, bound) if level == "auto" else level
    # Densities span decades, and their logarithm is what networks put out: it is nearly linear between nodes.
    ratio = np.log(np.maximum(density, 1e-12) / np.float32(cut)).clip(-BAND, BAND)
    light = best_light(density, bound, elevation)
    ratio = np.maximum(ratio, np.log(DARK / np.maximum(light, 1e-6)).clip(-BAND, BAND))
    blur = max(BLUR, grain * (resolution - 1) / (2 * bound))
    blurred = np.asarray(ndimage.gaussian_filter(ratio, blur, mode="nearest"), dtype=np.float32)
    mesh = _finished(blurred, bound, faces, smoothing)
    if density.max() <= cut or len(mesh.faces) == 0:
        raise InputError(
            f"no surface at density level {cut:.3g}: densities reach {density.max():.3g}; "
            "use the automatic level, a finer mesh resolution, or train for more steps"
        )
    return mesh


def extract_sdf_mesh(
    sdf_fn: PointFunction,
    *,
    resolution: int,
    faces: int | None = None,
    smoothing: int = 0,
    colour_fn: PointFunction | None = None,
    bound: float = 1.0,
    device: torch.device | str = "cpu",
) -> Mesh:
    """The mesh of the zero level of a signed distance (negative inside), made like `extract_mesh`'s.

    Raises:
        InputError: the distance is nowhere negative.
    """
    spacing = 2 * bound / (resolution - 1)
    distance = sample_volume(sdf_fn, resolution, bound=bound, device=device)
    mesh = _finished((-distance / spacing).clip(-BAND, BAND), bound, faces, smoothing)
    if len(mesh.faces) == 0:
        raise InputError("the signed distance is nowhere negative: there is no surface")
    if colour_fn is None:
        return mesh
    return replace(mesh, colors=vertex_colors(mesh, colour_fn, inset=spacing / 2, device=device))
