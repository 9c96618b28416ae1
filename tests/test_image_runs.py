"""Integration and fault: whole image runs through the pipeline, with a tiny random Zero123."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from dreampgc import pipeline
from dreampgc.cli import run_command
from dreampgc.config import RunConfig
from dreampgc.console import Console
from dreampgc.errors import Interrupted
from dreampgc.priors import catalog
from dreampgc.priors.catalog import PriorSource, resolve_views
from dreampgc.priors.diffusion import DiffusionPrior
from dreampgc.runs import Run, create_run
from dreampgc.viewer.reading import read_run
from tests.commands import refused
from tests.photographs import image_config, write_photo
from tests.small_runs import SMALL, StopsAt, metrics, require_same

QUIET = Console(quiet=True)


@pytest.fixture(scope="module")
def done(tiny_zero123: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three steps from two pictures to a turntable, not to be changed."""
    folder = tmp_path_factory.mktemp("image")
    front, side = write_photo(folder / "front.png"), write_photo(folder / "side.png")
    options = {"image__views": ((str(side), 90.0, 0.0),), "image__elevation": "auto", "image__sketch": 0.3}
    config = image_config(front, prior=str(tiny_zero123), loop__steps=3, **options)
    path = pipeline.create(config, folder / "run", QUIET)
    front.unlink()
    side.unlink()
    return path


@pytest.fixture
def run(done: Path, tmp_path: Path) -> Path:
    return shutil.copytree(done, tmp_path / "run")


def arguments(file: Path, tiny_zero123: Path, output: Path, **options: Any) -> list[str]:
    """A small image run as a command line."""
    chosen = SMALL | {"image.framing": "keep", "image.size": 64, "loop.steps": 2} | options
    dotted = [f"--set={key}={value}" for key, value in chosen.items() if "." in key]
    line = ["image", str(file), "--prior", str(tiny_zero123), "--device", "cpu", "--output", str(output), "--quiet"]
    return [*line, *dotted]


def test_an_image_run_leaves_the_contract_s_files_and_its_pictures(done: Path) -> None:
    found = {path.relative_to(done).as_posix() for path in done.rglob("*") if path.is_file()}
    assert found - {".lock"} == {
        "config.toml",
        "metrics.jsonl",
        "run.json",
        "reference.png",
        "reference-1.png",
        "sketch.png",
        "checkpoints/step-000003/state.safetensors",
        "checkpoints/step-000003/state.json",
        "previews/step-000003.png",
        "gradients/step-000003.png",
        "mesh.glb",
        "turntable.webp",
    }
    record = json.loads((done / "run.json").read_text())
    assert (record["state"], record["task"], record["prompt"], record["prior"]) == (
        "done",
        "image",
        "front.png",
        "tiny",
    )
    assert -20 <= record["elevation"] <= 70
    assert set(record["timings"]) == {"load", "pictures", "train", "mesh", "turntable"}
    with Image.open(done / "reference.png") as picture:
        assert (picture.mode, picture.size) == ("RGBA", (64, 64))


def test_what_reads_runs_reads_these(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["export", str(run), "--format", "ply", "--quiet"]) == 0
    assert (run / "mesh.ply").is_file()
    assert run_command(["render", str(run), "--frames", "2", "--resolution", "24", "--quiet"]) == 0
    shown = read_run(Run(run))
    assert (shown["prompt"], shown["problems"]) == ("front.png", [])
    assert shown["mesh"] and shown["turntable"] and shown["previews"] and shown["gradients"]
    assert len(shown["curves"]["loss"]) == 3
    assert capsys.readouterr().out == ""


def test_a_finished_run_goes_on_without_its_photographs(run: Path) -> None:
    assert run_command(["image", "--resume", str(run), "--steps", "4", "--quiet"]) == 0
    assert [line["step"] for line in metrics(run)] == [0, 1, 2, 3]


def test_twenty_steps_are_ten_and_ten_bit_for_bit(
    tiny_zero123: Path, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the photograph is gone when the run goes on, and with an elevation that was estimated."""
    options = {"prior": str(tiny_zero123), "loop__steps": 20, "loop__checkpoint_every": 7, "image__elevation": "auto"}
    config = image_config(photo, **options)
    whole = pipeline.create(config, tmp_path / "whole", QUIET)
    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "Loop", StopsAt)
        with pytest.raises(Interrupted, match="after step 10"):
            pipeline.create(config, tmp_path / "parts", QUIET)
    parts = tmp_path / "parts"
    assert Run(parts).state == "interrupted"
    photo.unlink()
    pipeline.resume(parts, QUIET)
    require_same(whole, parts, 20)
    assert Run(parts).record["elevation"] == Run(whole).record["elevation"]


def test_a_start_that_was_killed_before_its_pictures_goes_on(tiny_zero123: Path, photo: Path, tmp_path: Path) -> None:
    config = image_config(photo, prior=str(tiny_zero123), loop__steps=2)
    run = create_run(config, tmp_path / "run", prior="tiny", device="cpu")
    assert not (run.path / "reference.png").exists()
    pipeline.resume(run.path, QUIET)
    assert run.state == "done"
    require_same(pipeline.create(config, tmp_path / "whole", QUIET), run.path, 2)


def test_nothing_but_the_pictures_counts_without_guidance(tiny_zero123: Path, photo: Path, tmp_path: Path) -> None:
    """The baseline that evaluations need; there are no gradients to draw."""
    config = image_config(photo, prior=str(tiny_zero123), loop__steps=2, image__guidance=0.0)
    path = pipeline.create(config, tmp_path / "run", QUIET)
    assert not (path / "gradients").exists()
    assert "gradient_median" not in metrics(path)[0]


def test_a_prompt_is_for_a_second_prior(
    tiny_zero123: Path, photo: Path, tmp_path: Path, mini: DiffusionPrior, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(PriorSource, "load", lambda source, device, dtype=None: mini)
    output = tmp_path / "run"
    line = arguments(photo, tiny_zero123, output)
    assert "'spaceship'" in refused(capsys, *line, "--prompt", "a spaceship")
    assert not output.exists()
    assert run_command([*line, "--elevation", "10", "--prompt", "a wooden car"]) == 0
    record = Run(output).record
    assert (record["prior"], record["text_prior"], record["prompt"]) == ("tiny", "mini", "photo.png, a wooden car")
    assert "text_gradient_median" in metrics(output)[0]
    # On a machine where auto means something else, the run goes on with what it began with.
    asked: list[str] = []
    resolve = pipeline.resolve
    monkeypatch.setattr(pipeline, "resolve", lambda name, device: (asked.append(name), resolve("mini", device))[1])
    pipeline.resume(output, QUIET, 3)
    assert asked == ["mini"]


def test_a_prior_of_texts_takes_no_picture(photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sentence = refused(capsys, *arguments(photo, catalog.MINI_DIRECTORY, tmp_path / "run"))
    assert "takes no picture" in sentence
    assert not (tmp_path / "run").exists()


def test_a_picture_without_an_object_leaves_no_folder(
    tiny_zero123: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("RGBA", (64, 64)).save(tmp_path / "clear.png")
    Image.new("RGB", (64, 64), "white").save(tmp_path / "blank.png")
    for name in ("clear", "blank"):
        assert name in refused(capsys, *arguments(tmp_path / f"{name}.png", tiny_zero123, tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_auto_is_a_prior_of_views_and_says_so(
    tiny_zero123: Path, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[str] = []
    source = PriorSource("mini-zero123", tiny_zero123)
    monkeypatch.setattr(catalog, "resolve", lambda name, device: (asked.append(name), source)[1])
    assert resolve_views("auto", "cuda:0") == resolve_views("auto", "cpu") == source
    assert asked == ["zero123-xl", "mini-zero123"]
    config: RunConfig = image_config(photo, prior="auto", loop__steps=1)
    path = pipeline.create(config, tmp_path / "run", Console())
    assert "the embedded prior `mini-zero123`" in capsys.readouterr().err
    assert Run(path).record["prior"] == "mini-zero123"


def test_the_photograph_is_cut_out_and_framed_in_the_run(tiny_zero123: Path, tmp_path: Path) -> None:
    """A small object in a corner of a plain picture becomes a centred one over nothing."""
    pixels = np.full((96, 128, 3), 235, np.uint8)
    pixels[10:50, 20:50] = (200, 30, 30)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    options = {"image__framing": "fit", "prior": str(tiny_zero123), "loop__steps": 1}
    path = pipeline.create(image_config(tmp_path / "photo.png", **options), tmp_path / "run", QUIET)
    with Image.open(path / "reference.png") as picture:
        alpha = np.asarray(picture)[..., 3] > 127
    rows, columns = np.nonzero(alpha.any(axis=1))[0], np.nonzero(alpha.any(axis=0))[0]
    assert (rows[0] + rows[-1]) / 2 == pytest.approx(31.5, abs=1.5)
    assert (columns[0] + columns[-1]) / 2 == pytest.approx(31.5, abs=1.5)
    assert len(rows) == pytest.approx(0.8 * 64, abs=2)
    assert torch.isfinite(torch.tensor([line["loss"] for line in metrics(path)])).all()
