"""Property: written files are valid, whole, and say what the mesh says."""

import io
import json
import os
import shutil
import struct
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh
from PIL import Image
from trimesh.visual import ColorVisuals

from dreampgc.errors import InputError, MissingError
from dreampgc.mesh.export import WRITERS, check_formats, export_mesh
from dreampgc.mesh.gltf import linear_colors
from dreampgc.types import Mesh, Texture

BALL = trimesh.creation.icosphere(subdivisions=3)


def ball(colors: bool = True) -> Mesh:
    vertices = np.asarray(BALL.vertices, np.float32) * np.array([0.3, 0.6, 0.4], np.float32)
    return Mesh(vertices, np.asarray(BALL.faces, np.int64), vertices * 0.5 + 0.5 if colors else None)


def textured() -> Mesh:
    """The ball with a seam: each face's corners have places of their own, which no other face shares."""
    mesh = ball()
    count = len(mesh.faces)
    places = np.random.default_rng(0).random((3 * count, 2), np.float32)
    image = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)
    return Mesh(
        mesh.vertices, mesh.faces, mesh.colors, None, Texture(image, places, np.arange(3 * count).reshape(-1, 3))
    )


def big() -> Mesh:
    """More vertices than 16 bits count."""
    mesh = trimesh.creation.icosphere(subdivisions=7)
    return Mesh(np.asarray(mesh.vertices, np.float32), np.asarray(mesh.faces, np.int64))


def read_glb(path: Path) -> tuple[dict[str, Any], bytes]:
    content = path.read_bytes()
    magic, version, length = struct.unpack_from("<4sII", content)
    assert (magic, version, length) == (b"glTF", 2, len(content))
    size, kind = struct.unpack_from("<I4s", content, 12)
    assert kind == b"JSON" and size % 4 == 0
    binary, kind = struct.unpack_from("<I4s", content, 20 + size)
    assert kind == b"BIN\0" and 28 + size + binary == len(content)
    return json.loads(content[20 : 20 + size]), content[28 + size :]


def array(document: dict[str, Any], data: bytes, accessor: int) -> np.ndarray:
    entry = document["accessors"][accessor]
    view = document["bufferViews"][entry["bufferView"]]
    assert view["byteOffset"] % 4 == 0
    width = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}[entry["type"]]
    kind = {5126: "<f4", 5123: "<u2", 5125: "<u4"}[entry["componentType"]]
    values = np.frombuffer(data[view["byteOffset"] : view["byteOffset"] + view["byteLength"]], kind)
    assert len(values) == entry["count"] * width
    return values.reshape(-1, width)


@pytest.mark.parametrize("make", [ball, big])
def test_glb_holds_the_mesh(tmp_path: Path, make: Any) -> None:
    mesh = make()
    document, data = read_glb(export_mesh(mesh, tmp_path / "mesh.glb"))
    (primitive,) = document["meshes"][0]["primitives"]
    attributes = primitive["attributes"]
    np.testing.assert_array_equal(array(document, data, attributes["POSITION"]), mesh.vertices)
    np.testing.assert_array_equal(array(document, data, primitive["indices"]).reshape(-1, 3), mesh.faces)
    lengths = np.linalg.norm(array(document, data, attributes["NORMAL"]), axis=1)
    np.testing.assert_allclose(lengths, 1, atol=1e-5)
    position = document["accessors"][attributes["POSITION"]]
    assert position["min"] == mesh.vertices.min(0).tolist() and position["max"] == mesh.vertices.max(0).tolist()
    if mesh.colors is not None:
        colors = array(document, data, attributes["COLOR_0"]) / 65535
        np.testing.assert_allclose(colors[:, :3], linear_colors(mesh.colors), atol=1e-5)
        assert (colors[:, 3] == 1).all()


def khronos_report(path: Path) -> dict[str, Any]:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    command = [node, str(Path(__file__).with_name("validate_glb.cjs")), str(path)]
    answer = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ))
    if "Cannot find module 'gltf-validator'" in answer.stderr:
        pytest.skip("the npm package gltf-validator is not on NODE_PATH")
    assert answer.returncode == 0, answer.stderr
    return json.loads(answer.stdout)


@pytest.mark.parametrize("make", [ball, lambda: ball(colors=False), big, textured])
def test_khronos_validator_has_nothing_to_say(tmp_path: Path, make: Any) -> None:
    issues = khronos_report(export_mesh(make(), tmp_path / "mesh.glb"))["issues"]
    assert issues["numErrors"] == issues["numWarnings"] == issues["numInfos"] == 0, issues["messages"]


def test_linear_colors_are_the_inverse_of_srgb() -> None:
    # Values of the standard: 0.5 in sRGB is 0.2140 of linear light.
    np.testing.assert_allclose(
        linear_colors(np.array([0, 0.04, 0.5, 1], np.float32)), [0, 0.0030960, 0.2140411, 1], atol=1e-6
    )


@pytest.mark.parametrize("suffix", [".glb", ".obj"])
def test_trimesh_reads_the_texture_back(tmp_path: Path, suffix: str) -> None:
    mesh = textured()
    loaded: Any = trimesh.load_mesh(export_mesh(mesh, tmp_path / f"a mesh{suffix}"), process=False)
    assert mesh.texture is not None
    material = loaded.visual.material
    image = material.baseColorTexture if suffix == ".glb" else material.image
    np.testing.assert_array_equal(np.asarray(image.convert("RGB")), mesh.texture.image)
    np.testing.assert_allclose(loaded.vertices[loaded.faces], mesh.vertices[mesh.faces], atol=1e-6)
    # trimesh's v points up.
    places = np.stack([loaded.visual.uv[:, 0], 1 - loaded.visual.uv[:, 1]], axis=1)
    np.testing.assert_allclose(places[loaded.faces], mesh.texture.coordinates[mesh.texture.corners], atol=1e-6)


def test_a_textured_glb_has_no_colours_that_would_tint_it(tmp_path: Path) -> None:
    document, _ = read_glb(export_mesh(textured(), tmp_path / "mesh.glb"))
    (primitive,) = document["meshes"][0]["primitives"]
    assert set(primitive["attributes"]) == {"POSITION", "NORMAL", "TEXCOORD_0"}


def test_a_textured_obj_is_closed_and_names_its_companions(tmp_path: Path) -> None:
    path = export_mesh(textured(), tmp_path / "my car.obj")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["my car.obj", "my-car.mtl", "my-car.png"]
    text = path.read_text()
    assert "mtllib my-car.mtl" in text and "map_Kd my-car.png" in (tmp_path / "my-car.mtl").read_text()
    faces = [
        [int(corner.split("/")[0]) for corner in line.split()[1:]] for line in text.splitlines() if line[:2] == "f "
    ]
    np.testing.assert_array_equal(np.array(faces) - 1, textured().faces)


@pytest.mark.parametrize("make", [ball, textured])
def test_usd_reads_the_usdz_back(tmp_path: Path, make: Any) -> None:
    usd, geometry, validation = (pytest.importorskip(f"pxr.{name}") for name in ("Usd", "UsdGeom", "UsdValidation"))
    mesh = make()
    path = export_mesh(mesh, tmp_path / "mesh.usdz")
    stage = usd.Stage.Open(str(path))
    rules = validation.ValidationRegistry().GetOrLoadAllValidators()
    assert not [found.GetMessage() for found in validation.ValidationContext(rules).Validate(stage)]
    shape = geometry.Mesh(stage.GetPrimAtPath("/object/mesh"))
    np.testing.assert_array_equal(shape.GetPointsAttr().Get(), mesh.vertices)
    np.testing.assert_array_equal(np.reshape(shape.GetFaceVertexIndicesAttr().Get(), (-1, 3)), mesh.faces)
    primvars = geometry.PrimvarsAPI(shape)
    if mesh.texture is None:
        colors = np.asarray(primvars.GetPrimvar("displayColor").Get())
        np.testing.assert_allclose(colors, linear_colors(mesh.colors), atol=1e-6)
        return
    st = np.asarray(primvars.GetPrimvar("st").ComputeFlattened()).reshape(-1, 3, 2)
    expected = mesh.texture.coordinates[mesh.texture.corners]
    np.testing.assert_allclose(np.stack([st[..., 0], 1 - st[..., 1]], axis=-1), expected, atol=1e-6)
    with zipfile.ZipFile(path) as archive:
        image = Image.open(io.BytesIO(archive.read("texture.png")))
        np.testing.assert_array_equal(np.asarray(image), mesh.texture.image)


def test_usdz_without_usd_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for attempt in (lambda: check_formats(["glb", "usdz"]), lambda: export_mesh(ball(), tmp_path / "mesh.usdz")):
        with pytest.raises(MissingError, match=r"pip install 'dreampgc\[usd\]'"):
            attempt()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", [".glb", ".obj", ".ply", ".stl"])
def test_every_format_reads_back_closed(tmp_path: Path, suffix: str) -> None:
    mesh = ball()
    loaded = trimesh.load_mesh(export_mesh(mesh, tmp_path / f"mesh{suffix}"))
    assert loaded.is_watertight and loaded.volume > 0 and len(loaded.faces) == len(mesh.faces)


@pytest.mark.parametrize("suffix", [".obj", ".ply"])
def test_colours_stay_srgb(tmp_path: Path, suffix: str) -> None:
    mesh = ball()
    loaded = trimesh.load_mesh(export_mesh(mesh, tmp_path / f"mesh{suffix}"), process=False)
    assert mesh.colors is not None and isinstance(loaded.visual, ColorVisuals)
    np.testing.assert_allclose(loaded.visual.vertex_colors[:, :3] / 255, mesh.colors, atol=1.01 / 255)
    np.testing.assert_allclose(loaded.vertices, mesh.vertices, atol=1e-6)


def test_stl_is_in_millimetres_and_stands_upright(tmp_path: Path) -> None:
    loaded = trimesh.load_mesh(export_mesh(ball(), tmp_path / "mesh.stl", size=60.0))
    np.testing.assert_allclose(loaded.bounds, [[-15, -20, 0], [15, 20, 60]], atol=1e-3)


@pytest.mark.parametrize("suffix", list(WRITERS))
@pytest.mark.parametrize("make", [ball, textured])
def test_files_say_nothing_of_where_and_when_they_were_made(tmp_path: Path, suffix: str, make: Any) -> None:
    if suffix == ".usdz":
        pytest.importorskip("pxr")
    for folder in ("one", "two"):
        export_mesh(make(), tmp_path / folder / f"name{suffix}")
    for file in (tmp_path / "one").iterdir():
        content = file.read_bytes()
        assert os.fsencode(tmp_path) not in content and b"tmp" not in content
        assert content == (tmp_path / "two" / file.name).read_bytes()


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "mesh.glb"
    path.write_bytes(b"old")

    def fail(mesh: Mesh, name: str, size: float) -> dict[str, bytes]:
        raise OSError("disk full")

    monkeypatch.setitem(WRITERS, ".glb", fail)
    with pytest.raises(OSError, match="disk full"):
        export_mesh(ball(), path)
    assert path.read_bytes() == b"old" and [p.name for p in tmp_path.iterdir()] == ["mesh.glb"]


def test_of_an_obj_s_files_all_are_replaced_or_none(tmp_path: Path) -> None:
    (tmp_path / "mesh.png").mkdir()  # the texture cannot take its place
    (tmp_path / "mesh.obj").write_text("old")
    with pytest.raises(InputError, match=r"mesh\.png"):
        export_mesh(textured(), tmp_path / "mesh.obj")
    assert (tmp_path / "mesh.obj").read_text() == "old"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["mesh.obj", "mesh.png"]


def test_bad_requests_are_input_errors(tmp_path: Path) -> None:
    empty = Mesh(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.int64))
    with pytest.raises(InputError, match=r"\.glb, \.obj, \.ply, \.stl"):
        export_mesh(ball(), tmp_path / "mesh.fbx")
    with pytest.raises(InputError, match="empty"):
        export_mesh(empty, tmp_path / "mesh.glb")
    with pytest.raises(InputError, match="millimetres"):
        export_mesh(ball(), tmp_path / "mesh.stl", size=-1)
    (tmp_path / "folder.glb").mkdir()
    with pytest.raises(InputError, match="folder of that name"):
        export_mesh(ball(), tmp_path / "folder.glb")
