"""The prior that these tests are guided by."""

from __future__ import annotations

import pytest

from tests.guidance.toy import ToyPrior


@pytest.fixture
def toy() -> ToyPrior:
    """A fresh one for each test: it records what it is asked."""
    return ToyPrior()
