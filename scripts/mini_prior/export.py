"""The finished prior in Stable Diffusion's layout, with its vocabulary, linear map, pictures and model card."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline
from PIL import Image
from torch import Tensor
from transformers import CLIPTokenizer

from dreampgc.priors.linear import LinearMap, fit_linear_map
from dreampgc.world.objects import CARRIERS, CLASSES, HELD_OUT_SEED, Caption
from dreampgc.world.paints import ATTRIBUTES
from mini_prior.data import Dataset, random_backgrounds
from mini_prior.denoiser import Denoiser, make_scheduler, sample_latents
from mini_prior.tokenizer import known_words, write_vocabulary_files


def export_prior(folder: Path, vae: AutoencoderKL, model: Denoiser, tokenizer: CLIPTokenizer) -> None:
    """Write ``folder`` for ``StableDiffusionPipeline.from_pretrained``: float16, shards of at most 15 MB."""
    pipeline = StableDiffusionPipeline(
        vae=vae.to(torch.float16, memory_format=torch.contiguous_format),
        text_encoder=model.text_encoder.half(),
        tokenizer=tokenizer,
        unet=model.unet.to(torch.float16, memory_format=torch.contiguous_format),
        scheduler=make_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(folder, safe_serialization=True, max_shard_size="15MB")
    declare_float32(folder / "text_encoder" / "config.json")
    write_vocabulary_files(folder / "tokenizer")  # the layout's classic files, which newer libraries leave out
    vocabulary = {
        "classes": list(CLASSES),
        "attributes": list(ATTRIBUTES),
        "carriers": list(CARRIERS),
        "words": known_words(),
    }
    (folder / "vocabulary.json").write_text(json.dumps(vocabulary, indent=1) + "\n", encoding="utf-8")
    vae.float()
    model.float()


@torch.no_grad()
def fit_map(vae: AutoencoderKL, data: Dataset, count: int = 64) -> LinearMap:
    """The linear map between pixels and scaled latents (Eq. 5), fitted on the first training pictures."""
    device = data.rgba.device
    index = torch.arange(min(count, len(data)), device=device)
    images = data.over(index, random_backgrounds(len(index), torch.Generator(device).manual_seed(0), device))
    scaling = vae.config["scaling_factor"]
    return fit_linear_map(lambda image: vae.encode(image * 2 - 1).latent_dist.mean * scaling, images)


def declare_float32(path: Path) -> None:
    """Let transformers compute in float32, as diffusers does with the other parts, whatever the weights' dtype."""
    config = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**config, "dtype": "float32"}, indent=2) + "\n", encoding="utf-8")


@torch.no_grad()
def sample_sheet(
    vae: AutoencoderKL, model: Denoiser, tokenizer: CLIPTokenizer, latent_size: int, *, steps: int = 30
) -> Tensor:
    """2D samples of every class in four attributes from four sides, then of pairs: ``[4·rows,3,S,S]``.

    Where a class has held-out attributes, one of them comes first.
    """
    texts = []
    sides = ("front view", "left side view", "back view", "right side view")
    for row, name in enumerate(CLASSES):
        held = [a for a in ATTRIBUTES if Caption(name, a).held_out][:1]
        shown = held + [ATTRIBUTES[(4 * row + 5 * k) % len(ATTRIBUTES)] for k in range(4 - len(held))]
        texts += [f"{Caption(name, a)}, {side}" for a, side in zip(shown, sides, strict=True)]
    for row, base in enumerate(CARRIERS):
        names = [list(CLASSES)[(5 * row + 11 * k) % len(CLASSES)] for k in range(4)]
        worn = [(ATTRIBUTES[(3 * row + 7 * k) % 20], ATTRIBUTES[(7 * row + 3 * k + 1) % 20]) for k in range(4)]
        captions = [Caption(n, a, Caption(base, b)) for n, (a, b) in zip(names, worn, strict=True)]
        texts += [f"{caption}, {side}" for caption, side in zip(captions, sides, strict=True)]
    text, empty = encode_texts(model, tokenizer, texts)
    latents = sample_latents(model, text, empty, latent_size, seed=0, steps=steps)
    return decode(vae, latents)


def encode_texts(model: Denoiser, tokenizer: CLIPTokenizer, texts: list[str]) -> tuple[Tensor, Tensor]:
    """Embeddings ``[B,L,D]`` of texts and ``[1,L,D]`` of the empty one."""
    tokens = tokenizer([*texts, ""], padding="max_length", max_length=tokenizer.model_max_length, return_tensors="pt")
    embeddings = model.text_encoder(tokens.input_ids.to(model.text_encoder.device)).last_hidden_state
    return embeddings[:-1], embeddings[-1:]


def decode(vae: AutoencoderKL, latents: Tensor) -> Tensor:
    """Pictures ``[B,3,S,S]`` in [0,1] of scaled latents."""
    parts = [vae.decode(part / vae.config["scaling_factor"]).sample for part in latents.split(32)]
    return (torch.cat(parts) / 2 + 0.5).clamp(0, 1).cpu()


def save_grid(images: Tensor, path: Path, columns: int) -> None:
    """Write pictures ``[N,3,S,S]`` as one grid, the last row filled up with white."""
    images = torch.cat([images, images.new_ones(-len(images) % columns, *images.shape[1:])])
    rows = [torch.cat(list(row), dim=2) for row in images.split(columns)]
    grid = torch.cat(rows, dim=1).permute(1, 2, 0)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((grid.clamp(0, 1) * 255 + 0.5).to(torch.uint8).cpu().numpy()).save(path)


def write_card(folder: Path, figures: dict[str, float | int | str], data: Dataset) -> None:
    """Write ``figures.json`` and the model card beside the weights."""
    (folder / "figures.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    held = [str(Caption(n, a)) for n in CLASSES for a in ATTRIBUTES if Caption(n, a).held_out]
    pairs = [Caption(n, base=Caption(b)) for n in CLASSES for b in CARRIERS]
    card = CARD.format(
        classes=", ".join(CLASSES),
        attributes=", ".join(ATTRIBUTES),
        carriers=", ".join(CARRIERS),
        held_pairs=", ".join(str(pair) for pair in pairs if pair.held_out),
        held=", ".join(held),
        seed=HELD_OUT_SEED,
        size=data.rgba.shape[-1],
        figures="\n".join(f"| {key.replace('_', ' ')} | {value} |" for key, value in figures.items()),
    )
    (folder / "README.md").write_text(card, encoding="utf-8")


CARD = """---
license: apache-2.0
library_name: diffusers
pipeline_tag: text-to-image
---
# mini: the embedded prior of dreampgc

A latent diffusion model of {size}×{size} pictures, trained from scratch on procedurally made objects, in Stable
Diffusion's layout. It exists so that dreampgc works with nothing to download, and so that what it makes can be
measured against exact ground truth.

![samples](samples.webp)

Four samples of every class, then of every base with something on it (guidance scale 4, 30 DDIM steps, seed 0, none
picked), from the front, left, back and right. Where a class has attributes that it was never trained with, the first
of its four is such a one.

## What it knows
- Classes: {classes}.
- Attributes: {attributes}.
- One object on another: "a wooden castle on a red car". What can carry: {carriers}.
- Captions: "a wooden car", "a car", and with a view: "a wooden car, front view" (left side view, back view,
  right side view, overhead view). It was trained on mixtures of the embeddings of two or three view phrases, by
  azimuth and elevation, as dreampgc's guidance mixes them.

## How it was made
`python scripts/train_mini_prior.py` renders the pictures of `dreampgc/world` (random view, light, and a flat
background, white half of the time), trains the VAE, then the UNet and the text encoder together. Never trained on:
objects with seeds of {seed} and above, and these pairs: {held}; {held_pairs}.

| figure | value |
|---|---|
{figures}

## What it can't do
Anything outside of its vocabulary: three objects, other relations than "on", scenes, free text, photographs. Pictures
larger or smaller than its training size. Fine text, faces, thin structures below about two pixels.
"""
