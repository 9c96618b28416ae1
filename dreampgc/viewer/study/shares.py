"""How often each method was picked, and how far that can be trusted."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import NormalDist

from dreampgc.viewer.study.votes import Vote


@dataclass(frozen=True)
class Share:
    """``method`` was picked ``picked`` of the ``shown`` times that it could be; ``low`` and ``high`` are `wilson`'s."""

    method: str
    picked: int
    shown: int
    low: float
    high: float

    @property
    def share(self) -> float:
        """The preference share, in [0,1]."""
        return self.picked / self.shown


def tally(votes: Iterable[Vote]) -> list[Share]:
    """The share of every method that was shown, the most preferred first."""
    shown: Counter[str] = Counter()
    picked: Counter[str] = Counter()
    for vote in votes:
        shown.update(vote.shown)
        picked[vote.picked] += 1
    shares = [Share(method, picked[method], times, *wilson(picked[method], times)) for method, times in shown.items()]
    return sorted(shares, key=lambda share: (-share.share, share.method))


def wilson(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """The score interval of a proportion, in [0,1] (E. B. Wilson, *Probable inference, the law of succession, and
    statistical inference*, JASA 22, 1927): all p with ``|k/n - p| <= z sqrt(p (1 - p) / n)``.

    Unlike ``p +- z sqrt(p (1 - p) / n)`` it holds for few trials and for shares near 0 and 1 (Brown, Cai, DasGupta,
    *Interval estimation for a binomial proportion*, Statistical Science 16, 2001).

    Raises:
        ValueError: not ``0 <= successes <= trials`` with at least one trial, or a confidence outside (0,1).
    """
    if not 0 <= successes <= trials or trials == 0 or not 0 < confidence < 1:
        raise ValueError(f"no interval for {successes} of {trials} at a confidence of {confidence}")
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    centre = (successes + z**2 / 2) / (trials + z**2)
    reach = z / (trials + z**2) * math.sqrt(successes * (trials - successes) / trials + z**2 / 4)
    # At 0 and at n one end is exact, which rounding would miss.
    return (0.0 if successes == 0 else centre - reach, 1.0 if successes == trials else centre + reach)
