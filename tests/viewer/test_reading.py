"""Integration and fault: what a page is told of a run, and of a run that lost half of its files."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dreampgc.runs import Run
from dreampgc.viewer import reading
from dreampgc.viewer.reading import CURVES, read_run
from tests.small_runs import metrics
from tests.viewer.runs import cut, lose


def picture(url: str) -> Image.Image:
    head, _, data = url.partition(",")
    assert head == "data:image/webp;base64"
    return Image.open(io.BytesIO(base64.b64decode(data)))


def test_a_finished_run_is_shown_whole(finished: Path) -> None:
    shown = read_run(Run(finished))
    assert shown["problems"] == []
    assert (shown["name"], shown["prompt"], shown["state"]) == (finished.name, "a wooden car", "done")
    assert base64.b64decode(shown["mesh"]) == (finished / "mesh.glb").read_bytes()
    assert (picture(shown["turntable"]).size, shown["image"]) == ((24, 24), None)
    for kind in ("previews", "gradients"):
        [entry] = shown[kind]
        assert entry["step"] == 3
        with Image.open(finished / kind / "step-000003.png") as original:
            difference = np.asarray(picture(entry["url"]).convert("RGB"), int) - np.asarray(
                original.convert("RGB"), int
            )
        assert np.abs(difference).mean() < 6  # lossy, but the same picture
    json.dumps(shown, allow_nan=False)


def test_curves_are_the_columns_of_the_metrics(finished: Path) -> None:
    curves, lines = read_run(Run(finished))["curves"], metrics(finished)
    assert curves.keys() == {"step", *CURVES}
    assert curves["step"] == [line["step"] for line in lines] == [0, 1, 2]
    assert curves["loss"] == pytest.approx([line["loss"] for line in lines], rel=1e-5)


def test_facts_count_what_is_in_the_files(finished: Path) -> None:
    import trimesh

    mesh: Any = trimesh.load_mesh(finished / "mesh.glb", process=False)
    facts = dict(read_run(Run(finished))["facts"])
    assert facts["Faces"] == str(len(mesh.faces))
    assert facts["Vertices"] == str(len(mesh.vertices))
    assert facts["Colours"] == "at the vertices"
    assert facts["Training"].startswith("3 of 3 steps, ")
    assert facts["Method"] == "pgc-n, threshold 0.1"


def test_configuration_has_dotted_keys_and_plain_texts(finished: Path) -> None:
    config = read_run(Run(finished))["config"]
    assert (config["prompt"], config["loop.steps"], config["mesh.formats"]) == ("a wooden car", "3", '["glb"]')


@pytest.mark.parametrize(
    ("lost", "emptied", "says"),
    [
        ("run.json", "state", "run.json is missing"),
        ("config.toml", "config", "config.toml is missing"),
        ("mesh.glb", "mesh", "mesh.glb is missing: `dreampgc export run --format glb` makes it"),
        ("turntable.webp", "turntable", "turntable.webp is missing"),
        ("metrics.jsonl", "curves", "metrics.jsonl is missing"),
        ("previews", "previews", "there are no previews"),
        ("gradients", "gradients", "there are no gradients"),
    ],
)
def test_a_lost_file_is_named_and_the_rest_is_shown(run: Path, lost: str, emptied: str, says: str) -> None:
    whole = read_run(Run(run))
    lose(run, lost)
    shown = read_run(Run(run))
    assert shown["problems"] == [says]
    assert shown[emptied] in (None, {}, [], "unknown")
    same = shown.keys() - {emptied, "problems", "facts", "state", "threshold"}
    assert {key: shown[key] for key in same} == {key: whole[key] for key in same}


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("run.json", "cannot read run/run.json"),
        ("config.toml", "config.toml is damaged"),
        ("mesh.glb", "mesh.glb is damaged"),
        ("turntable.webp", "turntable.webp is damaged"),
        ("metrics.jsonl", "metrics.jsonl is damaged in 1 of 2 lines"),
        ("previews/step-000003.png", "previews/step-000003.png is damaged"),
        ("gradients/step-000003.png", "gradients/step-000003.png is damaged"),
    ],
)
def test_a_cut_file_is_named_and_the_rest_is_shown(run: Path, name: str, says: str) -> None:
    cut(run / name)
    problems = read_run(Run(run))["problems"]
    assert len(problems) == 1
    assert problems[0].startswith(says)
    (run / name).write_bytes(b"")  # what a full disk leaves
    assert read_run(Run(run))["problems"] == [f"{name} is empty"]


def test_half_of_the_files_are_enough(run: Path) -> None:
    lose(run, "run.json", "turntable.webp", "previews", "checkpoints")
    cut(run / "mesh.glb")
    shown = read_run(Run(run))
    assert len(shown["problems"]) == 4
    assert shown["prompt"] == "a wooden car"  # of config.toml
    assert shown["curves"] and shown["gradients"] and shown["config"]
    lose(run, "config.toml")
    assert read_run(Run(run))["prompt"] == run.name


def test_what_is_written_by_another_hand_does_not_stop_the_page(run: Path) -> None:
    record = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(
        json.dumps(record | {"timings": [], "versions": 3, "created": "today", "steps": None})
    )
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"step": 3, "loss": NaN, "opacity": "high"}\n{"loss": 1}\n[]\n')
    shown = read_run(Run(run))
    assert shown["problems"] == ["metrics.jsonl is damaged in 2 of 6 lines"]
    assert (shown["curves"]["step"][-1], shown["curves"]["loss"][-1], shown["curves"]["opacity"][-1]) == (3, None, None)
    assert "Faces" in dict(shown["facts"])


def test_how_a_run_ended_is_said_without_the_way_to_its_folder(run: Path) -> None:
    Run(run).update(state="interrupted", error=f"stopped by SIGINT; go on with --resume {run}")
    shown = read_run(Run(run))
    assert (shown["state"], shown["problems"]) == (
        "interrupted",
        ["interrupted: stopped by SIGINT; go on with --resume run"],
    )
    lose(run, "mesh.glb")
    assert str(run.parent) not in json.dumps(read_run(Run(run)))


def test_a_run_may_be_named_from_inside(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lose(run, "turntable.webp")
    (run / "run.json").write_text("{")
    monkeypatch.chdir(run)
    shown = read_run(Run(Path()))
    assert shown["name"] == "run"
    assert shown["problems"][0].startswith("cannot read run.json")
    assert shown["problems"][1] == "turntable.webp is missing"


def test_a_run_at_work_lacks_nothing_yet(run: Path) -> None:
    lose(run, "mesh.glb")
    with Run(run).active():
        shown = read_run(Run(run))
    assert (shown["state"], shown["problems"]) == ("running", ["mesh.glb is not there yet"])


def test_a_run_of_one_image_shows_it_and_misses_no_mesh(run: Path) -> None:
    Run(run).update(task="image2d")
    (run / "image.png").write_bytes((run / "previews" / "step-000003.png").read_bytes())
    lose(run, "mesh.glb", "turntable.webp")
    shown = read_run(Run(run))
    assert shown["problems"] == []
    with Image.open(run / "image.png") as image:
        assert picture(shown["image"]).size == image.size


def test_a_long_run_is_thinned_with_its_ends_kept(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MAX_PICTURES", 4)
    monkeypatch.setattr(reading, "MAX_POINTS", 50)
    png = (run / "previews" / "step-000003.png").read_bytes()
    for step in range(10, 110, 10):
        (run / "previews" / f"step-{step:06d}.png").write_bytes(png)
    (run / "metrics.jsonl").write_text("".join(f'{{"step": {step}, "loss": {step}.5}}\n' for step in range(1000)))
    shown = read_run(Run(run))
    assert [entry["step"] for entry in shown["previews"]] == [3, 30, 70, 100]
    steps = shown["curves"]["step"]
    assert (len(steps), steps[0], steps[-1]) == (50, 0, 999)
    assert shown["curves"]["loss"] == [step + 0.5 for step in steps]


def test_pictures_are_no_larger_than_the_page_shows_them(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MAX_WIDTH", 40)
    Image.new("RGB", (400, 200), "red").save(run / "previews" / "step-000003.png")
    [entry] = read_run(Run(run))["previews"]
    assert picture(entry["url"]).size == (40, 20)
