"""Integration on a GPU: no step waits for the device, memory stays flat, and the fast way trains like the plain one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from dreampgc import references
from dreampgc.building import Stage, build_image_stage, build_text_stage, speed_up
from dreampgc.config import RunConfig
from dreampgc.console import Console
from dreampgc.priors.catalog import resolve
from dreampgc.priors.diffusion import DiffusionPrior
from dreampgc.priors.zero123 import Zero123Prior
from dreampgc.runs import Run, create_run
from dreampgc.stages.loop import Loop
from tests.photographs import image_config, write_photo
from tests.priors.families import write_zero123
from tests.small_runs import metrics, small_config

pytestmark = pytest.mark.requires_cuda


@pytest.fixture(scope="module")
def prior() -> DiffusionPrior:
    return resolve("mini").load("cuda")


class Watched(Loop):
    """Forbids the host to wait in the steps from ``first`` to ``last``, and notes the memory in use after each."""

    first = last = 0

    def steps(self, start: int, total: int) -> Iterator[int]:
        """The steps."""
        self.memory: list[int] = []
        try:
            for step in super().steps(start, total):
                torch.cuda.set_sync_debug_mode("error" if self.first <= step < self.last else "default")
                yield step
                self.memory.append(torch.cuda.memory_allocated())
        finally:
            torch.cuda.set_sync_debug_mode("default")


def train(config: RunConfig, prior: DiffusionPrior, folder: Path, watched: tuple[int, int] = (0, 0)) -> tuple[Run, Any]:
    return train_stage(build_text_stage(config, prior), folder, watched)


def train_stage(stage: Stage, folder: Path, watched: tuple[int, int] = (0, 0)) -> tuple[Run, Any]:
    config = stage.config
    said: list[str] = []
    speed_up(stage, said.append)
    run, state = create_run(config, folder), stage.state
    with run.active(), Watched(run, config.loop, Console(quiet=True), save=state.save, load=state.load) as loop:
        loop.first, loop.last = watched
        stage.train(loop)
    assert not [sentence for sentence in said if "cannot" in sentence]
    return run, loop


LIT = {
    "render__albedo_share": 0.0,
    "render__background": "learned",
    "regularisers__orientation": 1.0,
    "regularisers__distortion": 1.0,
    "regularisers__sparsity": 1.0,
    "regularisers__total_variation": 1.0,
    "field__base_resolution": 4,
}


@pytest.mark.parametrize(
    "options",
    [
        {},
        LIT,
        {"guidance__method": "latent"},
        {"guidance__method": "linear", "guidance__perp_neg": 1.0},
        {"guidance__method": "pngd", "optimizer__rule": "ngd"},
    ],
    ids=["plain", "lit", "latent", "linear", "ngd"],
)
def test_no_step_waits_for_the_device(prior: DiffusionPrior, tmp_path: Path, options: dict[str, Any]) -> None:
    """Ten steps, with two looks of the occupancy grid, once all buffers are reserved and all graphs recorded."""
    config = small_config(device="cuda", loop__steps=40, render__ramp=1.0, cameras__batch=2, **options)
    run, _ = train(config, prior, tmp_path / "run", watched=(25, 35))
    lines = metrics(run.path)
    assert [line["step"] for line in lines] == list(range(40))
    # A view that needs much more room than those before is skipped: the exception.
    assert sum(line["loss"] is None for line in lines) <= 2


@pytest.mark.parametrize("share", [0.0, 1.0], ids=["guided", "copied from a sketch"])
def test_nor_does_one_of_pictures(tmp_path: Path, share: float) -> None:
    prior, photo = Zero123Prior.load(write_zero123(tmp_path / "tiny"), "cuda"), write_photo(tmp_path / "photo.png")
    options = {"regularisers__normal_smoothness": 1.0, "image__sketch": share}
    config = image_config(photo, device="cuda", loop__steps=40, render__ramp=1.0, **options)
    (folder := tmp_path / "pictures").mkdir()
    [picture] = pictures = references.load(config.image, folder, config.seed)
    sketch = [replace(picture, azimuth=azimuth) for azimuth in (90.0, 180.0)] if share else []
    stage = build_image_stage(config, prior, pictures, sketch=sketch)
    run, _ = train_stage(stage, tmp_path / "run", watched=(25, 35))
    assert sum(line["loss"] is None for line in metrics(run.path)) <= 2


def test_memory_stays_flat(prior: DiffusionPrior, tmp_path: Path) -> None:
    config = small_config(device="cuda", loop__steps=300, render__ramp=1.0)
    _, loop = train(config, prior, tmp_path / "run")
    # Sizes of buffers follow the samples; what leaks would grow with every step.
    assert max(loop.memory[200:]) < 1.1 * max(loop.memory[50:150])


def test_the_fast_way_begins_like_the_plain_one(prior: DiffusionPrior, tmp_path: Path) -> None:
    """The same dice until the grid is looked at again; halves and orders of sums differ."""
    runs = []
    for way in ("off", "graphs"):
        config = small_config(device="cuda", loop__steps=4, render__grid_every=50, loop__acceleration=way)
        runs.append(metrics(train(config, prior, tmp_path / way)[0].path))
    for plain, fast in zip(*runs, strict=True):
        assert fast["t"] == plain["t"]
        assert fast["opacity"] == pytest.approx(plain["opacity"], rel=0.01)
        assert fast["gradient_median"] == pytest.approx(plain["gradient_median"], rel=0.1)
        assert fast["bad_steps"] == 0


def test_so_does_that_of_pictures(tmp_path: Path) -> None:
    prior = Zero123Prior.load(write_zero123(tmp_path / "tiny"), "cuda")
    photo, runs = write_photo(tmp_path / "photo.png"), []
    for way in ("off", "graphs"):
        config = image_config(
            photo, device="cuda", loop__steps=12, render__grid_every=50, render__ramp=1.0, loop__acceleration=way
        )
        (folder := tmp_path / f"{way}-pictures").mkdir()
        stage = build_image_stage(config, prior, references.load(config.image, folder, config.seed))
        runs.append(metrics(train_stage(stage, tmp_path / way)[0].path))
    for plain, fast in zip(*runs, strict=True):
        assert fast["t"] == plain["t"]
        assert fast["opacity"] == pytest.approx(plain["opacity"], rel=0.02)
        assert fast["gradient_median"] == pytest.approx(plain["gradient_median"], rel=0.1)
        assert fast["bad_steps"] == 0


def test_a_bad_step_is_skipped_without_the_host(
    prior: DiffusionPrior, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small_config(device="cuda", loop__steps=8)
    stage = build_text_stage(config, prior)
    honest, calls = stage.guidance.image_gradient, []

    def spoilt(*arguments: Any) -> torch.Tensor:
        calls.append(1)
        return honest(*arguments) * (float("nan") if len(calls) in (3, 4) else 1.0)

    monkeypatch.setattr(stage.guidance, "image_gradient", spoilt)
    run, state = create_run(config, tmp_path / "run"), stage.state
    with run.active(), Loop(run, config.loop, Console(quiet=True), save=state.save, load=state.load) as loop:
        stage.train(loop)
    assert [line["bad_steps"] for line in metrics(run.path)] == [0, 0, 1, 2, 2, 2, 2, 2]
    assert all(parameter.isfinite().all() for parameter in stage.state.field.parameters())


def test_resumes_from_its_own_checkpoint(prior: DiffusionPrior, tmp_path: Path) -> None:
    config = small_config(device="cuda", loop__steps=6)
    run, _ = train(config, prior, tmp_path / "run")
    stage = build_text_stage(config, prior)
    with Loop(run, config.loop, Console(quiet=True), save=stage.state.save, load=stage.state.load) as loop:
        assert loop.resume() == 6
    entries = list(stage.state.optimizer.state.values())
    assert all(entry["step"].is_cuda and entry["step"].item() == 6 for entry in entries)
