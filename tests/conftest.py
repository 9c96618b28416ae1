"""What tests share: Hypothesis without deadlines, the mark of tests that need a GPU, the embedded prior, a browser."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from dreampgc.priors.diffusion import DiffusionPrior
    from tests.browser import Browser

# Shared machines: single examples take what they take.
settings.register_profile("dreampgc", deadline=None, max_examples=30)
settings.load_profile("dreampgc")


def pytest_configure() -> None:
    """Let Ctrl-C be heard: where tests were started in the background, shells have it ignored, here and in children."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


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


@pytest.fixture(scope="session")
def tiny_zero123(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a tiny random Zero123, not to be changed."""
    from tests.priors.families import write_zero123

    return write_zero123(tmp_path_factory.mktemp("zero123") / "tiny")


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A small picture of an object over nothing."""
    from tests.photographs import write_photo

    return write_photo(tmp_path / "photo.png")


@pytest.fixture(scope="session")
def finished(mini: DiffusionPrior, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three steps from text to turntable, not to be changed."""
    from dreampgc import pipeline
    from dreampgc.console import Console
    from dreampgc.priors.catalog import PriorSource
    from tests.small_runs import small_config

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PriorSource, "load", lambda source, device, dtype=None: mini)
        folder = tmp_path_factory.mktemp("finished") / "run"
        return pipeline.create(small_config(loop__steps=3), folder, Console(quiet=True))


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished run."""
    return shutil.copytree(finished, tmp_path / "run")


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A headless Chromium, started once; see `tests.browser`."""
    from tests.browser import start

    started = start(tmp_path_factory.mktemp("chromium"))
    yield started
    started.driver.quit()
