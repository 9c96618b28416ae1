"""View-dependent prompts: weights that follow the camera."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dreampgc.priors.prompts import MINI, STABLE_DIFFUSION, ViewPhrases, view_prompts, view_weights

UNEVEN = ViewPhrases(ring=((10, "a"), (50, "b"), (200, "c")), overhead="top", ramp=(60, 80))
SINGLE = ViewPhrases(ring=((30, "a"),), overhead="top", ramp=(60, 80))
TABLES = {"sd": STABLE_DIFFUSION, "mini": MINI, "uneven": UNEVEN, "single": SINGLE}
angles = st.floats(-1000, 1000, width=32)
tables = pytest.mark.parametrize("phrases", TABLES.values(), ids=TABLES)


def weights_at(azimuth: float, elevation: float, phrases: ViewPhrases) -> torch.Tensor:
    return view_weights(torch.tensor([azimuth]), torch.tensor([elevation]), phrases)[0]


@tables
@given(azimuth=angles, elevation=st.floats(-90, 90, width=32))
def test_weights_are_shares(phrases: ViewPhrases, azimuth: float, elevation: float) -> None:
    weights = weights_at(azimuth, elevation, phrases)
    assert weights.dtype == torch.float32
    assert (weights >= -1e-6).all()
    assert weights.sum().item() == pytest.approx(1, abs=1e-5)
    assert (weights[:-1] > 1e-6).sum() <= 2


@tables
def test_a_phrases_own_view_has_it_alone(phrases: ViewPhrases) -> None:
    for index, (azimuth, _) in enumerate(phrases.ring):
        assert weights_at(azimuth, 0, phrases)[index] == 1
    assert weights_at(77, phrases.ramp[1], phrases)[-1] == 1
    assert weights_at(77, phrases.ramp[0], phrases)[-1] == 0


@tables
@given(azimuth=angles, elevation=st.floats(-90, 90, width=32))
def test_continuous_and_periodic(phrases: ViewPhrases, azimuth: float, elevation: float) -> None:
    here = weights_at(azimuth, elevation, phrases)
    near = weights_at(azimuth + 0.1, elevation + 0.1, phrases)
    # the steepest slope of the tables: one phrase within 20 degrees, plus float32 angles of up to 1000 degrees
    assert (here - near).abs().max() < 0.1 / 20 + 0.1 / 40 + 1e-4
    torch.testing.assert_close(weights_at(azimuth + 360, elevation, phrases), here, rtol=0, atol=1e-4)


def test_halfway_between() -> None:
    torch.testing.assert_close(weights_at(45, 67.5, MINI), torch.tensor([0.25, 0.25, 0, 0, 0.5]))
    torch.testing.assert_close(weights_at(-45, 0, MINI), torch.tensor([0.5, 0, 0, 0.5, 0]))
    torch.testing.assert_close(weights_at(125, 0, UNEVEN), torch.tensor([0, 0.5, 0.5, 0]))


def test_prompts_are_in_the_order_of_the_weights() -> None:
    assert view_prompts("a car", MINI) == [
        "a car, front view",
        "a car, left side view",
        "a car, back view",
        "a car, right side view",
        "a car, overhead view",
    ]
    assert (
        len(view_prompts("a car", STABLE_DIFFUSION))
        == view_weights(torch.zeros(1), torch.zeros(1), STABLE_DIFFUSION).shape[1]
    )
