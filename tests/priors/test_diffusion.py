"""Loading the diffusers layout, and the methods of a loaded prior."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from safetensors.torch import load_file, save_file

from dreampgc.cameras import fixed_views
from dreampgc.errors import InputError
from dreampgc.guidance.guides import TextGuide
from dreampgc.guidance.propagation import METHODS
from dreampgc.guidance.schedule import Schedule
from dreampgc.guidance.sds import ScoreDistillation
from dreampgc.priors.base import TextCondition
from dreampgc.priors.diffusion import DiffusionPrior
from dreampgc.priors.linear import fit_linear_map
from dreampgc.priors.prompts import MINI, STABLE_DIFFUSION


@pytest.fixture(scope="module")
def prior(tiny_model: Path) -> DiffusionPrior:
    return DiffusionPrior.load(tiny_model)


@pytest.fixture
def copy(tiny_model: Path, tmp_path: Path) -> Path:
    return shutil.copytree(tiny_model, tmp_path / "copy")


def test_facts_come_from_the_directory(prior: DiffusionPrior) -> None:
    assert (prior.name, prior.image_size, prior.downsampling) == ("tiny", 32, 8)
    assert prior.view_phrases is STABLE_DIFFUSION
    reference = DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear").alphas_cumprod
    torch.testing.assert_close(prior.alphas_cumprod, reference)


def test_weights_are_frozen_and_upcast(tiny_model: Path) -> None:
    prior = DiffusionPrior.load(tiny_model)
    for model in (prior.unet, prior.vae, prior.text.encoders[0][1]):
        assert not model.training
        for parameter in model.parameters():
            assert parameter.dtype == torch.float32
            assert not parameter.requires_grad


def test_encoder_is_differentiable_in_the_image_only(prior: DiffusionPrior) -> None:
    image = torch.rand(2, 3, 32, 32, requires_grad=True)
    latents = prior.encode(image)
    assert latents.shape == (2, 4, 4, 4)
    expected = 0.25 * prior.vae.encode(2 * image - 1).latent_dist.mean
    torch.testing.assert_close(latents, expected)
    (gradient,) = torch.autograd.grad(latents.square().sum(), image)
    assert gradient.abs().sum() > 0


def test_pullback_agrees_with_finite_differences(prior: DiffusionPrior) -> None:
    image, direction, cotangent = torch.rand(1, 3, 32, 32), torch.randn(1, 3, 32, 32), torch.randn(1, 4, 4, 4)
    leaf = image.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(prior.encode(leaf), leaf, cotangent)
    h = 1e-3
    difference = (prior.encode(image + h * direction) - prior.encode(image - h * direction)) / (2 * h)
    # the difference's own error falls with h squared (3e-3 of 7 at most over a dozen draws); float32 leaves 3e-4
    torch.testing.assert_close((gradient * direction).sum(), (difference * cotangent).sum(), rtol=1e-2, atol=1e-3)


def test_decoder_gives_images(prior: DiffusionPrior) -> None:
    image = prior.decode(10 * torch.randn(1, 4, 4, 4))
    assert image.shape == (1, 3, 32, 32)
    assert image.min() >= 0
    assert image.max() <= 1


def test_text(prior: DiffusionPrior) -> None:
    condition = prior.encode_text(["a car", "a dog", "a car", "very long " * 50])
    embeddings = condition.tokens
    assert condition.pooled is None
    assert embeddings.shape == (4, 16, 16)
    assert torch.equal(embeddings[0], embeddings[2])
    assert not torch.allclose(embeddings[0], embeddings[1])


def test_noise_prediction_of_both_kinds(prior: DiffusionPrior, tiny_v_model: Path) -> None:
    """With the same weights, the v-model's noise is ``sqrt(a) v + sqrt(1-a) z_t``, v being the other's answer."""
    noisy, t, text = torch.randn(2, 4, 4, 4), torch.tensor([10, 900]), TextCondition(torch.randn(2, 16, 16))
    output = prior.predict_noise(noisy, t, text)
    alpha = prior.alphas_cumprod[t].view(-1, 1, 1, 1)
    converted = DiffusionPrior.load(tiny_v_model).predict_noise(noisy, t, text)
    torch.testing.assert_close(converted, alpha.sqrt() * output + (1 - alpha).sqrt() * noisy)


def test_v_conversion_recovers_the_noise_of_a_perfect_model(
    tiny_v_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prior = DiffusionPrior.load(tiny_v_model)
    clean, noise, t = torch.randn(1, 4, 4, 4), torch.randn(1, 4, 4, 4), torch.tensor([321])
    alpha = prior.alphas_cumprod[t].view(-1, 1, 1, 1)
    velocity = alpha.sqrt() * noise - (1 - alpha).sqrt() * clean
    monkeypatch.setattr(prior.unet, "forward", lambda *_, return_dict: (velocity,))
    noisy = alpha.sqrt() * clean + (1 - alpha).sqrt() * noise
    torch.testing.assert_close(prior.predict_noise(noisy, t, TextCondition(torch.zeros(1, 16, 16))), noise)


@pytest.mark.parametrize("method", [name for name in METHODS if name != "linear"])
def test_guides_every_method(prior: DiffusionPrior, method: str) -> None:
    generator = torch.Generator().manual_seed(0)
    sds = ScoreDistillation(TextGuide(prior, "a car"), method=method, schedule=Schedule(10), generator=generator)
    image = torch.rand(2, 3, 16, 16) if method != "latent" else torch.randn(2, 4, 4, 4)
    gradient = sds.image_gradient(image, fixed_views([0, 120]), 0)
    assert gradient.shape == image.shape
    assert gradient.isfinite().all()
    assert gradient.abs().sum() > 0


def test_a_stored_linear_map_is_used(copy: Path, prior: DiffusionPrior) -> None:
    assert prior.linear_rgb_to_latent is None
    fitted = fit_linear_map(prior.encode, torch.rand(2, 3, 32, 32))
    fitted.save(copy)
    torch.testing.assert_close(DiffusionPrior.load(copy).linear_rgb_to_latent, fitted.rgb_to_latent)


def test_a_vocabulary_makes_a_prior_strict(copy: Path) -> None:
    words = {"classes": ["car"], "attributes": [], "words": ["a", "car", "front", "view"]}
    (copy / "vocabulary.json").write_text(json.dumps(words))
    prior = DiffusionPrior.load(copy)
    assert prior.view_phrases is MINI
    prior.encode_text(["a car, front view"])
    with pytest.raises(InputError, match="'spaceship'"):
        prior.encode_text(["a spaceship, front view"])


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
def test_truncated_weights_are_named(copy: Path, part: str) -> None:
    weights = next((copy / part).glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[: weights.stat().st_size // 2])
    with pytest.raises(InputError, match="copy is not a Stable Diffusion model"):
        DiffusionPrior.load(copy)


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
def test_missing_weights_are_never_made_up(copy: Path, part: str) -> None:
    path = next((copy / part).glob("*.safetensors"))
    weights = load_file(path)
    del weights[max(weights)]
    save_file(weights, path, metadata={"format": "pt"})
    with pytest.raises(InputError, match=f"{part} lacks 1 weights"):
        DiffusionPrior.load(copy)
