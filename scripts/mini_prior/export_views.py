"""The finished prior of views in Zero123's diffusers layout, without a VAE of its own, with its model card."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from dreampgc.world.objects import CLASSES, HELD_OUT_SEED
from mini_prior.denoiser import make_scheduler
from mini_prior.export import declare_float32
from mini_prior.novel_views import ViewDenoiser, make_processor


def export_views(folder: Path, model: ViewDenoiser, size: int) -> None:
    """Write ``folder`` for `dreampgc.priors.zero123.Zero123Prior.load`: float16, shards of at most 15 MB."""
    networks: dict[str, Any] = {
        "unet": model.unet.to(torch.float16, memory_format=torch.contiguous_format),
        "image_encoder": model.image_encoder.half(),
        "clip_camera_projection": model.projection.half(),
    }
    for part, network in networks.items():
        network.save_pretrained(folder / part, safe_serialization=True, max_shard_size="15MB")
    declare_float32(folder / "image_encoder" / "config.json")
    make_scheduler().save_pretrained(folder / "scheduler")
    make_processor(size).save_pretrained(folder / "feature_extractor")
    model.float()


def write_view_card(folder: Path, figures: dict[str, Any], trial: dict[str, dict[str, float]], size: int) -> None:
    """Write ``figures.json`` and the model card; ``trial`` holds the figures of `evaluate_views`."""
    text = json.dumps({**figures, "novel_views": trial}, indent=1)
    (folder / "figures.json").write_text(text + "\n", encoding="utf-8")
    card = CARD.format(
        classes=len(CLASSES),
        seed=HELD_OUT_SEED,
        size=size,
        figures="\n".join(f"| {key.replace('_', ' ')} | {value} |" for key, value in figures.items()),
        trial="\n".join(f"| {name} | {row['PSNR_dB']} | {row['mask_IoU']} |" for name, row in trial.items()),
    )
    (folder / "README.md").write_text(card, encoding="utf-8")


CARD = """---
license: apache-2.0
library_name: diffusers
pipeline_tag: image-to-3d
---
# mini-zero123: the embedded prior of views of dreampgc

A latent diffusion model of what an object in a {size}×{size} picture looks like from somewhere else, trained from
scratch on procedurally made objects, in the diffusers layout of Zero123. It has no VAE of its own: it works in the
latents of `mini`, beside which it lies.

![samples](samples.webp)

A row for each of up to 16 held-out objects, spread evenly over those that were measured, none picked: the reference
picture, then four times a sample (guidance scale 3, 30 DDIM steps) beside the truth.

## What it is told
The reference picture, over white: as latents beside the noisy ones, and as an embedding; and the wanted camera
relative to the one that took it: elevation, azimuth, and distance in world units. Objects fill [-0.8, 0.8]³, cameras
look at the origin with a vertical field of view of 45° from 1.8 to 3.0 away, 15° below to 75° above the horizon.

## How it was made
`python scripts/train_mini_zero123.py` renders objects of the {classes} classes of `dreampgc/world` from several random
cameras each, and trains a UNet, an encoder of pictures and a projection together on pairs of views. Never trained on:
objects with seeds of {seed} and above, and what the card of `mini` lists as held out.

| figure | value |
|---|---|
{figures}

Novel views of held-out objects against the truth, over white; the mask is what is not near white:

| | PSNR in dB | mask IoU |
|---|---|---|
{trial}

## What it can't do
Photographs, backgrounds, objects of other kinds than those of `mini`, other fields of view. What a picture does not
show, it makes up, and differently for each seed.
"""
