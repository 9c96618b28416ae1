"""What all tests share: Hypothesis without deadlines, the embedded prior, and runs of a few seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from dreampgc.priors.diffusion import DiffusionPrior

# Shared machines: single examples take what they take.
settings.register_profile("dreampgc", deadline=None, max_examples=30)
settings.load_profile("dreampgc")


@pytest.fixture(scope="session")
def mini() -> DiffusionPrior:
    """The embedded prior, read once: it is frozen, so tests cannot disturb one another."""
    from dreampgc.priors.catalog import resolve  # seconds of imports, which most tests do without

    return resolve("mini").load()
