"""Integration: the embedded prior that is shipped, as a file, as a pipeline, and as a model of held-out objects."""

from __future__ import annotations

import json
import re
import sys
from typing import Any

import numpy as np
import pytest
import torch
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import StableDiffusionPipeline
from transformers import CLIPTokenizer

from dreampgc.cameras import sample_views
from dreampgc.priors.catalog import MINI_DIRECTORY
from dreampgc.priors.diffusion import DiffusionPrior
from dreampgc.priors.linear import LinearMap
from dreampgc.priors.prompts import MINI, view_prompts
from dreampgc.priors.vocabulary import Vocabulary
from dreampgc.world.objects import CLASSES, HELD_OUT_SEED, Caption
from dreampgc.world.paints import ATTRIBUTES
from dreampgc.world.render import render_world
from dreampgc.world.scene import make_scene

FILES = [path for path in MINI_DIRECTORY.rglob("*") if path.is_file()]


def test_it_is_small_and_has_no_pickles() -> None:
    assert sum(path.stat().st_size for path in FILES) <= 28 * 2**20
    assert max(path.stat().st_size for path in FILES) <= 16 * 2**20
    assert {path.suffix for path in FILES} <= {".json", ".safetensors", ".txt", ".md", ".png", ".webp"}


def test_its_vocabulary_is_the_world_s_and_every_word_is_one_token() -> None:
    vocabulary = Vocabulary.load(MINI_DIRECTORY)
    assert vocabulary is not None
    # The weights may be older than the world's newest recipes and paints, never the other way round.
    assert set(vocabulary.classes) <= set(CLASSES)
    assert set(vocabulary.attributes) <= set(ATTRIBUTES)
    known = [Caption(n, a) for n in vocabulary.classes for a in (None, *vocabulary.attributes)]
    texts = [text for one in known for text in view_prompts(str(one), MINI)]
    vocabulary.check(" ".join(texts))
    tokenizer = CLIPTokenizer.from_pretrained(MINI_DIRECTORY / "tokenizer")
    tokens = {word: tokenizer(word).input_ids[1:-1] for word in sorted(vocabulary.words)}
    assert {word for word, found in tokens.items() if len(found) != 1} == set()
    assert len({found[0] for found in tokens.values()}) == len(tokens)
    assert max(len(tokenizer(text).input_ids) for text in texts) <= tokenizer.model_max_length


def test_its_facts(mini: DiffusionPrior) -> None:
    assert (mini.name, mini.image_size, mini.downsampling, mini.view_phrases) == ("mini", 128, 8, MINI)
    assert json.loads((MINI_DIRECTORY / "figures.json").read_text())["held_out_VAE_PSNR_dB"] >= 29
    card = (MINI_DIRECTORY / "README.md").read_text()
    pictures = re.findall(r"!\[.*?\]\((.*?)\)", card)
    assert pictures
    assert all((MINI_DIRECTORY / picture).is_file() for picture in pictures)


def test_its_linear_map_fits_its_vae(mini: DiffusionPrior) -> None:
    fitted = LinearMap.load(MINI_DIRECTORY)
    assert fitted is not None
    assert fitted.latent_to_rgb is not None
    gray = torch.rand(6, 3, 1, 1, generator=torch.Generator().manual_seed(0)).expand(-1, -1, 128, 128)
    latents = mini.encode(gray).mean(dim=(2, 3))
    matrix, bias = fitted.rgb_to_latent
    guess = gray[:, :, 0, 0] @ matrix + bias
    # Flat pictures are not what it was fitted on; it must still explain most of how their latents differ.
    assert (guess - latents).square().sum() < 0.5 * (latents - latents.mean(dim=0)).square().sum()


def test_stable_diffusion_s_pipeline_loads_and_samples_it_unchanged() -> None:
    pipeline: Any = StableDiffusionPipeline.from_pretrained(MINI_DIRECTORY)
    pipeline.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(0)
    prompt = ["a wooden car, front view", "a yellow duck, back view"]
    pictures = pipeline(prompt, num_inference_steps=2, guidance_scale=4.0, generator=generator, output_type="np").images
    assert pictures.shape == (2, 128, 128, 3)
    assert np.isfinite(pictures).all()
    assert pictures.std(axis=(1, 2, 3)).min() > 0.02  # not blank


def test_loading_is_silent_on_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    DiffusionPrior.load(MINI_DIRECTORY)
    sys.stderr.flush()
    assert capfd.readouterr().err == ""


def test_it_tells_views_and_objects_apart(mini: DiffusionPrior) -> None:
    """The better caption of a held-out car predicts its noise better."""
    scene, views = (
        make_scene([("car", "red", HELD_OUT_SEED)]),
        sample_views(1, torch.Generator().manual_seed(0), elevation=(5.0, 5.0), distance=(2.4, 2.4), fov=(45.0, 45.0)),
    )
    picture = render_world(scene, views, 128, supersample=1).over(torch.ones(3))
    generator = torch.Generator().manual_seed(1)
    steps = torch.tensor([200, 400, 600, 800]).repeat(4)
    alpha = mini.alphas_cumprod[steps].view(-1, 1, 1, 1)
    noise = torch.randn(16, 4, 16, 16, generator=generator)
    noisy = alpha.sqrt() * mini.encode(picture) + (1 - alpha).sqrt() * noise
    errors = {}
    for text in ("a red car", "a red castle", "a blue car"):
        condition = mini.encode_text([text]).repeated(16)
        errors[text] = (mini.predict_noise(noisy, steps, condition) - noise).square().mean().item()
    assert min(errors, key=lambda text: errors[text]) == "a red car"


def test_its_vae_rebuilds_held_out_objects(mini: DiffusionPrior) -> None:
    """At least 29 dB on eight classes of objects that were never trained on, on white."""
    vocabulary = Vocabulary.load(MINI_DIRECTORY)
    assert vocabulary is not None
    names, attributes = vocabulary.classes[:: len(vocabulary.classes) // 8][:8], vocabulary.attributes
    ratios = []
    for number, name in enumerate(names):
        scene = make_scene([(name, attributes[(5 * number) % len(attributes)], HELD_OUT_SEED + number)])
        generator = torch.Generator().manual_seed(number)
        views = sample_views(1, generator, elevation=(-15.0, 75.0), distance=(2.1, 2.7), fov=(40.0, 50.0))
        image = render_world(scene, views, 128, supersample=2, steps=24).over(torch.ones(3))
        rebuilt = mini.decode(mini.encode(image))
        ratios.append(-10 * (image - rebuilt).square().mean().log10().item())
    assert sum(ratios) / len(ratios) >= 29
