"""What several tests of stages share."""

from __future__ import annotations

from pathlib import Path

import pytest

from dreampgc.priors.zero123 import Zero123Prior


@pytest.fixture(scope="session")
def views(tiny_zero123: Path) -> Zero123Prior:
    """A tiny random prior of views; it is frozen."""
    return Zero123Prior.load(tiny_zero123)
