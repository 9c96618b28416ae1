"""A mesh's texture: an atlas by xatlas, and the colours of its texels.

A *texel* is a pixel of the texture; a *sample* is a texel, or one of the parts into which supersampling cuts it.
Texture coordinates are those of `Texture`; in units of samples, the centres of samples have integer coordinates.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable

import cv2
import numpy as np
import xatlas
from numpy.typing import NDArray
from PIL import Image

from dreampgc.mesh.topology import normals_of
from dreampgc.types import Mesh, Texture

#: Surface points ``[N,3]`` and their unit normals ``[N,3]`` to sRGB ``[N,3]`` in [0,1], all float32.
SurfaceColours = Callable[[NDArray[np.float32], NDArray[np.float32]], NDArray[np.float32]]

#: Texels between charts: a bilinear look-up and the first mip levels stay within a chart and its padding.
PADDING = 4
#: Samples coloured at once.
BLOCK = 1 << 19
#: At most, along each side of a texel.
MAX_SUPERSAMPLING = 2
#: Fractional bits with which triangles are drawn into the atlas.
SHIFT = 8


def bake_texture(mesh: Mesh, colours: SurfaceColours, *, size: int, detail: float) -> Texture:
    """A texture of ``size`` x ``size`` texels for ``mesh`` (with normals), each coloured where it lies on the surface.

    ``detail`` is the length of the finest structure of ``colours`` in world units: texels that hold more than half
    of it are averages over a finer grid. Texels off the mesh repeat the nearest one on it, so that no look-up, at
    any size on the screen, mixes in a colour that is not there. The same input gives the same texture.
    """
    coordinates, corners = unwrap(mesh, size)
    triangles = coordinates[corners]
    texel = _length_of_unit(mesh, triangles) / size
    supersampling = min(max(math.ceil(2 * texel / detail), 1), MAX_SUPERSAMPLING)
    owners = _owners(triangles, size * supersampling)
    image = np.zeros((size, size, 3), np.float32)
    covered = np.zeros((size, size), bool)
    rows = max(1, BLOCK // (size * supersampling**2))
    for start in range(0, size, rows):
        band = slice(start, min(start + rows, size))
        image[band], covered[band] = _baked_band(mesh, triangles, owners, band, supersampling, colours)
    return Texture((_padded(image, covered) * 255).round().astype(np.uint8), coordinates, corners)


def unwrap(mesh: Mesh, size: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Texture coordinates ``[C,2]`` and corners ``[F,3]`` (see `Texture`) of charts that do not overlap, by xatlas."""
    atlas = xatlas.Atlas()
    atlas.add_mesh(mesh.vertices, mesh.faces.astype(np.uint32), mesh.normals)
    packing = xatlas.PackOptions()
    packing.resolution = size
    packing.padding = PADDING
    atlas.generate(xatlas.ChartOptions(), packing)
    _, corners, coordinates = atlas[0]
    return coordinates.astype(np.float32).clip(0, 1), corners.astype(np.int64)


def cut_at_seams(mesh: Mesh) -> Mesh:
    """``mesh`` with a copy of a vertex for each of its places on the texture: ``texture.corners`` becomes ``faces``.

    A mesh without a texture is returned as it is.
    """
    if mesh.texture is None:
        return mesh
    origin = np.zeros(len(mesh.texture.coordinates), np.int64)
    origin[mesh.texture.corners] = mesh.faces
    colors = None if mesh.colors is None else mesh.colors[origin]
    return Mesh(mesh.vertices[origin], mesh.texture.corners, colors, normals_of(mesh)[origin], mesh.texture)


def encode_png(image: NDArray[np.uint8]) -> bytes:
    """The PNG file of an image ``[H,W,3]``."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def _length_of_unit(mesh: Mesh, triangles: NDArray[np.float32]) -> float:
    """World units that one unit of the texture coordinates spans, over the whole surface."""
    a, b, c = (mesh.vertices[mesh.faces[:, k]] for k in range(3))
    surface = np.linalg.norm(np.cross(b - a, c - a), axis=1).sum()
    return math.sqrt(surface / max(float(np.abs(_determinants(triangles)).sum()), 1e-12))


def _determinants(triangles: NDArray[np.float32]) -> NDArray[np.float32]:
    """Twice the signed areas ``[T]`` of triangles ``[T,3,2]`` in the plane."""
    (u1, v1), (u2, v2) = ((triangles[:, k] - triangles[:, 0]).T for k in (1, 2))
    return u1 * v2 - u2 * v1


def _owners(triangles: NDArray[np.float32], size: int) -> NDArray[np.int32]:
    """For each sample ``[size,size]``, 1 + the face that it lies in (or that touches it), 0 off the atlas."""
    owners = np.zeros((size, size), np.int32)
    fixed = ((triangles * size - 0.5) * (1 << SHIFT)).round().astype(np.int32)
    for index, triangle in enumerate(fixed, start=1):
        cv2.fillConvexPoly(owners, triangle, index, lineType=cv2.LINE_8, shift=SHIFT)
    return owners


def _baked_band(
    mesh: Mesh,
    triangles: NDArray[np.float32],
    owners: NDArray[np.int32],
    band: slice,
    supersampling: int,
    colours: SurfaceColours,
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Colours ``[R,S,3]`` of the texel rows in ``band``, and which texels ``[R,S]`` have any."""
    assert mesh.normals is not None
    samples = owners[band.start * supersampling : band.stop * supersampling]
    rows, columns = np.nonzero(samples)
    faces = samples[rows, columns] - 1
    places = np.stack([columns, rows + band.start * supersampling], axis=1) + 0.5
    weights = _barycentric(triangles[faces], (places / len(owners)).astype(np.float32))
    corners = mesh.faces[faces]
    points, normals = (np.einsum("pk,pkc->pc", weights, values[corners]) for values in (mesh.vertices, mesh.normals))
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    total = np.zeros((*samples.shape, 4), np.float32)
    total[rows, columns, :3] = colours(points, normals) if len(points) else 0
    total[rows, columns, 3] = 1
    shape = (len(samples) // supersampling, supersampling, samples.shape[1] // supersampling, supersampling, 4)
    total = total.reshape(shape).sum(axis=(1, 3))
    return total[..., :3] / np.maximum(total[..., 3:], 1), total[..., 3] > 0


def _barycentric(triangles: NDArray[np.float32], points: NDArray[np.float32]) -> NDArray[np.float32]:
    """Weights ``[P,3]`` of the corners of ``triangles`` ``[P,3,2]`` at ``points`` ``[P,2]``, nearest inside."""
    (u1, v1), (u2, v2), (u, v) = ((x - triangles[:, 0]).T for x in (triangles[:, 1], triangles[:, 2], points))
    determinant = u1 * v2 - u2 * v1
    determinant = np.where(determinant == 0, np.inf, determinant)  # a face of no area shows its first corner
    second, third = (u * v2 - v * u2) / determinant, (u1 * v - v1 * u) / determinant
    weights = np.stack([1 - second - third, second, third], axis=1).clip(0, 1)
    return weights / weights.sum(axis=1, keepdims=True)


def _padded(image: NDArray[np.float32], covered: NDArray[np.bool_]) -> NDArray[np.float32]:
    """The image with every texel that is not ``covered`` replaced by the nearest one that is."""
    off = (~covered).astype(np.uint8)
    _, labels = cv2.distanceTransformWithLabels(off, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    nearest = labels.astype(np.int64)
    table = np.zeros((int(nearest.max()) + 1, 3), np.float32)
    table[nearest[covered]] = image[covered]
    return table[nearest]
