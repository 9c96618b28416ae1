"""Property and fault: a mesh that was written as GLB is read back, and a file that is not whole is refused."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import trimesh
from numpy.typing import NDArray

from dreampgc.errors import InputError
from dreampgc.mesh.container import pack, unpack
from dreampgc.mesh.gltf import glb_bytes, linear_colors, read_glb, srgb_colors
from dreampgc.mesh.topology import normals_of
from dreampgc.types import Mesh, Texture

BALL = trimesh.creation.icosphere(subdivisions=2)


def ball(*, colors: bool = True, texture: Texture | None = None) -> Mesh:
    vertices = np.asarray(BALL.vertices, np.float32) * np.array([0.3, 0.6, 0.4], np.float32)
    return Mesh(vertices, np.asarray(BALL.faces, np.int64), vertices * 0.8 + 0.5 if colors else None, None, texture)


def texture() -> Texture:
    """Every corner of every face has a place of its own: the whole mesh is seams."""
    places = np.random.default_rng(0).random((3 * len(BALL.faces), 2), np.float32)
    image = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)
    return Texture(image, places, np.arange(len(places)).reshape(-1, 3))


def read_back(mesh: Mesh, folder: Path) -> Mesh:
    (folder / "mesh.glb").write_bytes(glb_bytes(mesh))
    return read_glb(folder / "mesh.glb")


@pytest.mark.parametrize("colors", [True, False])
def test_a_mesh_comes_back_as_it_was(tmp_path: Path, colors: bool) -> None:
    mesh = ball(colors=colors)
    found = read_back(mesh, tmp_path)
    np.testing.assert_array_equal(found.vertices, mesh.vertices)
    np.testing.assert_array_equal(found.faces, mesh.faces)
    assert found.normals is not None
    np.testing.assert_array_equal(found.normals, normals_of(mesh))
    assert (found.colors is None) == (mesh.colors is None)
    if found.colors is not None and mesh.colors is not None:
        # 16 bits of linear light; the darkest sRGB is the steepest: 12.92 / 65535.
        np.testing.assert_allclose(found.colors, mesh.colors, atol=2e-4)
    assert glb_bytes(found) == glb_bytes(mesh)


def test_seams_are_closed_again(tmp_path: Path) -> None:
    mesh = ball(texture=texture())
    found = read_back(mesh, tmp_path)
    assert found.texture is not None and mesh.texture is not None
    assert len(found.vertices) == len(mesh.vertices)
    np.testing.assert_array_equal(found.vertices[found.faces], mesh.vertices[mesh.faces])
    np.testing.assert_array_equal(found.texture.image, mesh.texture.image)

    def places(of: Texture) -> NDArray[np.float32]:
        return of.coordinates[of.corners]

    np.testing.assert_array_equal(places(found.texture), places(mesh.texture))


def test_srgb_and_linear_light_are_inverse() -> None:
    values = np.linspace(0, 1, 1001, dtype=np.float32)
    np.testing.assert_allclose(srgb_colors(linear_colors(values)), values, atol=1e-6)


def test_a_file_that_is_cut_anywhere_is_refused(tmp_path: Path) -> None:
    whole, path = glb_bytes(ball()), tmp_path / "mesh.glb"
    for length in (0, 3, 12, 19, 40, 700, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match="not a whole GLB file"):
            unpack(path)
    with pytest.raises(InputError, match="No such file"):
        unpack(tmp_path / "nowhere.glb")


@pytest.mark.parametrize("document", ["[]", "null", "{", '{"bufferViews": [{"byteLength": 9}]}', '{"bufferViews": 5}'])
def test_a_document_that_does_not_fit_its_buffer_is_refused(tmp_path: Path, document: str) -> None:
    text = document.encode() + b" " * (-len(document) % 4)
    chunks = struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", 8, b"BIN\0") + bytes(8)
    (tmp_path / "mesh.glb").write_bytes(struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks)
    with pytest.raises(InputError, match="not a whole GLB file"):
        unpack(tmp_path / "mesh.glb")


def test_another_program_s_file_is_refused_by_the_reader(tmp_path: Path) -> None:
    (tmp_path / "mesh.glb").write_bytes(pack({"asset": {"version": "2.0"}, "meshes": []}, b""))
    with pytest.raises(InputError, match="not laid out as dreampgc does"):
        read_glb(tmp_path / "mesh.glb")
