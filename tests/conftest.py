"""What all tests share: Hypothesis without deadlines, the mark of tests that need a GPU, and the embedded prior."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from dreampgc.priors.diffusion import DiffusionPrior

# Shared machines: single examples take what they take.
settings.register_profile("dreampgc", deadline=None, max_examples=30)
settings.load_profile("dreampgc")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what is marked ``requires_cuda`` where there is no CUDA device."""
    if item.get_closest_marker("requires_cuda") is not None:
        import torch  # not for the tests that do without it

        if not torch.cuda.is_available():
            pytest.skip("needs a CUDA device")


@pytest.fixture(scope="session")
def mini() -> DiffusionPrior:
    """The embedded prior, read once: it is frozen, so tests cannot disturb one another."""
    from dreampgc.priors.catalog import resolve  # seconds of imports, which most tests do without

    return resolve("mini").load()
