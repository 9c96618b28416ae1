"""Property: the elevation at which views fit together is found, of objects of the world by a prior that is right."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor

from dreampgc.cameras import Views
from dreampgc.guidance.elevation import CANDIDATES, USUAL, _around, _lowest, estimate_elevation, incoherence, silhouette
from dreampgc.priors.base import Reference, ViewCondition
from dreampgc.world.objects import HELD_OUT_SEED
from dreampgc.world.render import Picture, render_world
from dreampgc.world.scene import make_scene
from tests.guidance.oracle import OraclePrior

SIZE = 64


def seen(name: str, views: Views, size: int = SIZE) -> Picture:
    """A held-out object from ``views``."""
    return render_world(make_scene([(name, "red", HELD_OUT_SEED)] * len(views)), views, size, supersample=1)


def painted(name: str, views: Views) -> Tensor:
    return seen(name, views).over(torch.ones(3))


def camera(elevation: float) -> Views:
    return Views(*(torch.tensor([x]) for x in (0.0, elevation, 2.4, 45.0)))


@pytest.mark.parametrize(("name", "elevation"), [("teapot", 0.0), ("chair", 27.0), ("lamp", 40.0), ("dog", -10.0)])
def test_the_right_elevation_is_found(name: str, elevation: float) -> None:
    """A lamp is a solid of revolution: views that only turn around it would fit at any elevation."""
    oracle = OraclePrior(partial(painted, name), elevation, size=SIZE)
    first = seen(name, camera(elevation))
    found = estimate_elevation(
        oracle, first.over(torch.ones(3)), first.mask, generator=torch.Generator().manual_seed(0), scale=1.0
    )
    assert found.elevation == pytest.approx(elevation, abs=8.0)
    assert len(found.misfits) == len(CANDIDATES)
    assert min(found.misfits) < 0.1
    assert oracle.batches == [14] * 15  # what is told is the same for all candidates: sampled once


def test_the_generator_alone_decides() -> None:
    first = seen("chair", camera(20.0))

    def estimate(seed: int) -> tuple[float, ...]:
        torch.manual_seed(seed)
        oracle = OraclePrior(partial(painted, "chair"), 20.0, size=SIZE)
        generator = torch.Generator().manual_seed(0)
        return estimate_elevation(oracle, first.over(torch.ones(3)), first.mask, generator=generator).misfits

    assert estimate(1) == estimate(2)


class Absolute(OraclePrior):
    """Is told the reference's own elevation too, as Stable-Zero123 is, and believes it."""

    def view(self, reference: Reference, azimuth: Tensor, elevation: Tensor, distance: Tensor) -> ViewCondition:
        told = super().view(reference, azimuth, elevation, distance)
        told.tokens[..., 4] = reference.elevation
        return told


def test_a_prior_that_is_told_the_elevation_is_asked_for_each() -> None:
    first, heard = seen("chair", camera(20.0)), []
    prior = Absolute(partial(painted, "chair"), 20.0, size=SIZE)
    estimate_elevation(prior, first.over(torch.ones(3)), first.mask, generator=torch.Generator(), report=heard.append)
    assert len(prior.batches) == 15 * len(CANDIDATES)
    assert heard == list(range(1, len(CANDIDATES) + 1))


def test_views_of_one_solid_fit_and_others_do_not() -> None:
    views = _around(20.0, 2.4, 45.0)
    masks = seen("chair", views, 64).mask
    right = incoherence(masks, views)
    assert right < 0.05
    assert incoherence(masks, _around(60.0, 2.4, 45.0)) > 3 * right
    assert incoherence(masks.flip(-1)[:1].expand(8, -1, -1, -1), views) > 3 * right
    assert incoherence(torch.zeros_like(masks), views) == 0  # nothing is missing of nothing


def test_white_is_no_object_and_anything_darker_is() -> None:
    tones = torch.tensor([1.0, 0.98, 0.9, 0.2]).view(1, 1, 1, 4).expand(1, 3, 1, 4).clone()
    tones[0, 0, 0, 3] = 1.0  # pure red is bright in one channel only
    assert silhouette(tones).flatten().tolist() == [0.0, 0.0, 1.0, 1.0]


def test_views_that_say_nothing_leave_it_at_what_is_usual() -> None:
    assert _lowest([0.3] * len(CANDIDATES)) == pytest.approx(USUAL)


def test_views_that_fit_somewhere_are_believed() -> None:
    misfits = [abs(candidate - 50) / 100 for candidate in CANDIDATES]
    assert _lowest(misfits) == pytest.approx(50)
