"""Where the pictures of a run were taken from: as it was said, else as the prior of views judges before training."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import torch

from dreampgc import references
from dreampgc.config import RunConfig
from dreampgc.console import Console
from dreampgc.guidance.elevation import CANDIDATES, Estimate, estimate_elevation
from dreampgc.priors.base import ViewPrior
from dreampgc.references import Picture
from dreampgc.runs import Run

#: Degrees, where neither the user nor a prior says anything: a little from above, as people take pictures.
ASSUMED = 15.0


def placed_pictures(run: Run, config: RunConfig, prior: ViewPrior, console: Console) -> list[Picture]:
    """The pictures of the run, all elevations known; that of the first is written into the run's record.

    Raises:
        InputError: a picture is lost or damaged.
    """
    first, *others = references.load(config.image, run.path, config.seed)
    if first.elevation is None:
        first = replace(first, elevation=_elevation(run, config, prior, first, console))
    if run.record.get("elevation") != first.elevation:
        run.update(elevation=first.elevation)
    return [first, *others]


def _elevation(run: Run, config: RunConfig, prior: ViewPrior, picture: Picture, console: Console) -> float:
    """The elevation as an earlier session of the run found it, or found now."""
    known = run.record.get("elevation")
    if isinstance(known, int | float):
        return float(known)
    if config.image.guidance == 0:
        console.info(f"elevation: {ASSUMED:g} degrees assumed, for no prior is asked (see --elevation)")
        return ASSUMED
    began = time.monotonic()
    with console.progress("elevation", len(CANDIDATES)) as report:
        found = judged_elevation(
            config, prior, picture, lambda done: report.update(done, f"{CANDIDATES[done - 1]:g} degrees")
        )
    misfits = {f"{degrees:g}": round(misfit, 4) for degrees, misfit in zip(CANDIDATES, found.misfits, strict=True)}
    run.update(elevation_misfits=misfits)
    console.info(f"elevation: {found.elevation:g} degrees, estimated in {time.monotonic() - began:.0f} s")
    console.event("elevation", degrees=found.elevation, misfits=misfits)
    return found.elevation


def judged_elevation(
    config: RunConfig, prior: ViewPrior, picture: Picture, report: Callable[[int], None] = lambda done: None
) -> Estimate:
    """What a run of ``config`` takes for the elevation of ``picture``; ``report`` hears of candidates that are done."""
    return estimate_elevation(
        prior,
        picture.over_white(prior.image_size),
        picture.resized(prior.image_size).mask,
        generator=torch.Generator().manual_seed(config.seed),
        distance=config.image.distance,
        fov=config.image.fov,
        scale=config.guidance.scale,
        report=report,
    )
