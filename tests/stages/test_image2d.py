"""Property, integration and fault: an image trained directly, with a tiny random prior."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from dreampgc import exporting, pipeline
from dreampgc.building import build_image2d_stage
from dreampgc.config import RunConfig, load_config
from dreampgc.console import Console
from dreampgc.errors import InputError, Interrupted
from dreampgc.guidance.propagation import METHODS
from dreampgc.guidance.sds import ScoreDistillation
from dreampgc.priors.catalog import resolve
from dreampgc.priors.diffusion import DiffusionPrior
from dreampgc.priors.linear import LinearMap
from dreampgc.runs import Run, create_run
from dreampgc.stages.image2d import LATENT_RATE, Image2dStage
from dreampgc.stages.loop import Loop
from tests.priors.conftest import write_tiny_model
from tests.small_runs import final_state, metrics

QUIET = Console(quiet=True)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)  # sums of one order, so that two runs can have the same bits
    directory = write_tiny_model(tmp_path_factory.mktemp("image2d") / "tiny")
    LinearMap((torch.randn(3, 4), torch.zeros(4)), None).save(directory)
    return directory


@pytest.fixture(scope="module")
def prior(directory: Path) -> DiffusionPrior:
    return resolve(str(directory)).load()


def small(**options: Any) -> RunConfig:
    named = {key.replace("__", "."): value for key, value in options.items()}
    return load_config(options={"prompt": "a car", "device": "cpu", "task": "image2d", "loop.steps": 4, **named})


def train(stage: Image2dStage, folder: Path) -> Run:
    """The stage in its loop, as the pipeline runs it."""
    run, state = create_run(stage.config, folder), stage.state
    with run.active(), Loop(run, stage.config.loop, QUIET, save=state.save, load=state.load) as loop:
        stage.train(loop)
    return run


@pytest.mark.parametrize("method", METHODS)
def test_every_method_trains(prior: DiffusionPrior, tmp_path: Path, method: str) -> None:
    stage = build_image2d_stage(small(guidance__method=method), prior)
    before = stage.state.image.detach().clone()
    run = train(stage, tmp_path / "run")
    image = stage.state.image.detach()
    assert image.shape == ((1, 4, 4, 4) if method == "latent" else (1, 3, 32, 32))
    assert image.isfinite().all()
    assert not torch.equal(image, before)
    assert method == "latent" or (image.min() >= 0 and image.max() <= 1)
    for line in metrics(run.path):
        assert line["bad_steps"] == line["gradient_non_finite"] == 0
        assert 20 <= line["t"] < 980
        assert 0 < line["gradient_median"] <= line["gradient_p99"] <= line["gradient_maximum"]
    assert stage.preview(4).shape == (32, 32, 3)
    side = 4 if method == "latent" else 32
    assert stage.gradient_picture(4).shape == (side, 2 * side + 2, 3)


def test_all_methods_start_from_the_same_image(prior: DiffusionPrior) -> None:
    starts = {method: build_image2d_stage(small(guidance__method=method), prior).state for method in METHODS}
    image = starts["vae"].image.detach()
    assert all(torch.equal(state.image, image) for method, state in starts.items() if method != "latent")
    assert torch.equal(starts["latent"].image, prior.encode(image))
    assert image.mean() > 0.9
    rates = {method: state.optimizer.param_groups[0]["lr"] for method, state in starts.items()}
    assert rates["latent"] == pytest.approx(LATENT_RATE * rates["vae"])


class Attraction:
    """In the place of guidance: a gradient that points from ``target`` to the image."""

    def __init__(self, target: Tensor) -> None:
        self.target = target
        self.metrics: dict[str, Tensor] = {}

        self.last = None

    def spare(self) -> None:
        """Nothing can be spared."""

    def at(self, step: int) -> None:
        """Nothing is drawn."""

    def image_gradient(self, image: Tensor, views: Any, step: int) -> Tensor:
        """The gradient of half the squared distance."""
        return image - self.target


def test_the_image_goes_where_its_gradient_sends_it_and_stays_an_image(prior: DiffusionPrior, tmp_path: Path) -> None:
    target = torch.linspace(-0.5, 1.5, 3 * 32 * 32).view(1, 3, 32, 32)
    stage = build_image2d_stage(small(loop__steps=200, loop__checkpoint_every=0), prior)
    stage.guidance = cast(ScoreDistillation, Attraction(target))
    train(stage, tmp_path / "run")
    # The last steps' rate is 0.003: a few of them is how near Adam comes to a fixed target.
    assert (stage.state.image - target.clamp(0, 1)).abs().max() < 0.02


def test_the_seed_decides_everything(directory: Path, tmp_path: Path) -> None:
    ends = []
    for number, seed in enumerate((1, 1, 2)):
        config = small(prior=str(directory), seed=seed)
        ends.append(final_state(pipeline.create(config, tmp_path / str(number), QUIET), 4))
    assert ends[0] == ends[1] != ends[2]


def test_a_saved_state_comes_back_bit_for_bit(prior: DiffusionPrior, tmp_path: Path) -> None:
    stage = build_image2d_stage(small(), prior)
    train(stage, tmp_path / "run")
    tensors, state = stage.state.save()
    tensors = {name: tensor.clone() for name, tensor in tensors.items()}
    other = build_image2d_stage(small(seed=9), prior)
    other.state.load(tensors, json.loads(json.dumps(state)))
    back = other.state.save()[0]
    assert back.keys() == tensors.keys()
    assert all(torch.equal(back[name], tensor) for name, tensor in tensors.items())


class StopsAt(Loop):
    """A loop that is told to stop after ten steps, as by Ctrl-C."""

    def log(self, step: int, metrics: Any) -> None:
        """Log, then take the signal."""
        super().log(step, metrics)
        if step == 9:
            signal.raise_signal(signal.SIGINT)


def test_twenty_steps_are_ten_and_ten_bit_for_bit(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small(prior=str(directory), loop__steps=20, loop__checkpoint_every=7)
    whole, parts = pipeline.create(config, tmp_path / "whole", QUIET), tmp_path / "parts"
    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "Loop", StopsAt)
        with pytest.raises(Interrupted, match="after step 10"):
            pipeline.create(config, parts, QUIET)
    pipeline.resume(parts, QUIET)
    assert final_state(whole, 20) == final_state(parts, 20)
    assert metrics(whole) == metrics(parts)
    assert (whole / "image.png").read_bytes() == (parts / "image.png").read_bytes()


def test_the_run_s_result_is_its_image_and_no_mesh(directory: Path, tmp_path: Path) -> None:
    run = pipeline.create(small(prior=str(directory)), tmp_path / "run", QUIET)
    with Image.open(run / "image.png") as picture, Image.open(run / "previews" / "step-000004.png") as preview:
        assert picture.size == (32, 32)
        assert np.array_equal(np.asarray(picture), np.asarray(preview))
    assert Run(run).record["task"] == "image2d"
    assert not list(run.glob("mesh.*"))
    with pytest.raises(InputError, match="has no mesh: its task is image2d"):
        exporting.turntable(run, output=None, console=QUIET)
