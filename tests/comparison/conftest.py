"""A tiny random prior with a linear map, and plans of runs that take a second each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from dreampgc.comparison.plan import METHODS, SPACES, TASKS, Plan, make_plan
from dreampgc.config import RunConfig, load_config
from dreampgc.priors.linear import LinearMap
from tests.priors.conftest import write_tiny_model
from tests.small_runs import SMALL

#: ``(methods, thresholds, spaces, **options) -> Plan``.
Planner = Callable[..., Plan]


@pytest.fixture(scope="session")
def prior_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights: their gradients mean nothing, and travel all the same."""
    torch.set_num_threads(1)  # sums of one order, so that two runs can have the same bits
    directory = write_tiny_model(tmp_path_factory.mktemp("comparison") / "tiny")
    LinearMap((torch.randn(3, 4), torch.zeros(4)), (torch.randn(4, 3), torch.zeros(3))).save(directory)
    return directory


def configuration(prior: Path | str, task: Any, **options: Any) -> RunConfig:
    """A configuration of three steps; ``options`` are dotted keys with ``__`` for the dot."""
    named = {key.replace("__", "."): value for key, value in options.items()}
    return load_config(
        options={**SMALL, "prompt": "a car", "prior": str(prior), "loop.steps": 3, "task": task, **named}
    )


@pytest.fixture(scope="session")
def planned(prior_directory: Path) -> Planner:
    """Plans with the tiny prior."""

    def plan(
        methods: Any = METHODS,
        thresholds: Any = (0.01, 0.1),
        spaces: Any = SPACES,
        *,
        prior: Any = None,
        **options: Any,
    ) -> Plan:
        place = prior or prior_directory
        return make_plan(
            {space: configuration(place, TASKS[space], **options) for space in spaces}, methods, thresholds
        )

    return plan
