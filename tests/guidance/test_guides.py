"""Property: what views are told, by text and by pictures. `tests.guidance.test_sds` has the arithmetic of texts."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from dreampgc.cameras import Views, fixed_views
from dreampgc.guidance.guides import Guide, Known, TextGuide, ViewGuide
from dreampgc.guidance.schedule import Schedule
from dreampgc.guidance.sds import ScoreDistillation
from dreampgc.priors.base import Reference, ViewCondition
from tests.guidance.oracle import OraclePrior
from tests.guidance.toy import ToyPrior

T = torch.tensor([500, 500])


def flat(views: Views) -> Tensor:
    """A gray picture for each view, the lighter the further to the side."""
    return (views.azimuth.deg2rad().cos() / 4 + 0.5).view(-1, 1, 1, 1).expand(-1, 3, 32, 32)


@pytest.fixture
def oracle() -> OraclePrior:
    return OraclePrior(flat, elevation=20.0)


def known(oracle: OraclePrior, azimuth: float, elevation: float, mark: float = 1.0, distance: float = 2.4) -> Known:
    """A picture that the oracle tells from others by ``mark``."""
    latents = torch.full((1, 4, 16, 16), mark)
    return Known(Reference(torch.full((1, 1), mark), latents, elevation), azimuth, distance)


@torch.no_grad()
def test_poses_are_relative_to_the_picture_s_camera(oracle: OraclePrior) -> None:
    guide = ViewGuide(oracle, [known(oracle, 30.0, 20.0, distance=2.0)], unit=1.6)
    views = Views(torch.tensor([30.0, 100.0]), torch.tensor([20.0, -10.0]), torch.tensor([2.0, 2.4]), torch.ones(2))
    guide.noise(torch.zeros(2, 4, 16, 16), T, views)
    torch.testing.assert_close(oracle.poses[0], torch.tensor([[0.0, 0.0, 0.0], [70.0, -30.0, 0.25]]))


@torch.no_grad()
def test_guidance_of_pictures_is_one_batch_and_extrapolates(oracle: OraclePrior) -> None:
    """The unconditional branch believes in gray (latents 0), so scale s moves the optimum to s times the picture's."""
    noisy, views = torch.randn(2, 4, 16, 16), fixed_views([0.0, 90.0], elevation=20.0)
    found = ViewGuide(oracle, [known(oracle, 0.0, 20.0)], scale=3.0).noise(noisy, T, views)
    alpha = oracle.alphas_cumprod[500]
    expected = (noisy - alpha.sqrt() * 3 * oracle.encode(flat(views))) / (1 - alpha).sqrt()
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert oracle.batches == [4]


def test_each_view_is_told_by_the_picture_that_is_nearest_around_the_circle(oracle: OraclePrior) -> None:
    pictures = [known(oracle, 0.0, 0.0, 1.0), known(oracle, 180.0, 0.0, 2.0), known(oracle, 0.0, 80.0, 3.0)]
    azimuths, elevations = [10.0, 350.0, -80.0, 95.0, 260.0, 200.0], [0.0, 5.0, 0.0, 0.0, 0.0, 75.0]
    views = Views(torch.tensor(azimuths), torch.tensor(elevations), torch.full((6,), 2.4), torch.full((6,), 45.0))
    told = ViewGuide(oracle, pictures).condition(views)
    marks = [1.0, 1.0, 1.0, 2.0, 2.0, 3.0]
    assert told.latents[:, 0, 0, 0].tolist() == told.tokens[:, 0, 4].tolist() == marks
    assert told.tokens[4, 0, :2].tolist() == [80.0, 0.0]  # the pose is that from the nearest picture too
    assert told.tokens[5, 0, :2].tolist() == [200.0, -5.0]


def test_chosen_conditions_are_rows_of_the_given_ones() -> None:
    one, two = (ViewCondition(torch.full((3, 1, 2), x), torch.full((3, 4, 2, 2), x)) for x in (1.0, 2.0))
    chosen = ViewCondition.chosen([one, two], torch.tensor([1, 0, 1]))
    assert chosen.tokens[:, 0, 0].tolist() == chosen.latents[:, 0, 0, 0].tolist() == [2.0, 1.0, 2.0]


def test_a_guide_without_pictures_is_an_error(oracle: OraclePrior) -> None:
    with pytest.raises(ValueError, match="without a picture"):
        ViewGuide(oracle, [])


def test_score_distillation_does_not_care_who_guides(oracle: OraclePrior) -> None:
    """The descent of an image ends where the oracle's picture is, as with a text it ends at the text's optimum."""
    guides: list[Guide] = [ViewGuide(oracle, [known(oracle, 0.0, 20.0)], scale=1.0), TextGuide(ToyPrior(), "a car")]
    schedule = Schedule(10, t_min=0.5, t_max=0.5)
    for guide in guides:
        sds = ScoreDistillation(guide, schedule=schedule, generator=torch.Generator().manual_seed(0), method="vae")
        assert sds.image_gradient(torch.rand(2, 3, 32, 32), fixed_views([0.0, 60.0]), 0).isfinite().all()
    sds = ScoreDistillation(guides[0], schedule=schedule, generator=torch.Generator().manual_seed(0), clip=10.0)
    image, views = torch.rand(2, 3, 32, 32), fixed_views([0.0, 60.0], elevation=20.0)
    for step in range(100):
        image = image - 0.5 * sds.image_gradient(image, views, step)
    means = image.mean(dim=(1, 2, 3))
    torch.testing.assert_close(means, flat(views).mean(dim=(1, 2, 3)), atol=0.02, rtol=0)
