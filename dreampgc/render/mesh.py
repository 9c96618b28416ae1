"""Meshes to images without a GPU: a scan-line z-buffer in numpy, soft studio light.

A *sample* is a point of the image where visibility is decided: the pixel centre, or the centres of the
parts into which supersampling cuts a pixel. ``P`` counts samples that see the mesh, ``T`` triangles that
face the camera. In the image plane, u grows to the right and v downward, and samples have integer (u, v).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from dreampgc.cameras import Views
from dreampgc.render.shading import Shading, needs_normals
from dreampgc.types import Mesh, RenderOutput, Texture

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

#: Triangles with a corner nearer to the camera than this are left out.
NEAR = 0.01
#: sRGB of a mesh without colours, and of the textureless view.
CLAY = 0.78
#: The key light, in the camera's axes (right, up, towards the camera): from above on the left.
KEY_LIGHT = np.array([-0.4, 0.6, 0.7]) / np.linalg.norm([-0.4, 0.6, 0.7])
#: Linear light where the key light does not reach, and what it adds where it shines straight down.
AMBIENT, KEY = 0.62, 0.52


@dataclass(frozen=True)
class _Triangles:
    """Triangles on the image: corners ``u``, ``v`` and inverse depths ``w`` ``[T,3]``, the mesh's ``faces`` ``[T]``."""

    u: Floats
    v: Floats
    w: Floats
    faces: Integers

    def weights(self, rows: Integers, columns: Integers, index: Integers) -> Floats:
        """Barycentric weights ``[P,3]``, in the image plane, of samples in the triangles ``index`` ``[P]``."""
        corners = [(self.u[index, k], self.v[index, k]) for k in range(3)]
        (u0, v0), (u1, v1), (u2, v2) = corners
        determinant = (u1 - u0) * (v2 - v0) - (u2 - u0) * (v1 - v0)
        second = ((columns - u0) * (v2 - v0) - (rows - v0) * (u2 - u0)) / determinant
        third = ((rows - v0) * (u1 - u0) - (columns - u0) * (v1 - v0)) / determinant
        return np.stack([1 - second - third, second, third], axis=1)

    def depth_plane(self) -> tuple[Floats, Floats]:
        """Derivatives ``[T]`` of inverse depth with respect to u and v: it is affine in the image plane."""
        (u1, u2), (v1, v2), (w1, w2) = (((x[:, 1:] - x[:, :1]).T) for x in (self.u, self.v, self.w))
        determinant = u1 * v2 - u2 * v1
        return (w1 * v2 - w2 * v1) / determinant, (w2 * u1 - w1 * u2) / determinant


def _project(mesh: Mesh, camera: tuple[Floats, Floats, float], height: int, width: int) -> _Triangles:
    """The triangles of ``mesh`` that face the camera (position, axes right-up-forward, tan of half the fov)."""
    position, axes, tangent = camera
    x, y, z = ((mesh.vertices - position) @ axes.T).T
    scale = np.where(z > NEAR, 1 / np.maximum(z, NEAR), 0.0)
    u = (x * scale / tangent * height + width - 1) / 2
    v = ((1 - y * scale / tangent) * height - 1) / 2
    u, v, w = u[mesh.faces], v[mesh.faces], scale[mesh.faces]
    turn = (u[:, 1] - u[:, 0]) * (v[:, 2] - v[:, 0]) - (u[:, 2] - u[:, 0]) * (v[:, 1] - v[:, 0])
    # v points down, so what is counter-clockwise to the eye turns negative.
    kept = np.flatnonzero((turn < 0) & (w.min(axis=1) > 0))
    return _Triangles(u[kept], v[kept], w[kept], kept)


def _runs(first: Integers, last: Integers) -> tuple[Integers, Integers]:
    """Every integer of the ranges [first, last) and the index of its range, one after the other."""
    counts = np.maximum(last - first, 0)
    owner = np.repeat(np.arange(len(counts)), counts)
    starts = np.cumsum(counts) - counts
    return owner, np.arange(len(owner)) + (first - starts)[owner]


def _spans(triangles: _Triangles, height: int, width: int) -> tuple[Integers, Integers, Integers, Integers]:
    """Where each image row crosses each triangle: triangle, row, first column, column after the last.

    Ranges are half open and an edge is evaluated alike in both of its triangles, so that neighbours leave
    no gap and never share a sample.
    """
    order = np.argsort(triangles.v, axis=1, kind="stable")
    u, v = (np.take_along_axis(x, order, axis=1) for x in (triangles.u, triangles.v))
    rows_of = (np.ceil(v[:, k]).clip(0, height).astype(np.int64) for k in (0, 2))
    index, rows = _runs(*rows_of)

    def crossing(top: int, bottom: int) -> Floats:
        rise = v[:, bottom] - v[:, top]
        slope = np.divide(u[:, bottom] - u[:, top], rise, out=np.zeros_like(rise), where=rise > 0)
        return u[index, top] + (rows - v[index, top]) * slope[index]

    one, other = crossing(0, 2), np.where(rows < v[index, 1], crossing(0, 1), crossing(1, 2))
    left, right = (np.ceil(x).clip(0, width).astype(np.int64) for x in (np.minimum(one, other), np.maximum(one, other)))
    return index, rows, left, right


def _visible(triangles: _Triangles, height: int, width: int) -> tuple[Integers, Integers]:
    """The samples ``[P]`` (flat) that see a triangle, and the nearest triangle ``[P]`` of each."""
    index, rows, left, right = _spans(triangles, height, width)
    span, columns = _runs(left, right)
    along_u, along_v = triangles.depth_plane()
    at_zero = triangles.w[:, 0] - along_u * triangles.u[:, 0] - along_v * triangles.v[:, 0]
    inverse_depth = (at_zero[index] + along_v[index] * rows)[span] + along_u[index][span] * columns
    # One integer orders by depth and remembers the triangle: bits of positive floats sort like the floats.
    bits = np.maximum(inverse_depth, 1e-9).astype(np.float32).view(np.uint32).astype(np.uint64)
    nearest = np.zeros(height * width, dtype=np.uint64)
    np.maximum.at(nearest, (rows * width)[span] + columns, bits << np.uint64(32) | index[span].astype(np.uint64))
    samples = np.flatnonzero(nearest)
    return samples, (nearest[samples] & np.uint64(0xFFFFFFFF)).astype(np.int64)


def _face_normals(mesh: Mesh, faces: Integers) -> Floats:
    a, b, c = (mesh.vertices[mesh.faces[faces, k]].astype(np.float64) for k in range(3))
    return np.cross(b - a, c - a)


def _surface(
    mesh: Mesh, camera: tuple[Floats, Floats, float], height: int, width: int
) -> tuple[Integers, Floats, Floats, Floats]:
    """What each sample sees: flat index ``[P]``, depth ``[P]``, unit normal and sRGB colour ``[P,3]``."""
    triangles = _project(mesh, camera, height, width)
    samples, index = _visible(triangles, height, width)
    weights = triangles.weights(samples // width, samples % width, index).clip(0, 1) * triangles.w[index]
    inverse_depth = weights.sum(axis=1) / np.maximum((weights / triangles.w[index]).sum(axis=1), 1e-12)
    weights = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    faces = triangles.faces[index]
    corners = mesh.faces[faces]

    def interpolated(values: NDArray[np.float32]) -> Floats:
        a, b, c = (weights[:, k, None] * values[corners[:, k]] for k in range(3))
        return a + b + c

    normals = _face_normals(mesh, faces) if mesh.normals is None else interpolated(mesh.normals)
    normals = normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    if mesh.texture is not None:
        colors = _looked_up(mesh.texture, faces, weights)
    else:
        colors = np.full((len(faces), 3), CLAY) if mesh.colors is None else interpolated(mesh.colors)
    return samples, 1 / inverse_depth, normals, colors


def _looked_up(texture: Texture, faces: Integers, weights: NDArray[np.float32]) -> Floats:
    """Bilinear sRGB colours ``[P,3]`` of the texture at barycentric ``weights`` ``[P,3]`` in ``faces`` ``[P]``."""
    size = len(texture.image)
    corners = texture.coordinates[texture.corners[faces]]
    places = np.einsum("pk,pkc->pc", weights, corners) * size - 0.5
    first = np.floor(places).astype(np.int64)
    right, down = (places - first)[:, :1], (places - first)[:, 1:]

    def texel(columns: int, rows: int) -> NDArray[np.uint8]:
        u, v = (first + np.array([columns, rows])).clip(0, size - 1).T
        return texture.image[v, u]

    upper, lower = (texel(0, row) * (1 - right) + texel(1, row) * right for row in (0, 1))
    return (upper * (1 - down) + lower * down) / 255


def _shade(colors: Floats, normals: Floats, axes: Floats, shading: Shading) -> Floats:
    """sRGB ``[P,3]`` under a wrapped key light that moves with the camera: shape shows, colours stay faithful."""
    if shading == "albedo":
        return colors
    if shading == "normals":
        return normals * 0.5 + 0.5
    towards_light = KEY_LIGHT @ (axes * [[1], [1], [-1]])
    light = AMBIENT + KEY * (0.5 + 0.5 * (normals @ towards_light)) ** 2
    # Light is linear and colours are sRGB: with a gamma of 2.2 the product can be taken in sRGB.
    srgb_light = light[:, None] ** (1 / 2.2)
    return (CLAY * srgb_light if shading == "textureless" else colors * srgb_light) * np.ones(3)


def studio_background(height: int, width: int) -> Tensor:
    """A soft grey backdrop ``[3,H,W]``, sRGB: nearly white behind the object, a little darker towards the corners."""
    rows = torch.linspace(-1, 1, height)[:, None]
    columns = torch.linspace(-1, 1, width)[None, :]
    radius = (rows - 0.1).square() + columns.square()
    return (0.97 - 0.07 * radius.clamp(max=2)).expand(3, height, width).clone()


def _one_view(
    mesh: Mesh, camera: tuple[Floats, Floats, float], height: int, width: int, shading: Shading, supersampling: int
) -> Tensor:
    """Means over each pixel's samples of shaded colour, hit (0 or 1), depth and normal, ``[8,H,W]``, 0 off the mesh."""
    height, width = height * supersampling, width * supersampling
    samples, depth, normals, colors = _surface(mesh, camera, height, width)
    layers = np.zeros((8, height * width), dtype=np.float32)
    layers[0:3, samples] = _shade(colors, normals, camera[1], shading).clip(0, 1).T
    layers[3, samples] = 1
    layers[4, samples] = depth
    layers[5:8, samples] = normals.T
    return functional.avg_pool2d(torch.from_numpy(layers.reshape(8, height, width)), supersampling)


def render_mesh(
    mesh: Mesh,
    views: Views,
    *,
    height: int,
    width: int,
    shading: Shading = "lambertian",
    background: Tensor | None = None,
    supersampling: int = 2,
) -> RenderOutput:
    """Images of ``mesh`` in sRGB over ``background`` (``[3]``, ``[3,H,W]`` or, left out, the studio's), on the CPU.

    Normals are smooth where the mesh has them, else flat; colours are the texture's, else the vertices'; faces
    seen from behind are not drawn. Opacity, depth and normals are those of the pixel centres for
    ``supersampling`` 1, and averages over the samples that hit the mesh otherwise.
    """
    needs_normals(shading)  # refuses unknown names
    backdrop = studio_background(height, width) if background is None else background.cpu().float()
    backdrop = backdrop.reshape(3, *((1, 1) if backdrop.dim() == 1 else (height, width)))
    axes = torch.stack(views.axes(), dim=1).double().cpu().numpy()
    positions = views.positions().double().cpu().numpy()
    tangents = np.tan(np.radians(views.fov.double().cpu().numpy()) / 2)
    layers = [
        _one_view(mesh, (position, axis, float(tangent)), height, width, shading, supersampling)
        for position, axis, tangent in zip(positions, axes, tangents, strict=True)
    ]
    image, opacity, depth, normals = torch.stack(layers).split([3, 1, 1, 3], dim=1)
    image = image + (1 - opacity) * backdrop
    depth = depth / opacity.clamp_min(1e-6)
    normals = functional.normalize(normals, dim=1) * opacity
    return RenderOutput(image, opacity, depth, normals, {})
