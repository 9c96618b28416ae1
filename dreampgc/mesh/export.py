"""Meshes to files that other programs open: glTF binary, OBJ, PLY, STL, USDZ.

World, glTF and USD agree: +y up, the front faces +z, metres. Files hold no dates and no paths of this machine; the
only names in them are those by which an OBJ finds its material and its texture, beside it.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dreampgc.errors import InputError
from dreampgc.files import replacing
from dreampgc.mesh.gltf import glb_bytes
from dreampgc.mesh.texture import encode_png
from dreampgc.mesh.topology import normals_of
from dreampgc.mesh.usd import require_usd, usdz_bytes
from dreampgc.types import Mesh

#: ``(mesh, name of companion files without suffix, longest side of an STL in millimetres)`` to contents by suffix.
Writer = Callable[[Mesh, str, float], Mapping[str, bytes]]


def check_formats(names: Sequence[str]) -> None:
    """Refuse formats (such as "glb") that cannot be written, before any time is spent.

    Raises:
        InputError: nothing writes it.
        MissingError: what writes it is not installed.
    """
    for name in names:
        if f".{name}" not in WRITERS:
            known = ", ".join(suffix.lstrip(".") for suffix in WRITERS)
            raise InputError(f"meshes cannot be written as {name!r}: choose from {known}")
        if name == "usdz":
            require_usd()


def export_mesh(mesh: Mesh, path: Path, *, size: float = 100.0) -> Path:
    """Write ``mesh`` in the format of ``path``'s suffix, whole or not at all; returns ``path``.

    A textured OBJ is three files: ``.mtl`` and ``.png`` are written beside it. ``size`` is the longest side of an
    STL, in millimetres; the other formats keep the world's units.

    Raises:
        InputError: the suffix is unknown, the mesh is empty or not finite, ``size`` is not positive, or the
            folder cannot be written to.
        MissingError: what writes the format is not installed.
    """
    writer = WRITERS.get(path.suffix.lower())
    if writer is None:
        raise InputError(f"cannot write a mesh to {path.name}: choose one of {', '.join(WRITERS)}")
    if len(mesh.faces) == 0 or not np.isfinite(mesh.vertices).all():
        raise InputError("the mesh is empty or has vertices that are not finite: there is nothing to write")
    if not 0 < size < float("inf"):
        raise InputError(f"the size of an STL is a positive number of millimetres, not {size}")
    name = "-".join(path.stem.split())  # readers of OBJ end a name at a space
    with ExitStack() as files:
        for suffix, content in writer(mesh, name, size).items():
            # Renamed when the stack unwinds, the last one first: so a file appears after what it needs.
            place = path if suffix == path.suffix.lower() else path.with_name(name + suffix)
            files.enter_context(replacing(place)).write_bytes(content)
    return path


def _obj(mesh: Mesh, name: str) -> dict[str, bytes]:
    """Wavefront OBJ with normals and its texture; where there is none, sRGB colours follow the positions."""
    texture = mesh.texture
    lines = ["# dreampgc"]
    corners = np.stack([mesh.faces, mesh.faces], axis=-1)
    columns = mesh.vertices
    if texture is not None:
        lines.append(f"mtllib {name}.mtl")
        # OBJ's v points up.
        lines += [f"vt {u:.6f} {1 - v:.6f}" for u, v in texture.coordinates.tolist()]
        corners = np.stack([mesh.faces, texture.corners, mesh.faces], axis=-1)
    elif mesh.colors is not None:
        columns = np.hstack([mesh.vertices, mesh.colors.clip(0, 1)])
    lines += ["v " + " ".join(f"{value:.7g}" for value in row) for row in columns.tolist()]
    lines += [f"vn {x:.5f} {y:.5f} {z:.5f}" for x, y, z in normals_of(mesh).tolist()]
    between = "//" if texture is None else "/"
    lines += [] if texture is None else ["usemtl surface"]
    lines += ["f " + " ".join(between.join(map(str, c)) for c in face) for face in (corners + 1).tolist()]
    files = {".obj": os.fsencode("\n".join(lines) + "\n")}
    if texture is not None:
        material = f"newmtl surface\nKa 0 0 0\nKd 1 1 1\nKs 0 0 0\nillum 1\nmap_Kd {name}.png\n"
        files |= {".mtl": os.fsencode(material), ".png": encode_png(texture.image)}
    return files


def _ply(mesh: Mesh) -> bytes:
    """Binary little-endian PLY with normals and, where there are any, colours in 8-bit sRGB."""
    names = ["x", "y", "z", "nx", "ny", "nz"]
    fields = [(name, "<f4") for name in names]
    columns: list[NDArray[Any]] = [*mesh.vertices.T, *normals_of(mesh).T]
    properties = [f"property float {name}" for name in names]
    if mesh.colors is not None:
        colors = (mesh.colors.clip(0, 1) * 255).round().astype(np.uint8)
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


#: Suffix to writer.
WRITERS: dict[str, Writer] = {
    ".glb": lambda mesh, _name, _size: {".glb": glb_bytes(mesh)},
    ".obj": lambda mesh, name, _size: _obj(mesh, name),
    ".ply": lambda mesh, _name, _size: {".ply": _ply(mesh)},
    ".stl": lambda mesh, _name, size: {".stl": _stl(mesh, size)},
    ".usdz": lambda mesh, _name, _size: {".usdz": usdz_bytes(mesh)},
}
