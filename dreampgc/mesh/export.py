"""Meshes to files that other programs open: glTF binary, OBJ, PLY, STL.

World and glTF agree: +y up, the front faces +z. Files hold no names, dates or paths of this machine.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dreampgc.errors import InputError
from dreampgc.files import replacing
from dreampgc.mesh.topology import vertex_normals
from dreampgc.types import Mesh

#: Numbers that glTF gives to its types, targets and modes.
FLOAT, UNSIGNED_SHORT, UNSIGNED_INT = 5126, 5123, 5125
ARRAY_BUFFER, ELEMENT_ARRAY_BUFFER = 34962, 34963
TRIANGLES = 4


def export_mesh(mesh: Mesh, path: Path, *, size: float = 100.0) -> Path:
    """Write ``mesh`` in the format of ``path``'s suffix, whole or not at all; returns ``path``.

    ``size`` is the longest side of an STL, in millimetres; the other formats keep the world's units.

    Raises:
        InputError: the suffix is unknown, the mesh is empty or not finite, ``size`` is not positive, or the
            folder cannot be written to.
    """
    writer = WRITERS.get(path.suffix.lower())
    if writer is None:
        raise InputError(f"cannot write a mesh to {path.name}: choose one of {', '.join(WRITERS)}")
    if len(mesh.faces) == 0 or not np.isfinite(mesh.vertices).all():
        raise InputError("the mesh is empty or has vertices that are not finite: there is nothing to write")
    if not 0 < size < float("inf"):
        raise InputError(f"the size of an STL is a positive number of millimetres, not {size}")
    with replacing(path) as temporary:
        temporary.write_bytes(writer(mesh, size))
    return path


def _normals(mesh: Mesh) -> NDArray[np.float32]:
    return vertex_normals(mesh.vertices, mesh.faces) if mesh.normals is None else mesh.normals


def linear_colors(srgb: NDArray[np.float32]) -> NDArray[np.float64]:
    """Linear light in [0,1] of sRGB values in [0,1] (IEC 61966-2-1)."""
    values = srgb.astype(np.float64).clip(0, 1)
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def _bytes_of_colors(mesh: Mesh) -> NDArray[np.uint8] | None:
    return None if mesh.colors is None else (mesh.colors.clip(0, 1) * 255).round().astype(np.uint8)


class _Buffer:
    """The binary chunk of a glTF file, with the accessors that point into it."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.views: list[dict[str, Any]] = []
        self.accessors: list[dict[str, Any]] = []

    def add(self, values: NDArray[Any], component: int, kind: str, target: int, **extra: Any) -> int:
        """Append an array, aligned to four bytes; returns the number of its accessor."""
        content = values.tobytes()
        self.views.append({"buffer": 0, "byteOffset": len(self.data), "byteLength": len(content), "target": target})
        self.data += content + bytes(-len(content) % 4)
        accessor = {"bufferView": len(self.views) - 1, "componentType": component, "count": len(values), "type": kind}
        self.accessors.append(accessor | extra)
        return len(self.accessors) - 1


def _gltf_attributes(mesh: Mesh, buffer: _Buffer) -> dict[str, int]:
    low, high = (bound.tolist() for bound in (mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)))
    positions = mesh.vertices.astype("<f4")
    attributes = {
        "POSITION": buffer.add(positions, FLOAT, "VEC3", ARRAY_BUFFER, min=low, max=high),
        "NORMAL": buffer.add(_normals(mesh).astype("<f4"), FLOAT, "VEC3", ARRAY_BUFFER),
    }
    if mesh.colors is not None:
        # glTF's vertex colours are linear: 8 bits would show bands in the dark. Alpha keeps each at 8 bytes.
        rgba = np.concatenate([linear_colors(mesh.colors), np.ones((len(mesh.colors), 1))], axis=1)
        shorts = (rgba * 65535).round().astype("<u2")
        attributes["COLOR_0"] = buffer.add(shorts, UNSIGNED_SHORT, "VEC4", ARRAY_BUFFER, normalized=True)
    return attributes


def _glb(mesh: Mesh, _size: float) -> bytes:
    """Binary glTF 2.0: one mesh with normals and linear vertex colours, one rough dielectric material."""
    buffer = _Buffer()
    attributes = _gltf_attributes(mesh, buffer)
    short = len(mesh.vertices) < 65535
    component, kind = (UNSIGNED_SHORT, "<u2") if short else (UNSIGNED_INT, "<u4")
    indices = buffer.add(mesh.faces.astype(kind).ravel(), component, "SCALAR", ELEMENT_ARRAY_BUFFER)
    surface = {"baseColorFactor": [1, 1, 1, 1], "metallicFactor": 0, "roughnessFactor": 0.9}
    primitive = {"attributes": attributes, "indices": indices, "material": 0, "mode": TRIANGLES}
    document = {
        "asset": {"version": "2.0", "generator": "dreampgc"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [primitive]}],
        "materials": [{"pbrMetallicRoughness": surface, "doubleSided": False}],
        "buffers": [{"byteLength": len(buffer.data)}],
        "bufferViews": buffer.views,
        "accessors": buffer.accessors,
    }
    text = json.dumps(document, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<I4s", len(text), b"JSON") + text
    chunks += struct.pack("<I4s", len(buffer.data), b"BIN\0") + bytes(buffer.data)
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


def _obj(mesh: Mesh, _size: float) -> bytes:
    """Wavefront OBJ with normals; colours follow the positions, in sRGB, as MeshLab and Blender read them."""
    columns = mesh.vertices if mesh.colors is None else np.hstack([mesh.vertices, mesh.colors.clip(0, 1)])
    lines = ["# dreampgc"]
    lines += ["v " + " ".join(f"{value:.7g}" for value in row) for row in columns.tolist()]
    lines += [f"vn {x:.5f} {y:.5f} {z:.5f}" for x, y, z in _normals(mesh).tolist()]
    lines += [f"f {a}//{a} {b}//{b} {c}//{c}" for a, b, c in (mesh.faces + 1).tolist()]
    return ("\n".join(lines) + "\n").encode("ascii")


def _ply(mesh: Mesh, _size: float) -> bytes:
    """Binary little-endian PLY with normals and, where there are any, colours in 8-bit sRGB."""
    names = ["x", "y", "z", "nx", "ny", "nz"]
    fields = [(name, "<f4") for name in names]
    columns: list[NDArray[Any]] = [*mesh.vertices.T, *_normals(mesh).T]
    properties = [f"property float {name}" for name in names]
    colors = _bytes_of_colors(mesh)
    if colors is not None:
        fields += [(name, "u1") for name in ("red", "green", "blue")]
        columns += [*colors.T]
        properties += [f"property uchar {name}" for name in ("red", "green", "blue")]
    vertices = np.zeros(len(mesh.vertices), dtype=fields)
    for (name, _), column in zip(fields, columns, strict=True):
        vertices[name] = column
    faces = np.zeros(len(mesh.faces), dtype=[("count", "u1"), ("corners", "<i4", 3)])
    faces["count"], faces["corners"] = 3, mesh.faces
    head = ["ply", "format binary_little_endian 1.0", f"element vertex {len(vertices)}", *properties]
    head += [f"element face {len(faces)}", "property list uchar int vertex_indices", "end_header", ""]
    return "\n".join(head).encode("ascii") + vertices.tobytes() + faces.tobytes()


def _stl(mesh: Mesh, size: float) -> bytes:
    """Binary STL for printing: millimetres, +z up, standing on z = 0 in the middle of the plate."""
    x, y, z = mesh.vertices.astype(np.float64).T
    points = np.stack([x, -z, y], axis=1)
    low, high = points.min(axis=0), points.max(axis=0)
    points = (points - [*(low + high)[:2] / 2, low[2]]) * (size / (high - low).max())
    corners = points[mesh.faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-30)
    records = np.zeros(len(corners), dtype=[("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
    records["normal"], records["corners"] = normals, corners
    return b"dreampgc, millimetres, +z up".ljust(80, b"\0") + struct.pack("<I", len(records)) + records.tobytes()


#: Suffix to writer: ``(mesh, longest side of an STL in millimetres)`` to the file's content.
WRITERS: dict[str, Callable[[Mesh, float], bytes]] = {".glb": _glb, ".obj": _obj, ".ply": _ply, ".stl": _stl}
