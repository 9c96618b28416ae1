"""Score distillation with a prior whose optimum is known."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from dreampgc.cameras import fixed_views
from dreampgc.errors import InputError
from dreampgc.guidance.pictures import draw_gradient
from dreampgc.guidance.propagation import METHODS
from dreampgc.guidance.schedule import Schedule
from dreampgc.guidance.sds import ScoreDistillation
from tests.guidance.toy import ToyPrior

FIXED_TIME = Schedule(100, t_min=0.5, t_max=0.5)
VIEWS = fixed_views([0, 90])


def distillation(toy: ToyPrior, seed: int = 0, **settings: Any) -> ScoreDistillation:
    settings = {"schedule": FIXED_TIME, "scale": 1.0} | settings
    return ScoreDistillation(toy, "a car", generator=torch.Generator().manual_seed(seed), **settings)


def test_latent_gradient_is_the_weighted_error_of_the_noise(toy: ToyPrior) -> None:
    """For this prior ``eps_hat - eps = sqrt(a / (1 - a)) (z - target)``: the noise cancels."""
    latents = torch.randn(2, 4, 4, 4)
    t = torch.tensor([100, 800])
    text = torch.zeros(2, 1, 1)
    alpha = toy.alphas_cumprod[t].view(-1, 1, 1, 1)
    expected = (1 - alpha) * (alpha / (1 - alpha)).sqrt() * (latents - toy.target)
    torch.testing.assert_close(distillation(toy).latent_gradient(latents, t, text), expected, rtol=1e-4, atol=1e-5)


def test_guidance_scale_in_one_batch(toy: ToyPrior) -> None:
    """``eps_0 + s (eps_y - eps_0)``: the optimum moves from the negative text's by s times the difference."""
    latents, t, text = torch.randn(2, 4, 4, 4), torch.tensor([500, 500]), torch.full((2, 1, 1), 0.25)
    sds = distillation(toy, scale=7.0, negative_prompt="b")
    negative = toy.encode_text(["b"]).item()
    optimum = toy.target + negative + 7 * (0.25 - negative)
    alpha = toy.alphas_cumprod[500]
    expected = ((1 - alpha) * alpha).sqrt() * (latents - optimum)
    torch.testing.assert_close(sds.latent_gradient(latents, t, text), expected, rtol=1e-4, atol=1e-5)
    assert toy.batches == [4]


def test_views_choose_the_text(toy: ToyPrior) -> None:
    sds = distillation(toy, method="latent")
    assert toy.texts == [
        "a car, front view",
        "a car, side view",
        "a car, back view",
        "a car, side view",
        "a car, overhead view",
        "",
    ]
    front, side, back = toy.encode_text(toy.texts[:3])
    # halfway between two phrases, equal shares
    torch.testing.assert_close(
        sds._condition(fixed_views([0, 45, 135, 180], elevation=0)),
        torch.stack([front, (front + side) / 2, (side + back) / 2, back]),
    )


@pytest.mark.parametrize("method", ["vae", "pgc-n", "latent"])
def test_descent_finds_the_priors_optimum(toy: ToyPrior, method: str) -> None:
    sds = distillation(toy, method=method, clip=1.0)
    toy.target = torch.tanh(toy.target * 0.3)  # within reach of the encoder's tanh
    image = torch.full((1, 3, 32, 32), 0.5) if method != "latent" else torch.zeros(1, 4, 4, 4)
    view = fixed_views([0], elevation=0)
    encode = toy.encode if method != "latent" else (lambda x: x)
    optimum = toy.target + sds._condition(view)[:, :, :, None]
    before = (encode(image) - optimum).norm()
    for step in range(150):
        image = image - 0.5 * sds.image_gradient(image, view, step)
    assert (encode(image) - optimum).norm() < 0.35 * before


@pytest.mark.parametrize("method", METHODS)
def test_reproducible_from_the_generators_state(toy: ToyPrior, method: str) -> None:
    image = torch.rand(2, 3, 16, 16) if method not in ("latent",) else torch.randn(2, 4, 4, 4)
    sds = distillation(toy, method=method, schedule=Schedule(100), scale=3.0)
    state = sds.generator.get_state()
    first = sds.image_gradient(image, VIEWS, 3)
    second = sds.image_gradient(image, VIEWS, 3)
    sds.generator.set_state(state)
    assert torch.equal(sds.image_gradient(image, VIEWS, 3), first)
    assert not torch.equal(first, second)


def test_global_randomness_plays_no_part(toy: ToyPrior) -> None:
    results = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        results.append(
            distillation(toy, schedule=Schedule(9)).image_gradient(torch.full((2, 3, 16, 16), 0.4), VIEWS, 0)
        )
    assert torch.equal(*results)


def test_the_image_gets_no_graph_and_no_change(toy: ToyPrior) -> None:
    image = torch.rand(2, 3, 16, 16, requires_grad=True)
    before = image.detach().clone()
    gradient = distillation(toy).image_gradient(image, VIEWS, 0)
    assert gradient.shape == image.shape
    assert not gradient.requires_grad
    assert image.grad is None
    assert torch.equal(image, before)


def test_last_keeps_what_logs_and_pictures_need(toy: ToyPrior) -> None:
    sds = distillation(toy, clip=0.01)
    assert sds.last is None
    sds.image_gradient(torch.rand(2, 3, 16, 16), VIEWS, 0)
    record = sds.last
    assert record is not None
    assert record.timesteps.tolist() == [500, 500]
    assert record.gradient.raw.shape == record.gradient.shaped.shape == (2, 3, 32, 32)
    norms = record.gradient.raw.norm(dim=1)
    assert record.statistics["maximum"] == pytest.approx(norms.max().item(), rel=1e-5)
    assert record.statistics["clipped"] == pytest.approx((norms > 0.01).float().mean().item(), abs=1e-3)
    assert record.gradient.shaped.norm(dim=1).max() <= 0.01 * (1 + 1e-5)


def test_unknown_method_names_the_six(toy: ToyPrior) -> None:
    with pytest.raises(InputError, match="'pgc': choose one of latent, vae, linear, pngd, pgc-v, pgc-n"):
        distillation(toy, method="pgc")


def test_pictures_show_spikes_clipping_and_bad_pixels() -> None:
    raw = torch.full((2, 3, 8, 8), 1e-5)
    raw[0, :, 2, 3] = 100.0
    raw[1, 0, 4, 5] = torch.nan
    picture = draw_gradient(raw, raw.clamp(-0.05, 0.05).nan_to_num(), threshold=0.1)
    assert picture.shape == (18, 18, 3)
    assert picture.dtype == "uint8"
    brightness = picture.astype(int).sum(-1)
    assert brightness[2, 3] > brightness[2, 10 + 3] > brightness[0, 0]
    assert picture[10 + 4, 5].tolist() == [0, 255, 255]
    assert picture[10 + 4, 10 + 5].tolist() == picture[0, 0].tolist()
