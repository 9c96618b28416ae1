"""The values that pass between floors: rays, rendered images, meshes.

Vocabulary, once: ``B`` batch of views, ``H``/``W`` image size, ``N`` points or rays, ``C`` channels
(3 for RGB, 4 for latents), ``V`` vertices, ``F`` faces. World: right-handed, +y up, the object's
front faces +z, the object lives in [-1, 1]^3.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

#: ``(positions [N,3], directions [N,3] or None) -> (density [N], colour [N,C])``: all that a renderer knows of a field.
RadianceField = Callable[[Tensor, Tensor | None], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Rays:
    """Origins and unit directions in world space, both ``[..., 3]`` float32.

    ``forward`` is the camera's unit viewing axis, broadcastable to ``directions``: the depth of a
    point at distance ``t`` along a ray is ``t * (directions * forward).sum(-1)``.
    """

    origins: Tensor
    directions: Tensor
    forward: Tensor


@dataclass(frozen=True)
class RenderOutput:
    """One batch of rendered views.

    ``image`` ``[B,C,H,W]`` (RGB in [0,1] over the background, or raw latents), ``opacity`` and ``depth``
    ``[B,1,H,W]`` (depth along the camera's axis, 0 where nothing was hit), ``normals`` ``[B,3,H,W]`` unit
    world-space vectors weighted by opacity, or None. ``extras`` holds per-ray and per-sample tensors that
    regularisers read, by name.
    """

    image: Tensor
    opacity: Tensor
    depth: Tensor
    normals: Tensor | None
    extras: dict[str, Tensor]


@dataclass(frozen=True)
class Texture:
    """An image laid around a mesh: ``image`` ``[S,S,3]`` uint8 sRGB, its first row on top.

    ``coordinates`` ``[C,2]`` float32 in [0,1]: u to the right, v downward from the image's top left corner, as in
    glTF. ``corners`` ``[F,3]`` int64: the row of ``coordinates`` that belongs to each corner of each face. A vertex
    on a seam has several, so that seams cut the image but not the mesh.
    """

    image: NDArray[np.uint8]
    coordinates: NDArray[np.float32]
    corners: NDArray[np.int64]


@dataclass(frozen=True)
class Mesh:
    """A triangle mesh: ``vertices`` ``[V,3]`` float32, ``faces`` ``[F,3]`` int64 (counter-clockwise outside).

    ``colors`` ``[V,3]`` float32 in [0,1] sRGB or None; ``normals`` ``[V,3]`` float32 unit vectors or None. Where
    there is a ``texture`` too, it shows what ``colors`` shows, in finer detail.
    """

    vertices: NDArray[np.float32]
    faces: NDArray[np.int64]
    colors: NDArray[np.float32] | None = None
    normals: NDArray[np.float32] | None = None
    texture: Texture | None = None
