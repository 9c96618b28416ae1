"""Property and fault: which runs a comparison consists of."""

from __future__ import annotations

import math
from typing import Any

import pytest

from dreampgc.comparison.plan import METHODS, SPACES, THRESHOLDS, make_plan
from dreampgc.errors import InputError
from dreampgc.guidance import propagation
from tests.comparison.conftest import configuration


def plan(methods: Any = METHODS, thresholds: Any = THRESHOLDS, **options: Any) -> Any:
    configs = {"2d": configuration("mini", "image2d", **options), "3d": configuration("mini", "text", **options)}
    return make_plan(configs, methods, thresholds)  # type: ignore[arg-type]


def test_the_methods_are_those_there_are() -> None:
    assert set(METHODS) == set(propagation.METHODS)


def test_every_method_and_threshold_is_run_once_in_each_space() -> None:
    found = plan()
    for space in SPACES:
        runs = {(v.method, v.clip) for v in found.variants if v.space == space}
        assert runs == {(method, 0.1) for method in METHODS} | {("pgc-n", threshold) for threshold in THRESHOLDS}
    assert len({v.folder for v in found.variants}) == len(found.variants) == 2 * 10
    assert [v.space for v in found.variants] == 10 * ["2d"] + 10 * ["3d"]


def test_both_blocks_show_the_run_that_they_share() -> None:
    methods, thresholds = plan(guidance__clip=0.5).blocks
    for space in SPACES:
        [shared] = {v.folder for v in methods.variants[space]} & {v.folder for v in thresholds.variants[space]}
        assert shared == f"{space}/pgc-n"
        assert thresholds.labels[[v.folder for v in thresholds.variants[space]].index(shared)] == "c = 0.5"


def test_variants_differ_in_method_and_threshold_and_nothing_else() -> None:
    for space in SPACES:
        left = [
            v.config.model_copy(update={"guidance": v.config.guidance.model_copy(update={"method": "vae", "clip": 1})})
            for v in plan().variants
            if v.space == space
        ]
        assert all(config == left[0] for config in left)


def test_order_and_repetition_of_what_was_asked_for_do_not_matter() -> None:
    assert plan(("pgc-n", "vae", "vae"), (0.5, 0.1, 0.5)) == plan(("vae", "pgc-n"), (0.1, 0.5))


@pytest.mark.parametrize("steps", [1, 5, 12, 100])
def test_every_run_leaves_gradients_of_early_steps(steps: int) -> None:
    for variant in plan(loop__steps=steps).variants:
        assert 1 <= variant.config.loop.gradient_every <= max(1, steps // 12)


@pytest.mark.parametrize(
    ("methods", "thresholds", "says"),
    [
        (["sgd"], [], "'sgd'"),
        ([], [0.0], "threshold 0"),
        ([], [-1.0], "threshold -1"),
        ([], [math.nan], "threshold nan"),
        ([], [math.inf], "threshold inf"),
        ([], [], "nothing to compare"),
    ],
)
def test_plans_that_make_no_sense_are_refused(methods: list[str], thresholds: list[float], says: str) -> None:
    with pytest.raises(InputError, match=says):
        plan(methods, thresholds)


def test_no_space_is_nothing_to_compare() -> None:
    with pytest.raises(InputError, match="nothing to compare"):
        make_plan({}, METHODS, THRESHOLDS)
