"""Score distillation with a prior whose optimum is known."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from dreampgc.cameras import Views, fixed_views
from dreampgc.errors import InputError
from dreampgc.guidance.guides import TextGuide, perpendicular
from dreampgc.guidance.pictures import draw_gradient
from dreampgc.guidance.propagation import METHODS
from dreampgc.guidance.schedule import Schedule
from dreampgc.guidance.sds import ScoreDistillation
from dreampgc.priors.base import TextCondition
from tests.guidance.toy import ToyPrior

FIXED_TIME = Schedule(100, t_min=0.5, t_max=0.5)
VIEWS = fixed_views([0, 90])


def distillation(toy: ToyPrior, seed: int = 0, **settings: Any) -> ScoreDistillation:
    told: dict[str, Any] = {
        name: settings.pop(name) for name in ("scale", "perp_neg", "negative_prompt") if name in settings
    }
    told = {"scale": 1.0} | told
    guide = TextGuide(toy, "a car", **told)
    generator = torch.Generator().manual_seed(seed)
    settings = {"schedule": FIXED_TIME} | settings
    return ScoreDistillation(guide, generator=generator, **settings)


def told(sds: ScoreDistillation, views: Views = VIEWS) -> Tensor:
    """The toy's numbers for the text of each view, ``[B,1,1,1]``."""
    assert isinstance(sds.guide, TextGuide)
    return sds.guide.condition(views).tokens[..., None]


def test_latent_gradient_is_the_weighted_error_of_the_noise(toy: ToyPrior) -> None:
    """For this prior ``eps_hat - eps = sqrt(a / (1 - a)) (z - target)``: the noise cancels."""
    latents = torch.randn(2, 4, 4, 4)
    t = torch.tensor([100, 800])
    sds = distillation(toy)
    alpha = toy.alphas_cumprod[t].view(-1, 1, 1, 1)
    expected = (1 - alpha) * (alpha / (1 - alpha)).sqrt() * (latents - toy.target - told(sds))
    torch.testing.assert_close(sds.latent_gradient(latents, t, VIEWS), expected, rtol=1e-4, atol=1e-5)


def test_guidance_scale_in_one_batch(toy: ToyPrior) -> None:
    """``eps_0 + s (eps_y - eps_0)``: the optimum moves from the negative text's by s times the difference."""
    latents, t = torch.randn(2, 4, 4, 4), torch.tensor([500, 500])
    sds = distillation(toy, scale=7.0, negative_prompt="b")
    negative = toy.encode_text(["b"]).tokens.item()
    optimum = toy.target + negative + 7 * (told(sds) - negative)
    alpha = toy.alphas_cumprod[500]
    expected = ((1 - alpha) * alpha).sqrt() * (latents - optimum)
    torch.testing.assert_close(sds.latent_gradient(latents, t, VIEWS), expected, rtol=1e-4, atol=1e-5)
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
    front, side, back = toy.encode_text(toy.texts[:3]).tokens
    # halfway between two phrases, equal shares
    torch.testing.assert_close(
        told(sds, fixed_views([0, 45, 135, 180], elevation=0))[..., 0],
        torch.stack([front, (front + side) / 2, (side + back) / 2, back]),
    )


def test_text_encoders_are_released_once_the_texts_are_known(toy: ToyPrior) -> None:
    distillation(toy)
    assert toy.released


def guided(sds: ScoreDistillation, views: Views, latents: Tensor) -> Tensor:
    """What the latent gradient adds up to without its noise and its weight."""
    state = sds.generator.get_state()
    t = torch.full((len(views),), 500)
    gradient = sds.latent_gradient(latents, t, views)
    sds.generator.set_state(state)
    return gradient


@given(seed=st.integers(0, 2**31), scale=st.sampled_from([1e-3, 1.0, 1e3]))
def test_the_perpendicular_part_has_nothing_of_the_direction(seed: int, scale: float) -> None:
    """``x - perp`` is parallel to ``y``, ``perp . y = 0``, and each sample is on its own."""
    generator = torch.Generator().manual_seed(seed)
    x, y = torch.randn(2, 3, 4, 5, 5, generator=generator)
    x = x * scale
    across = perpendicular(x, y)
    # a sum of 100 float32 products: about 1e-6 of the factors' norms
    along = (across * y).sum((1, 2, 3)).abs()
    assert (along <= 1e-5 * x.flatten(1).norm(dim=1) * y.flatten(1).norm(dim=1)).all()
    torch.testing.assert_close(across[1:2], perpendicular(x[1:2], y[1:2]))
    torch.testing.assert_close(perpendicular(-2.5 * y, y), torch.zeros_like(y), atol=1e-5, rtol=0)
    assert torch.equal(perpendicular(x, torch.zeros_like(y)), x)


def test_perp_neg_leaves_what_it_shares_with_the_view(toy: ToyPrior) -> None:
    """The toy's texts differ along one direction only, so the front has nothing perpendicular to subtract."""
    latents = torch.randn(2, 4, 4, 4)
    plain, averse = (guided(distillation(toy, scale=7.0, perp_neg=weight), VIEWS, latents) for weight in (0.0, 2.0))
    torch.testing.assert_close(plain, averse, rtol=1e-3, atol=1e-4)
    assert toy.batches == [4, 6]


def test_perp_neg_spares_the_front_and_is_perpendicular_elsewhere() -> None:
    """With texts of independent directions, the change is orthogonal to the view's own direction and grows with
    the angle from the front."""
    toy = DirectionsToy()
    views, latents = fixed_views([0, 45, 90, 180], elevation=0), torch.zeros(4, 4, 4, 4)
    results = [guided(distillation(toy, scale=1.0, perp_neg=weight), views, latents) for weight in (0.0, 1.0, 2.0)]
    change, double = results[1] - results[0], results[2] - results[0]
    torch.testing.assert_close(double, 2 * change, rtol=1e-3, atol=1e-5)
    sizes = change.flatten(1).norm(dim=1)
    assert sizes[0] < 1e-5 < sizes[1] < sizes[2]
    guide = TextGuide(toy, "a car")
    away = guide.condition(views).tokens - toy.encode_text([""]).tokens
    own = torch.stack([toy.direction(a) for a in away])
    cosine = functional.cosine_similarity(change[1:].flatten(1), own[1:].flatten(1))
    assert cosine.abs().max() < 1e-4


class DirectionsToy(ToyPrior):
    """Each text moves the belief along a random direction of its own."""

    def encode_text(self, texts: list[str]) -> TextCondition:
        one_hot = [torch.randn(64, generator=torch.Generator().manual_seed(sum(map(ord, text)))) for text in texts]
        return TextCondition(torch.stack(one_hot).view(-1, 1, 64))

    def direction(self, tokens: Tensor) -> Tensor:
        """Where the noise prediction goes for such tokens (``[1,64]``), up to a factor."""
        return tokens.view(4, 4, 4)

    def predict_noise(self, noisy: Tensor, timesteps: Tensor, text: TextCondition) -> Tensor:
        return torch.stack([self.direction(tokens) for tokens in text.tokens])


@pytest.mark.parametrize("method", ["vae", "pgc-n", "latent"])
def test_descent_finds_the_priors_optimum(toy: ToyPrior, method: str) -> None:
    sds = distillation(toy, method=method, clip=1.0)
    toy.target = torch.tanh(toy.target * 0.3)  # within reach of the encoder's tanh
    image = torch.full((1, 3, 32, 32), 0.5) if method != "latent" else torch.zeros(1, 4, 4, 4)
    view = fixed_views([0], elevation=0)
    encode = toy.encode if method != "latent" else (lambda x: x)
    optimum = toy.target + told(sds, view)
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
    assert record.statistics["maximum"].item() == pytest.approx(norms.max().item(), rel=1e-5)
    assert record.statistics["clipped"].item() == pytest.approx((norms > 0.01).float().mean().item(), abs=1e-3)
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
