#!/usr/bin/env python3
"""Do the 2D samples of a prior in our world show what the caption says? Class and attribute, retrieved from pictures.

    python scripts/evaluate_samples.py dreampgc/priors/mini --each 4 --output build/samples

Every class is sampled in ``--each`` attributes from the front and from the left. A sample is cut out from its flat
background; its class is that of the most alike ground-truth picture in the same attribute, its attribute the nearest by
`dreampgc.metrics.appearance`. The same is done to pictures of held-out objects: what can be reached at best.
"""

from __future__ import annotations

import argparse
import functools
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import StableDiffusionPipeline
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from dreampgc.cameras import Views
from dreampgc.images import labelled_grid, save_image, to_frames
from dreampgc.metrics.appearance import descriptor, pixel_cloud
from dreampgc.metrics.pictures import Subject
from dreampgc.priors.vocabulary import Vocabulary
from dreampgc.types import RenderOutput
from dreampgc.world.objects import CLASSES, HELD_OUT_SEED, Caption
from dreampgc.world.paints import ATTRIBUTES
from dreampgc.world.render import random_lights

SIZE, ELEVATIONS, SEEDS = 64, (-10.0, 5.0, 20.0, 35.0, 50.0, 65.0), 4
SIDES = {"front view": 0.0, "left side view": 90.0}


@dataclass(frozen=True)
class Shown:
    """A picture ``[3,S,S]`` of ``caption`` from a side."""

    caption: Caption
    side: str
    image: Tensor


def draw_captions(known: Vocabulary, each: int, seed: int) -> list[tuple[Caption, str]]:
    """Every class that a prior knows in ``each`` attributes from every side; held-out ones, if any, for a half."""
    rng = random.Random(seed)
    chosen = []
    for name in known.classes:
        attributes = rng.sample(known.attributes, len(known.attributes))
        attributes.sort(key=lambda a: not Caption(name, a).held_out)
        worn = attributes[: each // 2] + attributes[::-1][: each - each // 2]
        chosen += [(Caption(name, a), side) for a in worn for side in SIDES]
    return chosen


def sample(prior: Path, wanted: Sequence[tuple[Caption, str]], device: str, *, steps: int, seed: int) -> list[Shown]:
    """Samples with guidance scale 4."""
    pipeline: Any = StableDiffusionPipeline.from_pretrained(prior, torch_dtype=torch.float32).to(device)
    pipeline.set_progress_bar_config(disable=True)
    shown = []
    for start in range(0, len(wanted), 64):
        part = wanted[start : start + 64]
        generator = torch.Generator().manual_seed(seed + start)
        texts = [f"{caption}, {side}" for caption, side in part]
        images = pipeline(
            texts, num_inference_steps=steps, guidance_scale=4.0, generator=generator, output_type="pt"
        ).images
        small = functional.interpolate(images.float().cpu(), (SIZE, SIZE), mode="area")
        shown += [Shown(caption, side, image) for (caption, side), image in zip(part, small, strict=True)]
    return shown


def views_from(side: str) -> Views:
    """The side from several elevations."""
    count = len(ELEVATIONS)
    azimuth, distance, fov = (torch.full((count,), value) for value in (SIDES[side], 2.4, 45.0))
    return Views(azimuth, torch.tensor(ELEVATIONS), distance, fov)


def ground_truth(wanted: Sequence[tuple[Caption, str]], seed: int) -> list[Shown]:
    """Pictures of held-out objects in a random light over white or over a random colour."""
    generator = torch.Generator().manual_seed(seed)
    shown = []
    for number, (caption, side) in enumerate(wanted):
        item = (caption.name, str(caption.attribute), HELD_OUT_SEED + 500 + number)
        light = random_lights(1, generator)
        views = views_from(side)[torch.randint(len(ELEVATIONS), (1,), generator=generator)]
        picture = Subject(item, views, SIZE).pictures(str(caption.attribute), light)
        colour = torch.ones(3) if torch.rand((), generator=generator) < 0.5 else torch.rand(3, generator=generator)
        image = picture.image - (1 - picture.opacity) * (1 - colour[:, None, None])
        shown.append(Shown(caption, side, image[0]))
    return shown


def cut_out(image: Tensor) -> RenderOutput:
    """The object of a picture ``[3,S,S]`` over a flat background, over white; the whole picture if nothing differs."""
    border = torch.cat([image[:, 0], image[:, -1], image[:, :, 0], image[:, :, -1]], dim=1)
    different = (image - border.median(dim=1).values[:, None, None]).abs().amax(dim=0) > 0.06
    labels: Any = ndimage.label(ndimage.binary_opening(different.numpy()))
    sizes = ndimage.sum(labels[0] > 0, labels[0], range(1, labels[1] + 1))
    kept = labels[0] == 1 + int(np.argmax(sizes)) if labels[1] else np.ones(different.shape, bool)
    mask = torch.from_numpy(ndimage.binary_fill_holes(kept)).float()[None, None]
    return RenderOutput(image[None] * mask + 1 - mask, mask, torch.zeros_like(mask), None, {})


def aligned(pictures: RenderOutput, side: int = 32) -> Tensor:
    """Each picture's object, colour and mask, its bounding box scaled to fill a square: ``[V,4*side*side]``."""
    rows = []
    for image, mask in zip(pictures.image, pictures.opacity, strict=True):
        found = (mask[0] > 0.5).nonzero()
        low, high = found.amin(dim=0), found.amax(dim=0) + 1
        longest, middle = (high - low).max() / 2 * 1.05, (low + high) / 2
        unit = (torch.arange(side) + 0.5) * (2 / side) - 1
        y, x = ((middle[k] + unit * longest) / (SIZE / 2) - 1 for k in range(2))
        grid = torch.stack(torch.meshgrid(y, x, indexing="ij")[::-1], dim=-1)[None]
        both = torch.cat([image * mask, 2 * mask])[None]
        rows.append(functional.grid_sample(both, grid, align_corners=False).flatten())
    return torch.stack(rows)


class Judge:
    """Ground truth of every class from the sides, traced once and painted when needed."""

    def __init__(self) -> None:
        seeds = range(HELD_OUT_SEED, HELD_OUT_SEED + SEEDS)
        self.subjects = {
            (name, side): [Subject((name, "red", seed), views_from(side), SIZE) for seed in seeds]
            for name in CLASSES
            for side in SIDES
        }

    @functools.cache  # noqa: B019 (one judge lives as long as the program)
    def references(self, name: str, attribute: str, side: str) -> tuple[Tensor, Tensor]:
        """Alignments and descriptors of the class's pictures in an attribute, one for each elevation and seed."""
        painted = [subject.pictures(attribute) for subject in self.subjects[name, side]]
        single = [
            RenderOutput(p.image[k, None], p.opacity[k, None], p.depth[k, None], None, {})
            for p in painted
            for k in range(len(ELEVATIONS))
        ]
        return torch.cat([aligned(p) for p in single]), torch.stack([_described(p) for p in single])

    def judge(self, shown: Shown) -> tuple[str, str]:
        """Class and attribute that the picture looks like most."""
        cut, name, attribute = cut_out(shown.image), shown.caption.name, str(shown.caption.attribute)
        picture, described = aligned(cut), _described(cut)
        alike = {n: _nearest(self.references(n, attribute, shown.side)[0], picture) for n in CLASSES}
        worn = {a: _nearest(self.references(name, a, shown.side)[1], described) for a in ATTRIBUTES}
        return min(alike, key=alike.__getitem__), min(worn, key=worn.__getitem__)


def _described(pictures: RenderOutput) -> Tensor:
    return torch.from_numpy(descriptor(pixel_cloud(pictures)))


def _nearest(rows: Tensor, row: Tensor) -> float:
    """The mean absolute difference between ``row`` and the most alike of ``rows``."""
    return (rows - row).abs().mean(dim=1).min().item()


def main() -> None:
    """Sample, judge, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prior", type=Path)
    parser.add_argument("--each", type=int, default=4)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path("build/samples"))
    arguments = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    known = Vocabulary.load(arguments.prior)
    if known is None:
        parser.error(f"{arguments.prior} has no vocabulary.json: only priors of the procedural world can be judged")
    wanted = draw_captions(known, arguments.each, arguments.seed)
    judge, figures = Judge(), {}
    sets = {
        "samples": sample(arguments.prior, wanted, device, steps=arguments.steps, seed=arguments.seed),
        "ground truth": ground_truth(wanted, arguments.seed),
    }
    for label, pictures in sets.items():
        verdicts = [judge.judge(one) for one in pictures]
        for part, held in (("trained", False), ("held out", True)):
            own = [(p.caption, v) for p, v in zip(pictures, verdicts, strict=True) if p.caption.held_out == held]
            right = {
                "class": np.mean([caption.name == v[0] for caption, v in own]),
                "attribute": np.mean([caption.attribute == v[1] for caption, v in own]),
            }
            figures[f"{label}, {part}"] = {"pictures": len(own), **{k: round(float(v), 3) for k, v in right.items()}}
        texts = [f"{p.caption}: {v[0]}, {v[1]}" for p, v in zip(pictures, verdicts, strict=True)]
        frames = list(to_frames(torch.stack([p.image for p in pictures])))
        save_image(arguments.output / f"{label.replace(' ', '-')}.png", labelled_grid(frames, texts, columns=16))
    (arguments.output / "figures.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
