"""Integration and fault: the first stage with the embedded prior, at sizes where a step takes a fifth of a second."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from dreampgc.building import build_text_stage
from dreampgc.cameras import Views
from dreampgc.checkpoint import load_latest
from dreampgc.console import Console
from dreampgc.errors import TrainingError
from dreampgc.guidance.propagation import METHODS
from dreampgc.priors.diffusion import DiffusionPrior
from dreampgc.render import Shading
from dreampgc.runs import Run, create_run
from dreampgc.stages.loop import Loop
from dreampgc.stages.nerf import NerfStage
from dreampgc.types import RenderOutput
from tests.small_runs import metrics, small_config

QUIET = Console(quiet=True)


def train(stage: NerfStage, run: Run) -> None:
    """The stage in its loop, as the pipeline runs it."""
    state = stage.state
    with run.active(), Loop(run, stage.config.loop, QUIET, save=state.save, load=state.load) as loop:
        stage.train(loop)


def trained(mini: DiffusionPrior, folder: Path, **options: Any) -> NerfStage:
    """A stage after a run of two steps."""
    config = small_config(loop__steps=2, **options)
    stage = build_text_stage(config, mini)
    train(stage, create_run(config, folder))
    return stage


def rendered(stage: NerfStage, step: int = 0) -> RenderOutput:
    stage.now = stage._occasion(step)
    return stage._render(stage._views())


@pytest.mark.parametrize("method", METHODS)
def test_every_method_trains(mini: DiffusionPrior, tmp_path: Path, method: str) -> None:
    stage = trained(mini, tmp_path / "run", guidance__method=method)
    before, after = build_text_stage(stage.config, mini).state.save()[0], stage.state.save()[0]
    assert all(tensor.isfinite().all() for tensor in after.values())
    assert not torch.equal(before["field.encoding.table"], after["field.encoding.table"])
    lines = metrics(tmp_path / "run")
    assert [line["step"] for line in lines] == [0, 1]
    for line in lines:
        assert line["bad_steps"] == line["gradient_non_finite"] == 0
        assert 20 <= line["t"] < 980
        assert 0 < line["gradient_median"] <= line["gradient_p99"] <= line["gradient_maximum"]


@pytest.mark.parametrize("method", ["pgc-n", "latent"])
def test_pictures_have_the_size_of_the_prior_s_images(mini: DiffusionPrior, tmp_path: Path, method: str) -> None:
    stage = trained(mini, tmp_path / "run", guidance__method=method)
    size = mini.image_size
    state = stage.state.save()[0]
    preview = stage.preview(2)
    assert (preview.shape, preview.dtype) == ((2 * size, 4 * size, 3), np.uint8)
    assert np.array_equal(preview, stage.preview(2))
    assert all(torch.equal(tensor, state[name]) for name, tensor in stage.state.save()[0].items())
    picture = stage.gradient_picture(2)
    assert (picture.ndim, picture.shape[2], picture.dtype) == (3, 3, np.uint8)


def test_a_saved_state_comes_back_bit_for_bit(mini: DiffusionPrior, tmp_path: Path) -> None:
    stage = trained(mini, tmp_path / "run", render__background="learned")
    tensors, state = stage.state.save()
    tensors = {name: tensor.clone() for name, tensor in tensors.items()}
    other = build_text_stage(small_config(render__background="learned", seed=9), mini)
    other.state.load(tensors, json.loads(json.dumps(state)))
    back = other.state.save()[0]
    assert back.keys() == tensors.keys()
    assert all(torch.equal(back[name], tensor) for name, tensor in tensors.items())
    assert {name.partition(".")[0] for name in tensors} == {"field", "background", "grid", "optimizer", "generator"}
    assert torch.equal(rendered(other).image, rendered(stage).image)  # the same dice, field and grid


def test_the_seed_decides_everything(mini: DiffusionPrior) -> None:
    images = [rendered(build_text_stage(small_config(seed=seed), mini)).image for seed in (1, 1, 2)]
    assert torch.equal(images[0], images[1])
    assert not torch.equal(images[0], images[2])


def test_resolution_ramps_up(mini: DiffusionPrior) -> None:
    stage = build_text_stage(small_config(loop__steps=10, render__ramp=0.5), mini)
    assert [rendered(stage, step).image.shape[-1] for step in (0, 4, 5, 9)] == [16, 16, 24, 24]


@pytest.mark.parametrize(
    ("albedo", "textureless", "shading"), [(1.0, 0.0, "albedo"), (0.0, 1.0, "textureless"), (0.0, 0.0, "lambertian")]
)
def test_shares_choose_the_shading(mini: DiffusionPrior, albedo: float, textureless: float, shading: Shading) -> None:
    stage = build_text_stage(small_config(render__albedo_share=albedo, render__textureless_share=textureless), mini)
    assert {stage._shading() for _ in range(10)} == {shading}
    assert (rendered(stage).normals is None) == (shading == "albedo")


def test_shares_are_kept_in_the_mean(mini: DiffusionPrior) -> None:
    stage = build_text_stage(small_config(render__albedo_share=0.5, render__textureless_share=0.2), mini)
    drawn = [stage._shading() for _ in range(2000)]
    # Three standard deviations of a share of 2000 draws are 0.034.
    assert drawn.count("albedo") / 2000 == pytest.approx(0.5, abs=0.034)
    assert drawn.count("textureless") / 2000 == pytest.approx(0.2, abs=0.034)


def corners(stage: NerfStage) -> Tensor:
    """The colours ``[B,3]`` at one corner of a render, where there is no object."""
    return rendered(stage).image[:, :, 0, 0]


def test_white_background_is_white(mini: DiffusionPrior) -> None:
    stage = build_text_stage(small_config(render__background="white", cameras__batch=8), mini)
    torch.testing.assert_close(corners(stage), torch.ones(8, 3), atol=0.02, rtol=0)  # the young field has some haze


def test_random_background_is_white_half_of_the_time(mini: DiffusionPrior) -> None:
    stage = build_text_stage(small_config(cameras__batch=64, render__start_resolution=4), mini)
    white = (corners(stage).amin(dim=1) > 0.97).float().mean().item()
    assert 0.25 < white < 0.75  # four standard deviations of 64 coins
    assert corners(stage).std(dim=0).min() > 0.1


def test_learned_background_depends_on_the_direction_and_learns(mini: DiffusionPrior, tmp_path: Path) -> None:
    stage = trained(mini, tmp_path / "run", render__background="learned")
    fresh = build_text_stage(stage.config, mini).state.background.state_dict()
    assert all(not torch.equal(fresh[name], new) for name, new in stage.state.background.state_dict().items())
    background = stage._background(stage._occasion(0).views, 8)
    assert background.shape == (1, 3, 8, 8)
    assert background.std(dim=(2, 3)).min() > 0


def test_a_background_that_is_not_learned_is_not_trained(mini: DiffusionPrior, tmp_path: Path) -> None:
    stage = trained(mini, tmp_path / "run", render__background="random")
    fresh = build_text_stage(stage.config, mini).state.background.state_dict()
    assert all(torch.equal(fresh[name], new) for name, new in stage.state.background.state_dict().items())


REGULARISERS = ("opacity_entropy", "sparsity", "orientation", "distortion", "total_variation")


@pytest.mark.parametrize("name", REGULARISERS)
def test_each_regulariser_contributes_by_its_weight(mini: DiffusionPrior, name: str) -> None:
    off = {f"regularisers__{other}": 0.0 for other in REGULARISERS}
    gradients, terms = [], []
    for weight in (1.0, 3.0):
        options = {**off, f"regularisers__{name}": weight, "render__albedo_share": 0.0, "field__base_resolution": 4}
        stage = build_text_stage(small_config(**options), mini)  # coarse levels without collisions, for total variation
        step = stage.config.loop.steps // 2
        [(found, term)] = stage._regularisers(rendered(stage, step)).items()
        assert found == name
        term.backward()
        terms.append(term.item())
        gradients.append(stage.state.field.encoding.table.grad)
    assert terms[1] == pytest.approx(3 * terms[0])
    assert terms[0] > 0
    assert gradients[0] is not None and gradients[0].abs().sum() > 0


def test_no_weight_no_regulariser_and_none_of_normals_without_them(mini: DiffusionPrior) -> None:
    off = {f"regularisers__{name}": 0.0 for name in REGULARISERS}
    stage = build_text_stage(small_config(**off), mini)
    assert stage._regularisers(rendered(stage, 5)) == {}
    stage = build_text_stage(small_config(**off | {"regularisers__orientation": 1.0}, render__albedo_share=1.0), mini)
    assert stage._regularisers(rendered(stage, 5)) == {}


def spoil(stage: NerfStage, bad: set[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the guidance answer with NaN in the steps ``bad``."""
    honest = stage.guidance.image_gradient

    def image_gradient(image: Tensor, views: Views, step: int) -> Tensor:
        return torch.full_like(image, torch.nan) if step in bad else honest(image, views, step)

    monkeypatch.setattr(stage.guidance, "image_gradient", image_gradient)


def test_a_step_that_is_not_finite_is_skipped_and_counted(
    mini: DiffusionPrior, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small_config(loop__steps=3)
    stage = build_text_stage(config, mini)
    spoil(stage, {1}, monkeypatch)
    run = create_run(config, tmp_path / "run")
    train(stage, run)
    assert run.state == "done"
    assert [line["bad_steps"] for line in metrics(run.path)] == [0, 1, 1]
    assert all(tensor.isfinite().all() for tensor in stage.state.save()[0].values())


def test_twenty_in_a_row_end_the_run_and_the_last_checkpoint_stays(
    mini: DiffusionPrior, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small_config(loop__steps=40, loop__checkpoint_every=2)
    assert config.loop.max_bad_steps == 20
    stage = build_text_stage(config, mini)
    spoil(stage, set(range(2, 40)), monkeypatch)
    run = create_run(config, tmp_path / "run")
    with pytest.raises(TrainingError, match="20 steps in a row"):
        train(stage, run)
    assert run.state == "failed"
    assert "20 steps in a row" in run.record["error"]
    assert len(metrics(run.path)) == 21  # two good steps, and 19 bad ones before the last

    loaded = load_latest(run.path, pytest.fail)
    assert loaded is not None
    step, tensors, _ = loaded
    assert step == 20  # good tensors, though the steps before it were bad: they changed no weight
    kept = [name for name in tensors if name.startswith(("field.", "optimizer."))]
    assert kept
    assert all(torch.equal(tensors[name], stage.state.save()[0][name]) for name in kept)
