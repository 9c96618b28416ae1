"""Integration and property: the suite of prompts, and evaluation of runs that are right, wrong, or failed."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import evaluate as script
import numpy as np
import pytest
from evaluation.measuring import Instruments
from evaluation.report import details, mean, share, summary
from evaluation.tasks import Task, parse_variants, read_prompts

import dreampgc
from dreampgc.config import to_toml
from dreampgc.errors import TrainingError
from dreampgc.mesh.export import export_mesh
from dreampgc.metrics.appearance import AttributeLibrary
from dreampgc.metrics.janus import FrontLibrary
from dreampgc.metrics.pictures import SIZE, Subject, evaluation_views
from dreampgc.metrics.shape import ShapeLibrary
from dreampgc.runs import Run
from dreampgc.world.mesh import world_mesh
from dreampgc.world.objects import HELD_OUT_SEED, Caption
from dreampgc.world.scene import make_scene
from tests.small_runs import small_config

SUITE = Path(dreampgc.__file__).parents[1] / "benchmarks" / "prompts.txt"
CLASSES = ("duck", "table", "mug")


def test_the_suite_is_as_mixed_as_it_should_be() -> None:
    prompts = read_prompts(SUITE)
    captions = [Caption.parse(prompt) for prompt in prompts]
    assert len(prompts) == len(set(prompts)) >= 60
    assert [str(caption) for caption in captions] == prompts
    assert sum(caption.held_out for caption in captions) >= len(captions) / 3 - 1
    pairs = [caption for caption in captions if caption.base]
    assert len(pairs) >= 10
    assert {caption.held_out for caption in pairs} == {True, False}


def test_prompts_that_no_instrument_knows_are_refused(tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_text("a red car  # fast\n\n# nothing\na photo of a cat\n")
    with pytest.raises(ValueError, match="photo of a cat"):
        read_prompts(tmp_path / "p.txt")


def test_variants() -> None:
    assert parse_variants(["vae", "as-it-is:", "ten:guidance.scale=10,cameras.elevation=[0, 30]"]) == {
        "vae": ("guidance.method=vae",),
        "as-it-is": (),
        "ten": ("guidance.scale=10", "cameras.elevation=[0, 30]"),
    }
    with pytest.raises(ValueError, match="cannot name a variant"):
        parse_variants(["../up:guidance.scale=3"])


ROWS = [
    {"variant": "a", "prompt": "a red car", "seed": 0, "held_out": False, "pair": False, "error": "it broke"},
    {
        "variant": "a",
        "prompt": "a duck on a table",
        "seed": 0,
        "held_out": True,
        "pair": True,
        "class_right": True,
        "class_found": "a duck on a table",
        "attribute_right": None,
        "attribute_found": "",
        "iou": 0.5,
        "janus": None,
        "watertight": True,
        "one_component": False,
    },
]


def test_a_failed_run_counts_as_a_miss_and_what_cannot_be_judged_does_not_count() -> None:
    assert share(ROWS, "class_right") == "50 % (1/2)"
    assert share(ROWS, "attribute_right") == "0 % (0/1)"
    assert mean(ROWS, "iou") == "0.50"
    assert mean(ROWS[:1], "iou") == "–"
    lines = summary(ROWS).splitlines()
    assert [line.split("|")[2].strip() for line in lines[2:]] == [
        "all",
        "trained",
        "held out",
        "single objects",
        "one on another",
    ]
    assert "failed: it broke" in details(ROWS)
    assert "in parts" in details(ROWS)


@pytest.fixture(scope="module")
def instruments(tmp_path_factory: pytest.TempPathFactory) -> Instruments:
    cache = tmp_path_factory.mktemp("cache")
    shapes = ShapeLibrary(cache, CLASSES, samples=2, side=32)
    return Instruments(shapes, AttributeLibrary(cache, samples=1), FrontLibrary(cache, samples=2))


def finished_run(task: Task, name: str, attribute: str) -> None:
    """A run folder as if training had made a ground-truth object."""
    task.path.mkdir(parents=True)
    (task.path / "run.json").write_text(json.dumps({"format": 1, "state": "done", "timings": {"train": 7.0}}))
    (task.path / "config.toml").write_text(to_toml(small_config(prompt=task.prompt)))
    lines = [{"gradient_maximum": 2.0, "gradient_median": 0.1}, {"gradient_maximum": 1.0, "gradient_median": 0.1}]
    (task.path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    mesh = world_mesh(make_scene([(name, attribute, HELD_OUT_SEED + 77)]), resolution=64)
    assert mesh.colors is not None
    export_mesh(replace(mesh, colors=mesh.colors.astype(np.float32)), task.path / "mesh.ply")


def test_runs_are_measured_once_and_told_right_from_wrong(
    tmp_path: Path, instruments: Instruments, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(script, "instruments", lambda cache: instruments)
    task = Task("a red duck", 0, "pgc-n", (), tmp_path)
    finished_run(task, "duck", "red")
    row = script.evaluate(task, tmp_path)
    assert (row["class_right"], row["attribute_right"], row["watertight"], row["seconds"]) == (True, True, True, 7.0)
    assert row["gradient_ratio"] == pytest.approx(15)
    assert row["gradient_largest"] == 2.0
    assert row["iou"] > 0.8
    shutil.rmtree(task.path / "checkpoints", ignore_errors=True)
    (task.path / "mesh.ply").unlink()  # what was measured is not measured again
    assert script.evaluate(task, tmp_path) == row

    wrong = Task("a blue mug", 0, "pgc-n", (), tmp_path)
    finished_run(wrong, "duck", "red")
    row = script.evaluate(wrong, tmp_path)
    assert (row["class_right"], row["class_found"]) == (False, "a duck")
    assert (row["attribute_right"], row["attribute_found"]) == (False, "red")
    assert row["iou"] < 0.6
    script.write_report([row], [wrong], tmp_path, {"seeds": [0]})
    assert "✗ a duck" in (tmp_path / "report.md").read_text(encoding="utf-8")
    assert json.loads((tmp_path / "report.json").read_text())["rows"] == [row]
    assert (tmp_path / "sheet.png").stat().st_size > 1000


def test_prepared_looks_need_nothing_made_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def opened() -> Instruments:
        return Instruments(
            ShapeLibrary(tmp_path, CLASSES), AttributeLibrary(tmp_path, samples=1), FrontLibrary(tmp_path, samples=2)
        )

    monkeypatch.setattr(script, "instruments", lambda cache: opened())
    script.prepare_looks("a red duck", tmp_path)

    def never(*_: object) -> dict[str, object]:
        raise AssertionError("made again")

    monkeypatch.setattr(AttributeLibrary, "_made", never)
    monkeypatch.setattr(FrontLibrary, "_made", never)
    pictures = Subject(("duck", "blue", HELD_OUT_SEED + 5), evaluation_views(), SIZE).pictures()
    looks = opened().looks(pictures, Caption.parse("a red duck"))
    assert (looks["attribute_right"], looks["attribute_found"]) == (False, "blue")
    with pytest.raises(AssertionError, match="made again"):
        opened().looks(pictures, Caption.parse("a red mug"))


def test_a_run_that_fails_is_a_row_with_its_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Task) -> Run:
        raise TrainingError("not finite")

    monkeypatch.setattr(Task, "run", fail)
    row = script.evaluate(Task("a red duck", 3, "vae", (), tmp_path), tmp_path)
    assert (row["error"], row["seed"], row["variant"]) == ("not finite", 3, "vae")
