"""Integration: work that processes share comes back in order, and the same without them."""

from __future__ import annotations

import math

import pytest
from evaluation.parallel import in_parallel


@pytest.mark.parametrize("jobs", [1, 2])
def test_results_come_in_order(jobs: int) -> None:
    assert list(in_parallel(math.sqrt, [16, 9, 4, 1], jobs=jobs, gpus=1)) == [4, 3, 2, 1]


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_error_in_a_worker_is_heard(jobs: int) -> None:
    with pytest.raises(ValueError, match=r"math domain|nonnegative"):
        list(in_parallel(math.sqrt, [1, -1], jobs=jobs, gpus=1))
