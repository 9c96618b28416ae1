"""A served study."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.viewer.study.clients import Served, served, write_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "results")


@pytest.fixture
def study(folder: Path) -> Iterator[Served]:
    with served(folder) as one:
        yield one
