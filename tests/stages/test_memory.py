"""Fault: steps that run out of memory are done again with less of it, and the run goes on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from dreampgc.building import build_text_stage
from dreampgc.console import Console
from dreampgc.errors import DreamError
from dreampgc.guidance.sds import ScoreDistillation
from dreampgc.priors.diffusion import DiffusionPrior
from dreampgc.priors.networks import SparingNetworks
from dreampgc.runs import Run, create_run
from dreampgc.stages.loop import Loop
from dreampgc.stages.memory import MemoryLadder
from dreampgc.stages.nerf import NerfStage
from tests.priors.conftest import write_tiny_model
from tests.small_runs import metrics, small_config


@pytest.fixture(scope="module")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("memory") / "tiny")


@pytest.fixture
def prior(tiny_model: Path) -> DiffusionPrior:
    """A prior of its own for each test: saving memory changes it."""
    return DiffusionPrior.load(tiny_model)


def train(stage: NerfStage, folder: Path) -> Run:
    run, state = create_run(stage.config, folder), stage.state
    with run.active(), Loop(run, stage.config.loop, Console(quiet=True), save=state.save, load=state.load) as loop:
        stage.train(loop)
    return run


def starve(stage: NerfStage, monkeypatch: pytest.MonkeyPatch, hungry: Callable[[], bool]) -> list[int]:
    """Let the device be full in the middle of the guidance while ``hungry``; the list grows with every failure."""
    failures: list[int] = []
    assert isinstance(stage.guidance, ScoreDistillation)
    honest = stage.guidance.latent_gradient

    def full(*arguments: Any) -> Tensor:
        if hungry():
            failures.append(1)
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
        return honest(*arguments)

    monkeypatch.setattr(stage.guidance, "latent_gradient", full)
    return failures


def test_the_prior_saves_first_and_the_step_is_the_same(
    prior: DiffusionPrior, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    config = small_config(loop__steps=3, cameras__batch=2)
    stage = build_text_stage(config, prior)
    starve(stage, monkeypatch, lambda: not isinstance(prior.networks, SparingNetworks))
    run = train(stage, tmp_path / "starved")
    assert run.state == "done"
    warnings = " ".join(capsys.readouterr().err.split())
    assert warnings.count("out of memory on the device") == 1
    assert "one view at a time" in warnings
    assert stage._chunk is None
    plain = train(build_text_stage(config, DiffusionPrior.load(tiny_model)), tmp_path / "plain")
    # The same random numbers; the gradients went through other orders of sums.
    for line, expected in zip(metrics(run.path), metrics(plain.path), strict=True):
        assert line["t"] == expected["t"]
        assert line["loss"] == pytest.approx(expected["loss"], rel=1e-3)


def test_then_fewer_rays_then_smaller_pictures(
    prior: DiffusionPrior, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    config = small_config(loop__steps=3, render__start_resolution=64, render__resolution=64)
    stage = build_text_stage(config, prior)
    failures = starve(stage, monkeypatch, lambda: stage._halvings < 1)
    run = train(stage, tmp_path / "run")
    assert run.state == "done"
    assert len(metrics(run.path)) == 3
    assert len(failures) == 5
    warnings = " ".join(capsys.readouterr().err.split())
    order = ["one view at a time", "8192 rays", "2048 rays", "512 rays", "rendered at 32 to 32 pixels"]
    places = [warnings.index(sentence) for sentence in order]
    assert places == sorted(places)
    assert warnings.count("out of memory") == 5


def test_what_is_too_large_at_its_smallest_ends_the_run(
    prior: DiffusionPrior, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = build_text_stage(small_config(loop__steps=3), prior)
    failures = starve(stage, monkeypatch, lambda: True)
    with pytest.raises(DreamError, match="too little memory"):
        train(stage, tmp_path / "run")
    assert len(failures) == 5  # as it was, the prior, three sizes of chunks; 16 pixels are not halved


def test_rays_in_chunks_give_the_same_step(prior: DiffusionPrior) -> None:
    """Also for the regularisers, which see all samples at once."""
    options = {"render__albedo_share": 0.0, "regularisers__orientation": 1.0, "regularisers__distortion": 1.0}
    found = []
    for chunk in (None, 70):
        stage = build_text_stage(small_config(loop__steps=4, **options), prior)
        stage._chunk = chunk
        stage.now = stage._occasion(2)
        out = stage._render(stage._views())
        terms = stage._regularisers(out)
        (out.image.square().sum() + torch.stack(list(terms.values())).sum()).backward()
        rays = out.extras["rays"]
        assert (rays.diff() >= 0).all()
        gradients = {name: p.grad for name, p in stage.state.field.named_parameters()}
        found.append((out.image.detach(), rays, terms, gradients))
    torch.testing.assert_close(found[1], found[0], rtol=1e-3, atol=1e-5)


def test_a_failed_step_leaves_nothing_behind() -> None:
    """Its tensors are gone, its dice are thrown again, before the step is repeated."""

    class Large:
        alive = 0

        def __init__(self) -> None:
            Large.alive += 1

        def __del__(self) -> None:
            Large.alive -= 1

    weights = torch.nn.Parameter(torch.zeros(3))
    dice = torch.Generator().manual_seed(0)
    seen: list[float] = []
    answers = ["less", "still less", None]

    def step() -> None:
        assert Large.alive == 0
        assert weights.grad is None
        large = Large()
        seen.append(torch.rand((), generator=dice).item())
        weights.grad = torch.ones(3)
        if len(seen) < 3:
            raise torch.OutOfMemoryError(f"{large} is too large")

    said: list[str] = []
    ladder = MemoryLadder([lambda: answers.pop(0)], dice, torch.optim.SGD([weights]))
    ladder.attempt(step, said.append)
    assert seen[0] == seen[1] == seen[2]
    assert [sentence.split(": ")[1].split(";")[0] for sentence in said] == ["less", "still less"]
