"""From which elevation a picture was taken: the one at which a prior's own views of the object agree best.

A prior of views knows poses relative to the picture. Which way is up only shows in how its views fit together: they
are silhouettes of one solid where the elevation is right (silhouette coherence, Hernandez et al. 2007). No field is
trained for it. The more its views contradict each other anyway, the more counts from where pictures are usually taken.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from dreampgc.cameras import Views
from dreampgc.guidance.guides import Known, ViewGuide
from dreampgc.guidance.sampling import first_noise, sample_pictures
from dreampgc.priors.base import ViewPrior

#: Elevations that are tried, in degrees, evenly.
CANDIDATES = tuple(float(degrees) for degrees in range(-20, 71, 10))
#: The views, relative to the picture's camera, which is the first. Those that only turn around the object cannot tell
#: a lamp seen from above from another lamp seen from the side: two look from higher and lower.
AZIMUTHS = (0.0, 45.0, 90.0, 135.0, 180.0, 225.0, 270.0, 315.0)
RISES = (0.0, 0.0, 20.0, 0.0, 0.0, 0.0, -20.0, 0.0)
#: The elevation of most pictures in degrees; the misfit of being 30 away from there, as a share of the least misfit.
USUAL, LEANING = 20.0, 0.2
#: Steps of sampling; points along each side of the solid; pixels along each side of a silhouette.
STEPS, POINTS, PIXELS = 15, 40, 32


@dataclass(frozen=True)
class Estimate:
    """The ``elevation`` in degrees, and how much the views contradict each other at each of `CANDIDATES`."""

    elevation: float
    misfits: tuple[float, ...]


@torch.no_grad()
def estimate_elevation(
    prior: ViewPrior,
    image: Tensor,
    mask: Tensor,
    *,
    generator: torch.Generator,
    distance: float = 2.4,
    fov: float = 45.0,
    scale: float = 3.0,
    report: Callable[[int], None] = lambda done: None,
) -> Estimate:
    """The elevation of a picture ``image`` ``[1,3,S,S]`` over white with its ``mask`` ``[1,1,S,S]``.

    ``distance`` (world units) and ``fov`` (degrees) are the camera's; noise is drawn from ``generator`` (CPU). The
    prior draws its views once, and again only where a candidate changes what it is told (Stable-Zero123). ``report``
    hears how many candidates are done.
    """
    noise = first_noise(prior, len(AZIMUTHS) - 1, generator)
    told, silhouettes, misfits = torch.empty(0), mask, []
    for number, candidate in enumerate(CANDIDATES, start=1):
        guide = ViewGuide(prior, [Known(prior.condition(image, candidate), 0.0, distance)], scale=scale)
        views = _around(candidate, distance, fov)
        others = views[1:].to(prior.device)
        tokens = guide.condition(others).tokens
        if told.shape != tokens.shape or not torch.allclose(tokens, told, atol=1e-4):
            told = tokens
            pictures = sample_pictures(guide, others, noise, STEPS)
            silhouettes = torch.cat([mask.cpu(), silhouette(pictures).cpu()])
        misfits.append(incoherence(silhouettes, views))
        report(number)
    return Estimate(_lowest(misfits), tuple(misfits))


def silhouette(pictures: Tensor) -> Tensor:
    """How surely pixels of ``[B,3,S,S]`` over white belong to an object, ``[B,1,S,S]``: by their darkest channel."""
    return ((0.97 - pictures.amin(dim=1, keepdim=True)) / 0.06).clamp(0, 1)


def incoherence(silhouettes: Tensor, views: Views) -> float:
    """The share of ``silhouettes`` ``[B,1,S,S]`` that no solid covers which stays within all of them (CPU).

    The largest such solid is the visual hull: of each point in space, the least of what the silhouettes say.
    """
    axis = (torch.arange(POINTS) + 0.5) * (2 / POINTS) - 1
    points = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), dim=-1).view(-1, 3)
    places = views.project(points)
    hull = functional.grid_sample(silhouettes, places[:, :, None], align_corners=False)[:, 0, :, 0].amin(dim=0)
    inside = hull > 0.02
    pixels = ((places[:, inside] + 1) * (PIXELS / 2)).floor().long()
    seen = ((pixels >= 0) & (pixels < PIXELS)).all(dim=-1)
    pixels = pixels.clamp(0, PIXELS - 1)
    shadow = torch.zeros(len(views), PIXELS**2)
    shadow.scatter_reduce_(1, pixels[..., 1] * PIXELS + pixels[..., 0], hull[inside] * seen, "amax")
    wanted = functional.interpolate(silhouettes, (PIXELS, PIXELS), mode="area").flatten(1)
    return float((wanted - shadow).clamp_min(0).sum() / wanted.sum().clamp_min(1e-6))


def _around(elevation: float, distance: float, fov: float) -> Views:
    """The views that are asked for, if the picture was taken from ``elevation``."""
    azimuth = torch.tensor(AZIMUTHS)
    rest = (torch.full_like(azimuth, value) for value in (distance, fov))
    return Views(azimuth, elevation + torch.tensor(RISES), *rest)


def _lowest(misfits: list[float]) -> float:
    """Where the misfit is least, but for a leaning towards what is usual.

    At the bottom of a parabola through the best candidate and its neighbours. Views that fit perfectly somewhere leave
    nothing to lean on.
    """
    share = LEANING * min(misfits)
    leanings = (share * ((candidate - USUAL) / 30) ** 2 for candidate in CANDIDATES)
    misfits = [misfit + leaning for misfit, leaning in zip(misfits, leanings, strict=True)]
    best = min(range(len(misfits)), key=misfits.__getitem__)
    if not 0 < best < len(misfits) - 1:
        return CANDIDATES[best]
    before, least, after = misfits[best - 1 : best + 2]
    curvature = before - 2 * least + after
    shift = 0.5 * (before - after) / curvature if curvature > 0 else 0.0
    return round(CANDIDATES[best] + shift * (CANDIDATES[1] - CANDIDATES[0]), 1)
