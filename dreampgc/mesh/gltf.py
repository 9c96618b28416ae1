"""Binary glTF 2.0: one mesh, one rough dielectric material, its texture inside the file."""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dreampgc.mesh.texture import cut_at_seams, encode_png
from dreampgc.mesh.topology import normals_of
from dreampgc.types import Mesh

#: Numbers that glTF gives to its types, targets, modes, filters and wraps.
FLOAT, UNSIGNED_SHORT, UNSIGNED_INT = 5126, 5123, 5125
ARRAY_BUFFER, ELEMENT_ARRAY_BUFFER = 34962, 34963
TRIANGLES = 4
LINEAR, LINEAR_MIPMAP_LINEAR, CLAMP_TO_EDGE = 9729, 9987, 33071

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
    return _container(document, bytes(buffer.data))


def linear_colors(srgb: NDArray[np.float32]) -> NDArray[np.float64]:
    """Linear light in [0,1] of sRGB values in [0,1] (IEC 61966-2-1)."""
    values = srgb.astype(np.float64).clip(0, 1)
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


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


def _container(document: dict[str, Any], data: bytes) -> bytes:
    """The binary file of a glTF document and its buffer."""
    text = json.dumps(document, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<I4s", len(text), b"JSON") + text
    chunks += struct.pack("<I4s", len(data), b"BIN\0") + data
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks
