"""Property: sampling ends at what the prior believes, and depends on its noise alone."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from dreampgc.cameras import Views, fixed_views
from dreampgc.guidance.guides import Known, TextGuide, ViewGuide
from dreampgc.guidance.sampling import sample_pictures
from tests.guidance.oracle import OraclePrior
from tests.guidance.toy import ToyPrior


def stripes(views: Views) -> Tensor:
    """Two gray halves for each view; their edge is where the latents' pixels meet."""
    tone = (views.azimuth.deg2rad().cos() / 4 + 0.5).view(-1, 1, 1, 1).expand(-1, 3, 32, 32)
    return torch.cat([tone[..., :16], 1 - tone[..., 16:]], dim=-1)


@pytest.mark.parametrize("steps", [1, 2, 15])
def test_of_a_prior_that_is_sure_each_view_is_what_it_believes(steps: int) -> None:
    oracle = OraclePrior(stripes, elevation=10.0)
    reference = oracle.condition(torch.ones(1, 3, 32, 32), 10.0)
    views = fixed_views([0.0, 90.0, 200.0], elevation=10.0)
    pictures = sample_pictures(
        ViewGuide(oracle, [Known(reference, 0.0, 2.4)], scale=1.0), views, torch.randn(3, 4, 16, 16), steps
    )
    torch.testing.assert_close(pictures, stripes(views), atol=1e-3, rtol=0)
    assert oracle.batches == [6] * steps


def test_texts_are_sampled_the_same_way_and_noise_decides() -> None:
    guide, views = TextGuide(ToyPrior(), "a car", scale=2.0), fixed_views([0.0, 90.0])
    noise = torch.randn(2, 4, 4, 4)
    first, second, other = (sample_pictures(guide, views, x, 4) for x in (noise, noise, -noise))
    assert first.shape == (2, 3, 32, 32)
    assert torch.equal(first, second)
    torch.testing.assert_close(first, other, atol=1e-4, rtol=0)  # the toy believes in one picture only
