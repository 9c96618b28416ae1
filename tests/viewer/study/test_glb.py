"""Integration and fault: what a voter's browser gets does not say who made it."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh

from dreampgc.errors import InputError
from dreampgc.viewer.study.glb import anonymous_glb, check_glb
from tests.viewer.study.clients import glb_parts, write_mesh


def joined(document: dict[str, Any], rest: bytes) -> bytes:
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    return struct.pack("<4sIII4s", b"glTF", 2, 20 + len(text) + len(rest), len(text), b"JSON") + text + rest


@pytest.fixture
def mesh(tmp_path: Path) -> Path:
    return write_mesh(tmp_path / "pgc-n" / "mesh.glb")


@pytest.fixture
def marked(mesh: Path) -> Path:
    """A mesh as other programs write them: everything has a name."""
    document, rest = glb_parts(mesh.read_bytes())
    document["asset"] |= {"generator": "OurMethod 3", "copyright": "OurMethod", "extras": {"by": "OurMethod"}}
    for key in ("scenes", "nodes", "meshes", "materials", "accessors", "bufferViews"):
        document[key][0] |= {"name": "OurMethod", "extras": {"OurMethod": [1]}}
    document["extensions"] = {"KHR_xmp_json_ld": {"packets": [{"dc:creator": "OurMethod"}]}}
    mesh.with_name("marked.glb").write_bytes(joined(document, rest))
    return mesh.with_name("marked.glb")


def test_marks_go_and_geometry_stays(marked: Path, mesh: Path, tmp_path: Path) -> None:
    clean = anonymous_glb(marked)
    assert b"OurMethod" in marked.read_bytes()
    assert b"OurMethod" not in clean
    document, rest = glb_parts(clean)
    assert document["asset"] == {"version": "2.0"}
    assert rest == glb_parts(marked.read_bytes())[1]
    place = tmp_path / "clean.glb"
    place.write_bytes(clean)
    check_glb(place)
    before, after = (trimesh.load_mesh(path, process=False) for path in (mesh, place))
    np.testing.assert_array_equal(before.vertices, after.vertices)
    np.testing.assert_array_equal(before.faces, after.faces)
    assert anonymous_glb(place) == clean


def test_meshes_of_our_own_name_the_program_at_most(mesh: Path) -> None:
    document, _ = glb_parts(mesh.read_bytes())
    assert document["asset"].pop("generator") == "dreampgc"
    assert glb_parts(anonymous_glb(mesh))[0] == document


def damaged(content: bytes) -> dict[str, bytes]:
    document, rest = glb_parts(content)
    return {
        "empty": b"",
        "text": b"not a mesh at all, just a text",
        "older": content[:4] + b"\1" + content[5:],
        "no JSON": content[:20] + b"}" + content[21:],
        "a list": joined([], rest),  # pyright: ignore[reportArgumentType]
        "deep": content[:12] + struct.pack("<I4s", 200_000, b"JSON") + b"[" * 200_000,
        "cut off": content[:-8],
        "odd": joined(document | {"buffers": ["one"]}, rest),
        "elsewhere": joined(document | {"images": [{"uri": "vae.png"}]}, rest),
        "compressed": joined(document | {"extensionsRequired": ["KHR_draco_mesh_compression"]}, rest),
    }


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        *((kind, "not a whole GLB") for kind in ("empty", "text", "older", "no JSON", "a list", "deep", "cut off")),
        ("odd", "no glTF"),
        ("elsewhere", "another file"),
        ("compressed", "compressed with KHR_draco"),
    ],
)
def test_what_the_page_cannot_show_is_refused(mesh: Path, kind: str, reason: str) -> None:
    mesh.write_bytes(damaged(mesh.read_bytes())[kind])
    with pytest.raises(InputError, match=reason):
        check_glb(mesh)


def test_what_is_gone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read"):
        check_glb(tmp_path / "gone.glb")
