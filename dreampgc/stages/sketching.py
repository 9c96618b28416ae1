"""A first idea of an object that one picture shows: how the prior of views draws it from all around.

Each view is drawn by itself, so they contradict each other in details. What they share is a shape, which a field learns
from them in a few steps that ask no prior; score distillation goes on from there.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from dreampgc.cameras import Views
from dreampgc.config import RunConfig
from dreampgc.console import Console
from dreampgc.guidance.elevation import silhouette
from dreampgc.guidance.guides import ViewGuide
from dreampgc.guidance.sampling import first_noise, sample_pictures
from dreampgc.images import labelled_grid, save_image, to_frames
from dreampgc.references import Picture
from dreampgc.runs import Run

#: Degrees above the first picture's camera, in turn, so that top and bottom are seen too; steps of sampling.
RISES, STEPS = (0.0, 25.0, -15.0), 15
#: How the pictures are kept in the run folder, for people to look at.
SHEET = "sketch.png"


def sketch_steps(config: RunConfig) -> int:
    """How many steps of a run copy a sketch."""
    return math.ceil(config.image.sketch * config.loop.steps) if config.image.guidance > 0 else 0


def drawn_sketch(
    run: Run, config: RunConfig, make_guide: Callable[[], ViewGuide], picture: Picture, console: Console
) -> list[Picture]:
    """The pictures that the run is to begin with, around the given ``picture``; none where it is beyond that.

    They are drawn from the run's seed, the same ones whenever it goes on, by a guide that is made if it is needed.
    """
    if run.record.get("step", 0) >= sketch_steps(config):
        return []
    guide = make_guide()
    with console.progress("sketch", STEPS) as report:
        pictures = sketch(guide, config, picture, lambda done: report.update(done, ""))
    labels = [f"{each.azimuth:.0f}°" for each in pictures]
    frames = to_frames(torch.cat([each.over_white(guide.prior.image_size) for each in pictures]))
    save_image(run.path / SHEET, labelled_grid(list(frames), labels))
    return pictures


def sketch(
    guide: ViewGuide, config: RunConfig, picture: Picture, report: Callable[[int], None] = lambda done: None
) -> list[Picture]:
    """What the prior sees evenly around the given ``picture``, whose elevation is known; on the CPU.

    Silhouettes are masks. ``report`` hears how many of `STEPS` are done.
    """
    assert picture.elevation is not None, "elevations are known once a stage is built"
    prior, settings, count = guide.prior, config.image, config.image.sketch_views
    numbers = range(1, count + 1)
    azimuth = picture.azimuth + torch.tensor([360.0 * number / (count + 1) for number in numbers])
    rise = torch.tensor([RISES[(number - 1) % len(RISES)] for number in numbers])
    elevation = (picture.elevation + rise).clamp(*config.cameras.elevation)
    distance, fov = (torch.full_like(azimuth, value) for value in (settings.distance, settings.fov))
    noise = first_noise(prior, count, torch.Generator().manual_seed(config.seed))
    views = Views(azimuth, elevation, distance, fov)
    images = sample_pictures(guide, views.to(prior.device), noise, STEPS, report).float().cpu()
    masks = silhouette(images)
    colours = (images - (1 - masks)).clamp_min(0)
    parts = zip(colours.split(1), masks.split(1), azimuth.tolist(), elevation.tolist(), strict=True)
    return [Picture(colour, mask, *where) for colour, mask, *where in parts]
