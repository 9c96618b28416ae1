"""Integration and fault: what comes out of a finished run, whole or with files that were lost."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
import torch
import trimesh
from PIL import Image, ImageSequence

from dreampgc import exporting
from dreampgc.cameras import orbit_views
from dreampgc.cli import run_command
from dreampgc.config import changed
from dreampgc.console import Console
from dreampgc.render.mesh import render_mesh
from dreampgc.runs import Run
from dreampgc.trained import load_field
from dreampgc.types import Mesh
from tests.commands import refused

QUIET = Console(quiet=True)


def rendered(run: Path, folder: Path, *options: str) -> list[np.ndarray]:
    """The pictures of ``dreampgc render``, which wrote them into a folder."""
    assert run_command(["render", str(run), "--output", str(folder), *options]) == 0
    return [np.asarray(Image.open(path)) for path in sorted(folder.iterdir())]


@pytest.mark.parametrize("suffix", ["glb", "obj", "ply", "stl"])
def test_every_format_is_exported_with_options_of_its_own(run: Path, suffix: str) -> None:
    assert run_command(["export", str(run), "--format", suffix, "--faces", "200", "--resolution", "20"]) == 0
    mesh = trimesh.load(run / f"mesh.{suffix}", force="mesh")
    assert isinstance(mesh, trimesh.Trimesh)
    assert 50 < len(mesh.faces) <= 200
    assert Run(run).config.mesh.faces == 500  # the run's own configuration stays


def test_one_export_writes_all_formats_with_a_texture(run: Path) -> None:
    line = ["--format", "glb,obj", "--format", "ply", "--texture-size", "64"]
    assert run_command(["export", str(run), *line]) == 0
    loaded: dict[str, Any] = {
        name: trimesh.load_mesh(run / f"mesh.{name}", process=False) for name in ("glb", "obj", "ply")
    }
    image = loaded["glb"].visual.material.baseColorTexture
    assert image.size == loaded["obj"].visual.material.image.size == (64, 64)
    colors = np.asarray(loaded["ply"].visual.vertex_colors)[:, :3]
    assert np.abs(np.asarray(image.convert("RGB")).mean(axis=(0, 1)) - colors.mean(axis=0)).max() < 25
    assert loaded["ply"].is_watertight


@pytest.fixture
def small_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Textures are fitted to small pictures."""
    monkeypatch.setattr(exporting, "FIT_SIZE", 64)


@pytest.mark.usefixtures("small_fits")
def test_a_fitted_texture_shows_what_the_field_shows(run: Path) -> None:
    config = changed(Run(run).config, {"mesh.texture_size": 128, "mesh.resolution": 32})
    trained = load_field(Run(run), config, None, QUIET)
    mesh = exporting.mesh_of(trained, config)
    fitted = exporting.fitted(mesh, trained, config)
    views = orbit_views(3, elevation=15.0)
    image, opacity = exporting.field_pictures(trained, config, views, 64)

    def error(one: Mesh) -> float:
        shown = render_mesh(one, views, height=64, width=64, shading="albedo", background=torch.ones(3))
        inside = (shown.opacity == 1) & (opacity > 0.98)
        assert inside.sum() > 100
        return ((shown.image - image).abs() * inside).sum().item() / inside.sum().item()

    assert error(fitted) < 0.9 * error(mesh)


@pytest.mark.usefixtures("small_fits")
def test_fitting_a_texture_wants_a_texture(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "texture_size" in refused(capsys, "export", str(run), "--fit-texture")
    line = ["export", str(run), "--texture-size", "64"]
    assert run_command(line) == 0
    plain = (run / "mesh.glb").read_bytes()
    assert run_command([*line, "--fit-texture"]) == 0
    assert (run / "mesh.glb").read_bytes() != plain


def test_a_checkpoint_is_exported_by_its_step_and_by_its_folder(run: Path) -> None:
    assert run_command(["export", str(run), "--checkpoint", "3"]) == 0
    assert (run / "mesh-000003.glb").read_bytes() == (run / "mesh.glb").read_bytes()
    (run / "mesh-000003.glb").unlink()
    assert run_command(["export", str(run / "checkpoints" / "step-000003")]) == 0
    assert (run / "mesh-000003.glb").read_bytes() == (run / "mesh.glb").read_bytes()


def test_export_takes_the_format_from_the_output_s_suffix(run: Path, tmp_path: Path) -> None:
    assert run_command(["export", str(run), "--output", str(tmp_path / "car.PLY")]) == 0
    mesh = trimesh.load(tmp_path / "car.PLY", file_type="ply", force="mesh")
    assert isinstance(mesh, trimesh.Trimesh)
    assert mesh.is_watertight


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--format", "glb", "--format", "obj", "--output", "x.glb"], "2 formats"),
        (["--format", "obj", "--output", "x.glb"], "does not end in .obj"),
        (["--output", "x.exe"], "'exe'"),
        (["--format", "glb,exe"], "'exe'"),
        (["--texture-size", "9"], "mesh.texture_size = 9"),
        (["--faces", "1"], "mesh.faces = 1"),
        (["--checkpoint", "2"], "no checkpoint of step 2; it has 3"),
    ],
)
def test_exports_that_make_no_sense_are_refused(
    capsys: pytest.CaptureFixture[str], finished: Path, arguments: list[str], says: str
) -> None:
    assert says in refused(capsys, "export", str(finished), *arguments)
    assert not Path("x.glb").exists()


@pytest.mark.parametrize("suffix", ["webp", "gif", "webm", "mp4"])
def test_turntables(run: Path, tmp_path: Path, suffix: str) -> None:
    output = tmp_path / f"turn.{suffix}"
    assert run_command(["render", str(run), "--output", str(output)]) == 0
    if suffix in ("webm", "mp4"):
        with av.open(str(output)) as video:
            stream = video.streams.video[0]
            assert stream.codec_context.name == {"webm": "vp9", "mp4": "h264"}[suffix]
            assert [(frame.width, frame.height) for frame in video.decode(stream)] == [(24, 24)] * 2
        return
    with Image.open(output) as animation:
        assert (len(list(ImageSequence.Iterator(animation))), animation.size) == (2, (24, 24))


def test_turntables_have_the_size_the_length_and_the_camera_that_were_asked_for(run: Path, tmp_path: Path) -> None:
    level = rendered(run, tmp_path / "level", "--resolution", "40", "--frames", "3", "--elevation", "0")
    above = rendered(run, tmp_path / "above", "--resolution", "40", "--frames", "3", "--elevation", "90")
    assert [frame.shape for frame in level] == [frame.shape for frame in above] == [(40, 40, 3)] * 3
    assert not np.array_equal(level[0], level[1])
    # Seen from right above, one turn of the camera is one turn of the picture.
    look = ["--mode", "depth", "--resolution", "40", "--frames", "2", "--elevation", "90"]
    single = rendered(run, tmp_path / "single", *look)
    assert np.abs(single[0].astype(int) - np.rot90(single[1], 2)).mean() < 2


def test_modes_show_what_they_say(run: Path, tmp_path: Path) -> None:
    modes = ("albedo", "shaded", "normals", "depth")
    front = {mode: rendered(run, tmp_path / mode, "--mode", mode, "--resolution", "48")[0] for mode in modes}
    solid = cv2.erode((front["depth"][..., 0] > 0).astype(np.uint8), np.ones((3, 3))) > 0
    assert 0.05 < solid.mean() < 0.9
    assert (front["depth"][0, 0] == 0).all()
    assert (np.ptp(front["depth"], axis=-1) == 0).all()
    # Normals that face the camera on +z have more than half of blue.
    assert front["normals"][solid][:, 2].mean() > 140
    assert not np.array_equal(front["albedo"][solid], front["shaded"][solid])
    assert np.array_equal(front["albedo"][0, 0], front["shaded"][0, 0])


def test_other_modes_do_not_take_the_place_of_the_run_s_turntable(run: Path) -> None:
    before = (run / "turntable.webp").read_bytes()
    assert run_command(["render", str(run), "--mode", "normals"]) == 0
    assert (run / "turntable.webp").read_bytes() == before
    assert (run / "turntable-normals.webp").is_file()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--output", "turn.avi"], "turn.avi"),
        (["--elevation", "91"], "--elevation = 91"),
        (["--elevation", "nan"], "--elevation = nan"),
        (["--resolution", "5"], "mesh.turntable_size = 5"),
        (["--frames", "1001"], "mesh.turntable_frames = 1001"),
        (["--mode", "xray"], "xray"),
    ],
)
def test_turntables_that_make_no_sense_are_refused(
    capsys: pytest.CaptureFixture[str], finished: Path, arguments: list[str], says: str
) -> None:
    assert says in refused(capsys, "render", str(finished), *arguments)


def test_h264_without_its_package_names_the_extra(
    capsys: pytest.CaptureFixture[str], finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "pip install 'dreampgc[video]'" in refused(capsys, "render", str(finished), "--output", "a.mp4", code=3)


def test_a_folder_of_pictures(run: Path, tmp_path: Path) -> None:
    exporting.turntable(run, output=tmp_path / "frames", console=QUIET)
    assert sorted(path.name for path in (tmp_path / "frames").iterdir()) == ["frame-0000.png", "frame-0001.png"]


# Runs that lost files


def lose(run: Path, *names: str) -> None:
    for name in names:
        shutil.rmtree(run / name) if (run / name).is_dir() else (run / name).unlink()


@pytest.mark.parametrize(
    ("lost", "says"),
    [
        (["checkpoints"], "no checkpoint"),
        (["config.toml"], "config.toml"),
        (["config.toml", "checkpoints", "run.json", "metrics.jsonl"], "config.toml"),
    ],
)
def test_where_the_field_is_lost_the_finished_mesh_is_taken(
    capsys: pytest.CaptureFixture[str], run: Path, tmp_path: Path, lost: list[str], says: str
) -> None:
    whole = (run / "mesh.glb").read_bytes()
    lose(run, *lost)
    assert run_command(["export", str(run), "--format", "glb,obj"]) == 0
    warning = capsys.readouterr().err
    assert says in warning and "taking" in warning
    assert (run / "mesh.glb").read_bytes() == whole
    assert (run / "mesh.obj").is_file()
    assert len(rendered(run, tmp_path / "frames", "--frames", "2", "--resolution", "24")) == 2


def test_a_run_with_a_lost_configuration_is_exported_from_inside(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lose(run, "config.toml")
    monkeypatch.chdir(run)
    assert run_command(["export", ".", "--format", "ply"]) == 0
    assert (run / "mesh.ply").is_file()


def test_a_lost_record_and_lost_pictures_do_not_stop_an_export(run: Path) -> None:
    whole = (run / "mesh.glb").read_bytes()
    lose(run, "run.json", "mesh.glb", "turntable.webp", "previews", "gradients", "metrics.jsonl")
    assert run_command(["export", str(run)]) == 0
    assert (run / "mesh.glb").read_bytes() == whole


def test_a_finished_mesh_cannot_stand_in_for_a_checkpoint_or_for_other_numbers(
    capsys: pytest.CaptureFixture[str], run: Path
) -> None:
    lose(run, "checkpoints")
    assert "no checkpoint" in refused(capsys, "export", str(run), "--faces", "200")
    assert "no checkpoint of step 3" in refused(capsys, "export", str(run), "--checkpoint", "3")
    lose(run, "mesh.glb")
    assert "no checkpoint" in refused(capsys, "export", str(run))
    assert "no checkpoint" in refused(capsys, "render", str(run))


def test_a_cut_mesh_is_not_taken(capsys: pytest.CaptureFixture[str], run: Path) -> None:
    lose(run, "checkpoints")
    (run / "mesh.glb").write_bytes((run / "mesh.glb").read_bytes()[:-100])
    assert run_command(["export", str(run)]) == 2
    assert "not a whole GLB file" in capsys.readouterr().err
