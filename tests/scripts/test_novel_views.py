"""Property and reference: what the training of mini-zero123 draws, and that a run tells the model the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from mini_prior import novel_views
from mini_prior.autoencoder import encode_over_white
from mini_prior.data import Dataset, render_dataset
from mini_prior.denoiser import make_scheduler
from mini_prior.export_views import export_views
from mini_prior.novel_views import Pairs, ViewDenoiser, held_out_view_loss
from torch import Tensor

from dreampgc.priors.base import ViewCondition
from dreampgc.priors.catalog import MINI_DIRECTORY
from dreampgc.priors.diffusion import DiffusionPrior
from dreampgc.priors.zero123 import Zero123Prior, pose_features

SCALING = 0.25


def dataset(looks: int, views: int) -> Dataset:
    """Pictures without content; every camera is told apart by its number."""
    count = looks * views
    numbers = torch.arange(float(count))
    rgba = torch.zeros(count, 4, 16, 16, dtype=torch.uint8)
    rgba[:, 3] = 255
    rgba[:, 0] = numbers[:, None, None].byte()
    return Dataset(rgba, torch.zeros(count, 4), 10 * numbers, numbers, 2 + numbers / count, views)


@pytest.fixture
def pairs() -> Pairs:
    latents = torch.arange(24.0).half()[:, None, None, None].expand(-1, 4, 2, 2)
    return Pairs(dataset(6, 4), latents, SCALING)


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_pairs_stay_in_their_group_and_are_all_drawn(pairs: Pairs, generator: torch.Generator) -> None:
    reference, target = pairs.draw(20_000, generator)
    assert torch.equal(reference // 4, target // 4)
    drawn = torch.zeros(24, 24).index_put((reference, target), torch.ones(20_000), accumulate=True)
    itself = drawn.diagonal().sum() / 20_000
    assert itself == pytest.approx(novel_views.ITSELF, abs=0.01)
    # Of the others, both orders of each of the 6 x 6 pairs of a group, about as often.
    others = drawn[(drawn > 0) & ~torch.eye(24, dtype=torch.bool)]
    assert len(others) == 6 * 12
    assert others.min() > 0.7 * others.mean()


def test_poses_are_those_of_the_target_relative_to_the_reference(pairs: Pairs) -> None:
    found = pairs.poses(torch.tensor([0, 9]), torch.tensor([3, 8]))
    azimuth, elevation, distance = (
        torch.tensor([30.0, -10.0]),
        torch.tensor([3.0, -1.0]),
        torch.tensor([3.0, -1.0]) / 24,
    )
    torch.testing.assert_close(found, pose_features("zero123", 0.0, azimuth, elevation, distance))


def test_the_inputs_of_a_step(pairs: Pairs, generator: torch.Generator) -> None:
    noise, noisy, t, reference, pictures, pose, told = pairs.draw_noisy(4_000, generator)
    number = reference[:, 0, 0, 0].long()  # of the reference: its latents are as they came, not scaled
    assert torch.equal(pictures[:, 0, 0, 0].long(), number)
    alpha = make_scheduler().alphas_cumprod[t][:, None, None, None]
    target = ((noisy - (1 - alpha).sqrt() * noise) / (alpha.sqrt() * SCALING)).mean(dim=(1, 2, 3))
    kept = alpha.flatten() > 0.1  # where the target can be told through the noise
    target = target[kept].round().long()
    assert torch.equal(target // 4, number[kept] // 4)
    torch.testing.assert_close(pose[kept], pairs.poses(number[kept], target))
    assert 1 - told.mean() == pytest.approx(novel_views.UNCONDITIONAL, abs=0.02)
    assert set(told.tolist()) == {0.0, 1.0}
    assert (t.min(), t.max()) == (0, 999)


def test_single_views_and_foreign_latents_are_refused(pairs: Pairs) -> None:
    with pytest.raises(ValueError, match="at least two views"):
        Pairs(replace(pairs.data, views=1), pairs.latents, SCALING)
    with pytest.raises(ValueError, match="24 pictures, but latents of 23"):
        Pairs(pairs.data, pairs.latents[1:], SCALING)


@pytest.fixture(scope="module")
def model() -> ViewDenoiser:
    torch.manual_seed(0)
    return ViewDenoiser(32, (32, 32, 32), SCALING).eval()


@torch.no_grad()
def test_who_is_not_told_sees_neither_reference_nor_pose(model: ViewDenoiser) -> None:
    def answer(told: float, seed: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        reference, pose = torch.randn(2, 4, 4, 4, generator=generator), torch.randn(2, 4, generator=generator)
        pictures = torch.randint(256, (2, 3, 32, 32), generator=generator).byte()
        return model(torch.ones(2, 4, 4, 4), torch.tensor([10, 900]), reference, pictures, pose, torch.full((2,), told))

    assert torch.equal(answer(0, 1), answer(0, 2))
    assert not torch.allclose(answer(1, 1), answer(1, 2), atol=1e-3)


@torch.no_grad()
def test_a_run_tells_the_model_what_it_was_trained_with(
    model: ViewDenoiser, mini: DiffusionPrior, generator: torch.Generator, tmp_path: Path
) -> None:
    """The exported model, asked by the methods of a prior, answers as the training's own forward pass does."""
    data = render_dataset(8, 32, "cpu", seed=0, shapes=1, views=2, distance=(1.8, 3.0), fov=(45.0, 45.0))
    pairs = Pairs(data, encode_over_white(mini.vae, data), mini.scaling_factor)
    export_views(tmp_path, model, 32)
    prior = Zero123Prior.load(tmp_path, vae=MINI_DIRECTORY)
    reference, target = pairs.draw(6, torch.Generator().manual_seed(0))
    _, noisy, t, *inputs, _ = pairs.draw_noisy(6, generator.manual_seed(0))
    told = torch.tensor([1.0, 1, 1, 0, 1, 1])
    expected = model(noisy, t, *inputs, told)

    conditions = []
    for one, other, informed in zip(reference, target, told, strict=True):
        assert torch.equal(inputs[1][len(conditions)], data.over_white(one[None])[0])  # the same draw
        first = prior.condition(data.over_white(one[None]) / 255, float(data.elevation[one]))
        away = (values[other] - values[one] for values in (data.azimuth, data.elevation, data.distance))
        view = prior.view(first, *(value[None] for value in away))
        conditions.append(view if informed else view.unconditional())
    found = prior.predict_noise(noisy, t, ViewCondition.joined(conditions))
    # The training keeps latents in half precision: three digits.
    torch.testing.assert_close(found, expected, rtol=5e-3, atol=5e-3)


def test_the_processor_of_a_run_gives_what_the_training_normalises(tmp_path: Path) -> None:
    pictures = torch.randint(256, (2, 3, 32, 32), generator=torch.Generator().manual_seed(0)).byte()
    novel_views.make_processor(32).save_pretrained(tmp_path)
    processor = type(novel_views.make_processor(32)).from_pretrained(tmp_path)
    arrays = [picture.permute(1, 2, 0).numpy() for picture in pictures]
    pixels = processor(arrays, return_tensors="pt", input_data_format="channels_last").pixel_values
    torch.testing.assert_close(pixels, novel_views.normalised(pictures))


def test_the_held_out_loss_is_that_of_the_noise_and_the_same_at_every_call(
    pairs: Pairs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(novel_views, "view_loss", lambda _, noise, *inputs: noise.square().mean())  # predicts zero
    losses = [held_out_view_loss(None, pairs, batch=64, rounds=8) for _ in range(2)]  # pyright: ignore
    assert losses[0] == losses[1] == pytest.approx(1, abs=0.1)
