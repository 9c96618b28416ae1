"""Property and reference: Wilson's interval and the shares."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, norm

from dreampgc.viewer.study.shares import tally, wilson
from dreampgc.viewer.study.votes import Vote


# Newcombe, "Two-sided confidence intervals for the single proportion" (1998), Table I, method 3.
@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_gives_published_values(successes: int, trials: int, low: float, high: float) -> None:
    # Printed with four digits.
    assert wilson(successes, trials) == pytest.approx((low, high), abs=5e-5)


counts = st.integers(1, 3000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
confidences = st.floats(0.01, 0.999)


@given(counts, confidences)
def test_wilson_agrees_with_scipy(count: tuple[int, int], confidence: float) -> None:
    expected = binomtest(*count).proportion_ci(confidence, method="wilson")
    # Both compute in double precision; differences are of rounding.
    assert wilson(*count, confidence) == pytest.approx((expected.low, expected.high), abs=1e-9)


@given(counts, confidences)
def test_wilson_inverts_the_score_test(count: tuple[int, int], confidence: float) -> None:
    successes, trials = count
    z = float(norm.ppf((1 + confidence) / 2))
    for bound in wilson(successes, trials, confidence):
        assert 0 <= bound <= 1
        # The definition: at the bounds, the share lies z standard errors away.
        distance = abs(successes / trials - bound)
        assert distance == pytest.approx(z * math.sqrt(bound * (1 - bound) / trials), abs=1e-7)


@given(counts)
def test_wilson_is_symmetric_holds_the_share_and_narrows(count: tuple[int, int]) -> None:
    successes, trials = count
    low, high = wilson(successes, trials)
    other_low, other_high = wilson(trials - successes, trials)
    assert (low, high) == pytest.approx((1 - other_high, 1 - other_low), abs=1e-12)
    assert low <= successes / trials <= high
    narrower_low, narrower_high = wilson(4 * successes, 4 * trials)
    assert narrower_high - narrower_low < high - low


@pytest.mark.parametrize("bad", [(1, 0), (-1, 3), (4, 3), (1, 3, 1.0), (1, 3, 0.0)])
def test_wilson_refuses_what_has_no_interval(bad: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="no interval"):
        wilson(*bad)


def vote(picked: str, *shown: str, voter: str = "v", question: str = "q") -> Vote:
    return Vote(voter, question, "a prompt", shown, picked)


def test_tally_counts_how_often_each_was_shown_and_picked() -> None:
    shares = tally([vote("b", "a", "b"), vote("b", "b", "a"), vote("a", "a", "b"), vote("c", "c", "b")])
    assert [(s.method, s.picked, s.shown) for s in shares] == [("c", 1, 1), ("b", 2, 4), ("a", 1, 3)]
    assert [s.share for s in shares] == [1, 0.5, pytest.approx(1 / 3)]
    assert [(s.low, s.high) for s in shares] == [wilson(1, 1), wilson(2, 4), wilson(1, 3)]
    assert tally([]) == []


@given(st.lists(st.permutations(["a", "b", "c"]), min_size=1, max_size=40))
def test_shares_of_full_ballots_add_up_to_one(orders: list[list[str]]) -> None:
    assert sum(share.share for share in tally(vote(order[0], *order) for order in orders)) == pytest.approx(1)
