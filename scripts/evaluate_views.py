#!/usr/bin/env python3
"""Novel views of held-out objects by a prior of views: how near do they come to the ground truth?

    python scripts/evaluate_views.py --prior mini-zero123

Every object is shown once from a random camera, and asked for from some others, at distances in world units, as
mini-zero123 takes them. Beside the samples are measured: the reference picture itself, and the mean of all true
pictures, which a model must beat; and the true pictures after the VAE has coded them, which no sample in its latents
is expected to beat.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]

from mini_prior.data import Dataset, render_dataset  # noqa: E402
from mini_prior.denoiser import guided_samples  # noqa: E402
from mini_prior.export import save_grid  # noqa: E402

from dreampgc.guidance.elevation import silhouette  # noqa: E402
from dreampgc.metrics.pictures import mask_iou, psnr  # noqa: E402
from dreampgc.priors.base import ViewCondition  # noqa: E402
from dreampgc.priors.catalog import resolve  # noqa: E402
from dreampgc.priors.zero123 import Zero123Prior  # noqa: E402

#: The cameras that mini-zero123 was trained with: least and largest distance, field of view.
DISTANCE, FOV = (1.8, 3.0), (45.0, 45.0)
_SEED = 7


@dataclass(frozen=True)
class Trial:
    """``N`` objects, each seen once as a reference and from ``V`` other sides; pictures over white in [0,1]."""

    references: Tensor  # [N,3,S,S]
    truths: Tensor  # [N*V,3,S,S]
    masks: Tensor  # [N*V,S,S] bool: what of them is object
    samples: Tensor  # [N*V,3,S,S]: what the prior makes of the references
    coded: Tensor  # [N*V,3,S,S]: the truths through the VAE


def render_trial(objects: int, others: int, size: int, device: str) -> Dataset:
    """Held-out ``objects`` in groups of 1 + ``others`` views, the references first."""
    views = 1 + others
    options = {"held_out": True, "shapes": 4, "views": views, "distance": DISTANCE, "fov": FOV}
    return render_dataset(objects * views, size, device, seed=_SEED, **options)


@torch.no_grad()
def run_trial(prior: Zero123Prior, data: Dataset, *, scale: float = 3.0, steps: int = 30) -> Trial:
    """Sample every view of ``data`` but the first of each group, given that one, with guidance ``scale``."""
    numbers = torch.arange(len(data), device=data.rgba.device).reshape(-1, data.views)
    pictures = data.over_white(numbers.flatten()).float() / 255
    references, truths = pictures[numbers[:, 0]], pictures[numbers[:, 1:].flatten()]
    views = ViewCondition.joined(list(_conditions(prior, data, references)))
    latents = torch.cat(list(_sampled(prior, views, scale=scale, steps=steps)))
    masks = data.rgba[numbers[:, 1:].flatten(), 3] > 127
    coded = torch.cat([prior.encode(part) for part in truths.split(32)])
    images = (torch.cat([prior.decode(part) for part in each.split(32)]) for each in (latents, coded))
    return Trial(references, truths, masks, *images)


def _conditions(prior: Zero123Prior, data: Dataset, references: Tensor) -> Iterator[ViewCondition]:
    """What the prior is told of each group's views but the first."""
    for number, picture in enumerate(references):
        first = number * data.views
        others = slice(first + 1, first + data.views)
        elevation = float(data.elevation[first])
        cameras = (data.azimuth, data.elevation, data.distance)
        pose = [values[others] - values[first] for values in cameras]
        yield prior.view(prior.condition(picture[None], elevation), *pose)


def _sampled(
    prior: Zero123Prior, views: ViewCondition, *, scale: float, steps: int, batch: int = 64
) -> Iterator[Tensor]:
    """Latents of all views, batch by batch."""
    generator = torch.Generator().manual_seed(_SEED)
    for tokens, latents in zip(views.tokens.split(batch), views.latents.split(batch), strict=True):
        told = ViewCondition(tokens, latents)
        both = ViewCondition.joined([told.unconditional(), told])
        noise = torch.randn(latents.shape, generator=generator).to(latents.device)

        def predict(noisy: Tensor, t: Tensor, both: ViewCondition = both) -> Tensor:
            return prior.predict_noise(noisy, t, both)

        yield guided_samples(predict, noise, scale=scale, steps=steps)


def figures(trial: Trial) -> dict[str, dict[str, float]]:
    """PSNR and mask IoU of the samples, of both trivial answers, and of what the VAE can show at all."""
    others = len(trial.truths) // len(trial.references)
    answers = {
        "samples": trial.samples,
        "the reference itself": trial.references.repeat_interleave(others, dim=0),
        "the mean picture": trial.truths.mean(dim=0, keepdim=True).expand_as(trial.truths),
        "the truth through the VAE": trial.coded,
    }
    found = {}
    for name, images in answers.items():
        overlap = mask_iou(silhouette(images)[:, 0] > 0.5, trial.masks)
        found[name] = {
            "PSNR_dB": round(psnr(images, trial.truths).mean().item(), 2),
            "mask_IoU": round(overlap.mean().item(), 3),
        }
    return found


def save_sheet(trial: Trial, path: Path, objects: int = 16) -> None:
    """Write one row an object, for ``objects`` spread over all: its reference, then each sample beside its truth."""
    count = len(trial.references)
    shown = torch.linspace(0, count - 1, min(objects, count)).long()
    samples, truths = (images.unflatten(0, (count, -1)) for images in (trial.samples, trial.truths))
    pairs = torch.stack([samples, truths], dim=2).flatten(1, 2)
    rows = torch.cat([trial.references[:, None], pairs], dim=1)[shown]
    save_grid(rows.flatten(0, 1), path, rows.shape[1])


def main() -> None:
    """Load the prior, let it answer, and write the figures and the sheet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prior", default="mini-zero123", help="a name, or a directory in diffusers layout")
    parser.add_argument("--output", type=Path, default=Path("build/views"))
    parser.add_argument("--objects", type=int, default=64)
    parser.add_argument("--others", type=int, default=4, help="sides that each object is asked for from")
    parser.add_argument("--scale", type=float, default=3.0, help="of classifier-free guidance")
    parser.add_argument("--steps", type=int, default=30, help="of DDIM")
    arguments = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    prior = resolve(arguments.prior).load_views(device, torch.float32)
    data = render_trial(arguments.objects, arguments.others, prior.image_size, device)
    trial = run_trial(prior, data, scale=arguments.scale, steps=arguments.steps)
    arguments.output.mkdir(parents=True, exist_ok=True)
    save_sheet(trial, arguments.output / "views.webp")
    text = json.dumps(figures(trial), indent=1)
    (arguments.output / "figures.json").write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
