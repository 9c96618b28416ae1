"""Time steps and their weights."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dreampgc.guidance.schedule import Schedule, weight


@given(st.floats(0, 1), st.floats(0, 1), st.integers(0, 50), st.integers(0, 2**31), st.floats(0, 1))
def test_time_steps_stay_in_their_range(a: float, b: float, step: int, seed: int, anneal: float) -> None:
    low, high = sorted((a, b))
    schedule = Schedule(40, t_min=low, t_max=high, anneal=anneal, t_end=(low + high) / 2)
    t = schedule.sample(step, 64, torch.Generator().manual_seed(seed))
    assert t.dtype == torch.int64
    # 1e-3: float32 rounding of a share may cross the border of a whole step
    assert t.min() >= min(int(low * 1000 - 1e-3), 999)
    assert t.max() <= min(high * 1000 + 1e-3, 999)


def test_time_steps_are_uniform() -> None:
    t = Schedule(1, t_min=0.2, t_max=0.6).sample(0, 40_000, torch.Generator().manual_seed(0)).float()
    # standard errors: mean 115 / 200 = 0.6; share of a quarter 0.002
    assert t.mean() == pytest.approx(399.5, abs=3)
    assert (t < 300).float().mean() == pytest.approx(0.25, abs=0.01)
    assert (t.min(), t.max()) == (200, 599)


@pytest.mark.parametrize(("anneal", "uppers"), [(0.0, [0.98] * 3), (1.0, [0.98, 0.74, 0.5]), (0.5, [0.98, 0.5, 0.5])])
def test_annealing_lowers_the_upper_end(anneal: float, uppers: list[float]) -> None:
    schedule = Schedule(100, anneal=anneal)
    assert [schedule.upper(step) for step in (0, 50, 100)] == pytest.approx(uppers)


def test_the_generator_decides() -> None:
    first, second = (Schedule(10).sample(3, 8, torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(first, second)


def test_weights() -> None:
    alphas = torch.linspace(0.999, 0.001, 1000)
    t = torch.tensor([0, 500, 999])
    torch.testing.assert_close(weight(alphas, t, "sigma2"), 1 - alphas[t])
    torch.testing.assert_close(weight(alphas, t, "one"), torch.ones(3))
    with pytest.raises(ValueError, match="sigma"):
        weight(alphas, t, "sigma")  # type: ignore[arg-type]
