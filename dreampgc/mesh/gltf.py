"""Meshes as binary glTF 2.0: one mesh, one rough dielectric material, its texture inside the file."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dreampgc.errors import InputError
from dreampgc.mesh.container import pack, unpack
from dreampgc.mesh.texture import cut_at_seams, encode_png
from dreampgc.mesh.topology import normals_of
from dreampgc.types import Mesh, Texture

#: Numbers that glTF gives to its types, targets, modes, filters and wraps.
FLOAT, UNSIGNED_SHORT, UNSIGNED_INT = 5126, 5123, 5125
ARRAY_BUFFER, ELEMENT_ARRAY_BUFFER = 34962, 34963
TRIANGLES = 4
LINEAR, LINEAR_MIPMAP_LINEAR, CLAMP_TO_EDGE = 9729, 9987, 33071

#: How accessors' numbers lie in the buffer, and how many belong together.
_TYPES = {FLOAT: "<f4", UNSIGNED_SHORT: "<u2", UNSIGNED_INT: "<u4"}
_WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}

#: The material's, in programs that light it.
ROUGHNESS = 0.9


def glb_bytes(mesh: Mesh) -> bytes:
    """The file of ``mesh`` with normals, and its texture or, where there is none, linear vertex colours."""
    buffer = _Buffer()
    surface: dict[str, Any] = {"baseColorFactor": [1, 1, 1, 1], "metallicFactor": 0, "roughnessFactor": ROUGHNESS}
    document: dict[str, Any] = {
        "asset": {"version": "2.0", "generator": "dreampgc"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [_primitive(cut_at_seams(mesh), buffer)]}],
        "materials": [{"pbrMetallicRoughness": surface, "doubleSided": False}],
    }
    if mesh.texture is not None:
        view = buffer.append(encode_png(mesh.texture.image))
        wrap = {"wrapS": CLAMP_TO_EDGE, "wrapT": CLAMP_TO_EDGE}
        surface["baseColorTexture"] = {"index": 0}
        document["textures"] = [{"source": 0, "sampler": 0}]
        document["images"] = [{"bufferView": view, "mimeType": "image/png"}]
        document["samplers"] = [{"magFilter": LINEAR, "minFilter": LINEAR_MIPMAP_LINEAR, **wrap}]
    document |= {"buffers": [{"byteLength": len(buffer.data)}]}
    document |= {"bufferViews": buffer.views, "accessors": buffer.accessors}
    return pack(document, bytes(buffer.data))


def read_glb(path: Path) -> Mesh:
    """The mesh in a file that `glb_bytes` made: seams are closed again, colours are as fine as the file has them.

    Raises:
        InputError: the file cannot be read, is damaged, or is another program's.
    """
    document, data = unpack(path)
    try:
        return _mesh(document, data)
    except (KeyError, IndexError, ValueError, TypeError, OSError) as error:
        raise InputError(f"cannot read the mesh in {path}: it is not laid out as dreampgc does") from error


def linear_colors(srgb: NDArray[np.float32]) -> NDArray[np.float64]:
    """Linear light in [0,1] of sRGB values in [0,1] (IEC 61966-2-1)."""
    values = srgb.astype(np.float64).clip(0, 1)
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def srgb_colors(linear: NDArray[np.float64]) -> NDArray[np.float32]:
    """sRGB values in [0,1] of linear light in [0,1]: the inverse of `linear_colors`."""
    srgb = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    return srgb.astype(np.float32)


class _Buffer:
    """The binary chunk of a glTF file, with the views and accessors that point into it."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.views: list[dict[str, Any]] = []
        self.accessors: list[dict[str, Any]] = []

    def append(self, content: bytes, **extra: Any) -> int:
        """Append bytes, aligned to four; returns the number of their view."""
        self.views.append({"buffer": 0, "byteOffset": len(self.data), "byteLength": len(content), **extra})
        self.data += content + bytes(-len(content) % 4)
        return len(self.views) - 1

    def add(self, values: NDArray[Any], component: int, kind: str, target: int, **extra: Any) -> int:
        """Append an array; returns the number of its accessor."""
        view = self.append(values.tobytes(), target=target)
        accessor = {"bufferView": view, "componentType": component, "count": len(values), "type": kind}
        self.accessors.append(accessor | extra)
        return len(self.accessors) - 1


def _primitive(mesh: Mesh, buffer: _Buffer) -> dict[str, Any]:
    """The triangles of a mesh whose texture, if it has one, has one place for each vertex."""
    low, high = (bound.tolist() for bound in (mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)))
    attributes = {
        "POSITION": buffer.add(mesh.vertices.astype("<f4"), FLOAT, "VEC3", ARRAY_BUFFER, min=low, max=high),
        "NORMAL": buffer.add(normals_of(mesh).astype("<f4"), FLOAT, "VEC3", ARRAY_BUFFER),
    }
    if mesh.texture is not None:
        attributes["TEXCOORD_0"] = buffer.add(mesh.texture.coordinates.astype("<f4"), FLOAT, "VEC2", ARRAY_BUFFER)
    elif mesh.colors is not None:
        # glTF's vertex colours are linear: 8 bits would show bands in the dark. Alpha keeps each at 8 bytes.
        rgba = np.concatenate([linear_colors(mesh.colors), np.ones((len(mesh.colors), 1))], axis=1)
        shorts = (rgba * 65535).round().astype("<u2")
        attributes["COLOR_0"] = buffer.add(shorts, UNSIGNED_SHORT, "VEC4", ARRAY_BUFFER, normalized=True)
    component, kind = (UNSIGNED_SHORT, "<u2") if len(mesh.vertices) < 65535 else (UNSIGNED_INT, "<u4")
    indices = buffer.add(mesh.faces.astype(kind).ravel(), component, "SCALAR", ELEMENT_ARRAY_BUFFER)
    return {"attributes": attributes, "indices": indices, "material": 0, "mode": TRIANGLES}


def _mesh(document: dict[str, Any], data: bytes) -> Mesh:
    """The mesh of a document of `glb_bytes`, with one vertex for all copies of it that seams made."""
    [primitive] = document["meshes"][0]["primitives"]

    def view(number: int) -> bytes:
        place = document["bufferViews"][number]
        return data[place["byteOffset"] : place["byteOffset"] + place["byteLength"]]

    def array(number: int) -> NDArray[Any]:
        accessor = document["accessors"][number]
        values = np.frombuffer(view(accessor["bufferView"]), _TYPES[accessor["componentType"]])
        return values.reshape(accessor["count"], _WIDTHS[accessor["type"]])

    found = {name: array(number) for name, number in primitive["attributes"].items()}
    corners = array(primitive["indices"]).astype(np.int64).reshape(-1, 3)
    if "TEXCOORD_0" not in found:
        colors = srgb_colors(found["COLOR_0"][:, :3] / 65535) if "COLOR_0" in found else None
        return Mesh(found["POSITION"], corners, colors, found["NORMAL"])
    both = np.hstack([found["POSITION"], found["NORMAL"]])
    welded, origin = np.unique(both, axis=0, return_inverse=True)
    image = np.asarray(Image.open(io.BytesIO(view(document["images"][0]["bufferView"]))).convert("RGB"))
    texture = Texture(image, found["TEXCOORD_0"], corners)
    return Mesh(welded[:, :3].copy(), origin.reshape(-1)[corners], None, welded[:, 3:].copy(), texture)
