"""Integration and fault: whole runs through the pipeline, with the embedded prior at tiny sizes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import trimesh

from dreampgc import pipeline
from dreampgc.checkpoint import checkpoints
from dreampgc.cli import run_command
from dreampgc.config import RunConfig, from_toml
from dreampgc.console import Console
from dreampgc.errors import Interrupted
from dreampgc.field import InstantNGP
from dreampgc.priors.catalog import PriorSource
from dreampgc.priors.diffusion import DiffusionPrior
from dreampgc.runs import Run
from tests.commands import refused
from tests.small_runs import StopsAt, assignments, metrics, require_same, small_config

QUIET = Console(quiet=True)


@pytest.fixture(scope="module", autouse=True)
def shared_prior(mini: DiffusionPrior) -> Any:
    """Spare each run the seconds that reading the weights takes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PriorSource, "load", lambda source, device, dtype=None: mini)
        yield


def test_a_run_leaves_the_contract_s_files(finished: Path) -> None:
    found = {path.relative_to(finished).as_posix() for path in finished.rglob("*") if path.is_file()}
    assert found - {".lock"} == {
        "config.toml",
        "metrics.jsonl",
        "run.json",
        "checkpoints/step-000003/state.safetensors",
        "checkpoints/step-000003/state.json",
        "previews/step-000003.png",
        "gradients/step-000003.png",
        "mesh.glb",
        "turntable.webp",
    }
    record = json.loads((finished / "run.json").read_text())
    assert (record["state"], record["step"], record["prior"], record["device"]) == ("done", 3, "mini", "cpu")
    assert set(record["timings"]) == {"load", "train", "mesh", "turntable"}
    assert record["peak_memory"] > 100e6
    assert from_toml((finished / "config.toml").read_text()) == small_config(loop__steps=3)


def test_the_mesh_is_one_closed_coloured_surface(finished: Path) -> None:
    mesh = trimesh.load(finished / "mesh.glb", force="mesh", process=False)
    assert isinstance(mesh, trimesh.Trimesh)
    assert mesh.is_watertight
    assert mesh.body_count == 1
    assert mesh.volume > 0
    assert 100 < len(mesh.faces) <= 500
    assert b'"COLOR_0"' in (finished / "mesh.glb").read_bytes()


@pytest.mark.parametrize(
    ("method", "options"), [("latent", {}), ("vae", {"optimizer__rule": "ngd"}), ("pgc-n", {"guidance__norm": "linf"})]
)
def test_other_methods_come_out_as_coloured_meshes(tmp_path: Path, method: str, options: dict[str, Any]) -> None:
    config = small_config(loop__steps=2, guidance__method=method, mesh__formats=["ply", "obj"], **options)
    path = pipeline.create(config, tmp_path / "run", QUIET)
    mesh: Any = trimesh.load(path / "mesh.ply", force="mesh", process=False)
    assert np.ptp(np.asarray(mesh.visual.vertex_colors)[:, :3], axis=0).max() > 0
    assert (path / "mesh.obj").is_file()


# Bad input


@pytest.mark.parametrize(
    ("prompt", "says"),
    [
        ("a wodden car", "'wodden' (did you mean 'wooden'"),
        ("a wooden spaceship", "'spaceship'"),
        ("a wooden car", "'ugly'"),
        ("", "prompt"),
    ],
)
def test_a_bad_prompt_leaves_no_folder(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prompt: str, says: str
) -> None:
    monkeypatch.setenv("DREAMPGC_RUNS", str(tmp_path / "runs"))
    arguments = assignments() + (["--set=negative_prompt=ugly"] if says == "'ugly'" else [])
    for output in ([], ["--output", str(tmp_path / "here")]):
        message = refused(capsys, "text", prompt, *arguments, *output)
        assert says in message
        assert ("sd21" in message) == bool(prompt)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "says"),
    [('mesh.formats=["glb", "exe"]', "'exe'"), ("device=cuda", "no CUDA"), ("prior=/nowhere", "no prior")],
)
def test_what_can_be_refused_at_once_leaves_no_folder(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str, says: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    output = tmp_path / "run"
    assert says in refused(capsys, "text", "a car", "--set", change, "--output", str(output))
    assert not output.exists()


def test_an_occupied_output_is_refused(capsys: pytest.CaptureFixture[str], finished: Path, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    for output, says in ((finished, "already holds a run"), (tmp_path, "holds letter.txt")):
        assert says in refused(capsys, "text", "a car", *assignments(), "--output", str(output))
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_an_empty_field_gives_no_mesh(
    capsys: pytest.CaptureFixture[str], finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(InstantNGP, "density", lambda field, positions: positions.new_zeros(len(positions)))
    output = tmp_path / "empty.glb"
    assert "the field is empty" in refused(capsys, "export", str(finished), "--output", str(output))
    assert not output.exists()


def test_a_level_above_all_densities_fails_the_run_and_keeps_its_checkpoint(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    empty = assignments(loop__steps=1, field__blob_density=0.0, field__density_activation="softplus")
    # Raw densities of about 0 give softplus(0) = 0.7 everywhere: a level of 30 is above all of it.
    line = ["text", "a car", *empty, "--set=mesh.level=30.0", "--output", str(tmp_path / "run"), "--quiet"]
    assert "no surface at density level 30" in refused(capsys, *line)
    run = Run(tmp_path / "run")
    assert run.state == "failed"
    assert len(checkpoints(run.path)) == 1


def test_weights_that_cannot_be_had_exit_with_3_and_say_how_to_get_them(tmp_path: Path) -> None:
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "hub"), "OMP_NUM_THREADS": "1"}
    command = [
        sys.executable,
        "-m",
        "dreampgc",
        "text",
        "a zebra",
        "--prior",
        "sd21",
        "--output",
        str(tmp_path / "run"),
    ]
    answer = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert (answer.returncode, answer.stdout) == (3, "")
    assert "`dreampgc priors pull sd21`" in answer.stderr
    assert "--prior mini" in answer.stderr
    assert "Traceback" not in answer.stderr
    assert not (tmp_path / "run").exists()


# Interruptions, damage, repetition


def test_twenty_steps_are_ten_and_ten_bit_for_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = small_config(loop__steps=20, loop__checkpoint_every=7)
    whole = pipeline.create(config, tmp_path / "whole", QUIET)
    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "Loop", StopsAt)
        with pytest.raises(Interrupted, match="after step 10") as stopped:
            pipeline.create(config, tmp_path / "parts", QUIET)
    assert stopped.value.exit_code == 130
    parts = tmp_path / "parts"
    assert Run(parts).state == "interrupted"
    assert pipeline.resume(parts, QUIET) == parts
    require_same(whole, parts, 20)
    assert Run(parts).record["step"] == 20


def test_the_written_configuration_repeats_the_run(finished: Path, tmp_path: Path) -> None:
    line = ["text", "--config", str(finished / "config.toml"), "--output", str(tmp_path / "again"), "--quiet"]
    assert run_command(line) == 0
    require_same(finished, tmp_path / "again", 3)
    assert (finished / "config.toml").read_bytes() == (tmp_path / "again" / "config.toml").read_bytes()


def test_a_finished_run_goes_on_when_given_more_steps(run: Path) -> None:
    assert run_command(["text", "--resume", str(run), "--steps", "4", "--quiet"]) == 0
    assert [line["step"] for line in metrics(run)] == [0, 1, 2, 3]
    assert (Run(run).record["step"], Run(run).record["steps"], Run(run).state) == (4, 4, "done")


def test_a_truncated_checkpoint_falls_back_to_the_one_before(
    capsys: pytest.CaptureFixture[str], run: Path, tmp_path: Path
) -> None:
    pipeline.resume(run, QUIET, 4)
    whole = shutil.copytree(run, tmp_path / "whole")
    weights = run / "checkpoints" / "step-000004" / "state.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    assert run_command(["export", str(run), "--output", str(tmp_path / "older.glb")]) == 0
    assert "falling back" in capsys.readouterr().err
    assert (tmp_path / "older.glb").read_bytes() != (whole / "mesh.glb").read_bytes()
    pipeline.resume(run, QUIET, 4)
    require_same(whole, run, 4)


def test_a_run_without_a_good_checkpoint_is_refused(capsys: pytest.CaptureFixture[str], run: Path) -> None:
    for file in run.glob("checkpoints/*/state.json"):
        file.write_text("{")
    (run / "mesh.glb").unlink()  # which export and render would take as it is
    for line in (["export", str(run)], ["render", str(run)], ["text", "--resume", str(run)]):
        assert run_command([*line, "--quiet"]) == 2
        assert "can be read" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize("file", ["run.json", "checkpoints/step-000003/state.json"])
def test_what_a_newer_version_made_is_refused(capsys: pytest.CaptureFixture[str], run: Path, file: str) -> None:
    document = json.loads((run / file).read_text())
    (run / file).write_text(json.dumps({**document, "format": document["format"] + 1}))
    for line in (["export", str(run)], ["render", str(run)], ["text", "--resume", str(run)]):
        assert "newer dreampgc" in refused(capsys, *line)


def test_resuming_keeps_the_prior_that_auto_meant(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine where ``auto`` means something else, a run goes on with the prior that it began with."""
    text = (run / "config.toml").read_text()
    (run / "config.toml").write_text(text.replace('prior = "mini"', 'prior = "auto"'))
    asked: list[str] = []
    resolve = pipeline.resolve
    monkeypatch.setattr(pipeline, "resolve", lambda name, device: (asked.append(name), resolve("mini", device))[1])
    pipeline.resume(run, QUIET)
    assert asked == ["mini"]


def test_auto_says_which_prior_it_means(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    config: RunConfig = small_config(prior="auto", loop__steps=1)
    pipeline.create(config, tmp_path / "run", Console())
    assert "the embedded prior" in capsys.readouterr().err
