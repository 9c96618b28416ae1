"""Twenty staged photos, rendered once."""

import pytest

from tests.photos.staged import Staged, stage


@pytest.fixture(scope="session")
def staged() -> list[Staged]:
    """Ten objects over two backgrounds each, 96 pixels a side."""
    return list(stage())
