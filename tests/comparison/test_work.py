"""Integration and fault: whole comparisons with a tiny random prior, and what they leave."""

from __future__ import annotations

import json
import re
import shutil
import signal
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dreampgc import pipeline
from dreampgc.comparison import figure
from dreampgc.comparison.plan import Plan
from dreampgc.comparison.results import read_results, summarise
from dreampgc.comparison.work import compare
from dreampgc.console import Console
from dreampgc.errors import InputError, Interrupted
from dreampgc.runs import Run
from dreampgc.stages.loop import Loop
from tests.comparison.conftest import Planner

QUIET = Console(quiet=True)
MADE = {"compare.png", "compare.html", "compare.json", "2d", "3d"}


@pytest.fixture(scope="module")
def plan(planned: Planner) -> Plan:
    return planned(("latent", "linear", "pgc-n"))


@pytest.fixture(scope="module")
def finished(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole comparison, not to be changed."""
    return compare(plan, tmp_path_factory.mktemp("compared") / "here", QUIET)


def record(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "compare.json").read_text(encoding="utf-8"))


def test_a_comparison_leaves_a_figure_a_page_numbers_and_its_runs(plan: Plan, finished: Path) -> None:
    assert {entry.name for entry in finished.iterdir()} == MADE
    assert [run["folder"] for run in record(finished)["runs"]] == [variant.folder for variant in plan.variants]
    for run, variant in zip(record(finished)["runs"], plan.variants, strict=True):
        assert (run["state"], run["error"], run["steps"]) == ("done", None, 3)
        assert 0 < run["gradient"]["median"] <= run["gradient"]["p99"] <= run["gradient"]["maximum"]
        assert run["gradient"]["spike"] >= 1
        assert Run(finished / variant.folder).config == variant.config


def test_the_shared_prior_gives_what_each_run_would_have_had_alone(plan: Plan, finished: Path, tmp_path: Path) -> None:
    for variant in (plan.variants[0], plan.variants[-1]):
        alone = pipeline.create(variant.config, tmp_path / variant.folder, QUIET)
        for name in ("image.png", "mesh.glb", "turntable.webp"):
            assert (alone / name).exists() == (finished / variant.folder / name).exists()
            assert not (alone / name).exists() or same(alone / name, finished / variant.folder / name)


def same(one: Path, other: Path) -> bool:
    return one.read_bytes() == other.read_bytes()


def test_the_figure_shows_the_runs_own_pictures(plan: Plan, finished: Path) -> None:
    drawn = np.asarray(Image.open(finished / "compare.png"))
    assert drawn.shape[1] == figure.MARGIN + 3 * (figure.CELL + figure.GAP) + figure.GAP
    for variant in plan.variants:
        if variant.space == "2d":
            picture = Image.open(finished / variant.folder / "image.png")
            cell = picture.resize((figure.CELL, figure.CELL), Image.Resampling.NEAREST)
            assert contains(drawn, np.asarray(cell))


def contains(whole: np.ndarray, cell: np.ndarray) -> bool:
    """Whether ``cell`` is in one of the columns of ``whole``."""
    side, pitch = figure.CELL, figure.CELL + figure.GAP
    for left in range(figure.MARGIN, whole.shape[1] - side, pitch):
        column = whole[:, left : left + side]
        tops = np.flatnonzero((column == cell[0]).all(axis=(1, 2)))
        if any(np.array_equal(column[top : top + side], cell) for top in tops):
            return True
    return False


class Page(HTMLParser):
    """What a page refers to, and whether its elements are closed in order."""

    VOID = frozenset({"meta", "img", "br"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.images: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs
        self.images += [value or "" for key, value in attrs if key == "src"]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_needs_nothing_but_itself(plan: Plan, finished: Path) -> None:
    text = (finished / "compare.html").read_text(encoding="utf-8")
    page = Page(text)
    assert page.open == []
    assert not page.tags & {"script", "link", "iframe", "object", "embed", "form", "base"}
    assert all(image.startswith("data:image/webp;base64,") for image in page.images)
    assert not [key for key, _ in page.attributes if key in {"href", "srcset", "action"} or key.startswith("on")]
    assert not re.search(r"https?:|url\(|@import|//[a-z]", re.sub(r'src="[^"]*"', "", text))
    # The scale; for each run of a block its pictures (one of an image, two of a mesh) and three steps' gradients twice.
    shown = {space: sum(len(block.variants[space]) for block in plan.blocks) for space in ("2d", "3d")}
    assert len(page.images) == 1 + shown["2d"] * (1 + 6) + shown["3d"] * (2 + 6)


def test_prompts_are_text_and_not_markup(planned: Planner, tmp_path: Path) -> None:
    prompt = 'a <i>car</i> & "more"'
    folder = compare(planned(("vae",), (), ("2d",), loop__steps=1, prompt=prompt), tmp_path / "here", QUIET)
    text = (folder / "compare.html").read_text(encoding="utf-8")
    assert prompt in Page(text).text
    assert "<i>car" not in text


# Going on


def test_what_is_done_is_kept(plan: Plan, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    again = shutil.copytree(finished, tmp_path / "again")
    (again / "compare.png").unlink()
    monkeypatch.setattr(pipeline, "train", lambda *_, **__: pytest.fail("trained again"))
    compare(plan, again, QUIET)
    assert all(same(finished / name, again / name) for name in ("compare.png", "compare.html", "compare.json"))


class StopsOnce(Loop):
    """A loop that is told to stop in the second step of the run ``2d/linear``, as by Ctrl-C."""

    stopped = False

    def log(self, step: int, metrics: Any) -> None:
        """Log, then take the signal."""
        super().log(step, metrics)
        if self.run.path.match("2d/linear") and step == 1 and not StopsOnce.stopped:
            StopsOnce.stopped = True
            signal.raise_signal(signal.SIGINT)


def test_an_interrupted_comparison_goes_on_to_the_same_end(
    plan: Plan, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "parts"
    monkeypatch.setattr(pipeline, "Loop", StopsOnce)
    with pytest.raises(Interrupted, match=f"2d/linear; go on with the same command and --output {folder}") as caught:
        compare(plan, folder, QUIET)
    assert caught.value.exit_code == 130
    assert [Run(folder / name).state for name in ("2d/latent", "2d/linear")] == ["done", "interrupted"]
    assert not (folder / "2d/pgc-n").exists()
    kept = (folder / "2d/latent/run.json").stat().st_mtime_ns
    compare(plan, folder, QUIET)
    assert (folder / "2d/latent/run.json").stat().st_mtime_ns == kept
    for variant in plan.variants:
        name = "image.png" if variant.space == "2d" else "mesh.glb"
        assert same(folder / variant.folder / name, finished / variant.folder / name)
    assert same(folder / "compare.png", finished / "compare.png")


def test_a_failed_run_is_shown_as_failed(capsys: pytest.CaptureFixture[str], planned: Planner, tmp_path: Path) -> None:
    # Raw densities of about 0 give softplus(0) = 0.7 everywhere: a level of 30 is above all of it.
    empty = {"field__blob_density": 0.0, "field__density_activation": "softplus", "mesh__level": 30.0}
    folder = compare(planned(("vae",), (), loop__steps=1, **empty), tmp_path / "here", QUIET)
    assert "warning: 3d/vae failed: " in capsys.readouterr().err
    image, field = record(folder)["runs"]
    assert (image["state"], field["state"]) == ("done", "failed")
    assert "no surface" in field["error"]
    assert "failed" in Page((folder / "compare.html").read_text(encoding="utf-8")).text


# Bad input


def test_a_folder_of_something_else_is_refused(plan: Plan, finished: Path, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    for place, says in (
        (tmp_path, "holds letter.txt"),
        (tmp_path / "letter.txt", "is a file"),
        (finished / "2d/latent", "is not a comparison"),
    ):
        with pytest.raises(InputError, match=says):
            compare(plan, place, QUIET)
    assert [entry.name for entry in tmp_path.iterdir()] == ["letter.txt"]


def test_another_comparison_s_folder_is_refused(planned: Planner, finished: Path) -> None:
    with pytest.raises(InputError, match="2d/latent was run with another configuration"):
        compare(planned(("latent", "linear", "pgc-n"), seed=7), finished, QUIET)


def test_bad_prompts_and_methods_leave_no_folder(planned: Planner, prior_directory: Path, tmp_path: Path) -> None:
    bare = shutil.copytree(prior_directory, tmp_path / "bare")
    (bare / "linear_map.safetensors").unlink()
    output = tmp_path / "here"
    for plan, says in (
        (planned(prior="mini", prompt="a wodden car"), "'wodden'"),
        (planned(prior="mini", prompt="a car", negative_prompt="ugly"), "'ugly'"),
        (planned(("vae", "linear"), prior=bare), "'linear' needs a fitted linear map"),
        (planned(("latent",), prior=bare), "'latent' needs a fitted linear map"),
    ):
        with pytest.raises(InputError, match=says):
            compare(plan, output, QUIET)
        assert not output.exists()


# Numbers


def line(middle: float | None, largest: float | None, clipped: float = 0.0) -> dict[str, Any]:
    return {"gradient_median": middle, "gradient_p99": middle, "gradient_maximum": largest, "gradient_clipped": clipped}


def test_statistics_are_of_the_typical_step() -> None:
    lines = [line(1.0, 10.0, 0.3), line(2.0, 60.0), line(4.0, 80.0), line(None, None)]
    found = summarise(lines)
    assert found == {"median": 2.0, "p99": 2.0, "maximum": 80.0, "spike": 20.0, "clipped": pytest.approx(0.1)}
    assert summarise([line(None, None)]) == {}


def test_results_show_early_middle_and_last_gradients(plan: Plan, finished: Path) -> None:
    for result in read_results(plan, finished).values():
        assert [gradient.step for gradient in result.gradients] == [1, 2, 3]
        first = result.gradients[0]
        assert first.raw.shape == first.shaped.shape
        assert np.array_equal(first.raw, first.shaped) == (result.variant.method in ("latent", "linear"))
