"""Property: a step needs no value from the device. The device is "meta" here, whose tensors have no values to ask for.

What asks all the same (``item``, ``nonzero``, ``bool``, a mask as an index) raises there; a mode finds what copies host
memory to the device without `dreampgc.transfer.upload`. Both would halt a GPU's host in every step.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from dreampgc import building
from dreampgc.building import build_text_stage
from dreampgc.console import Console
from dreampgc.priors.diffusion import DiffusionPrior
from dreampgc.render import Rooms
from dreampgc.runs import create_run
from dreampgc.stages import journal
from dreampgc.stages.loop import Loop
from dreampgc.stages.nerf import NerfStage
from tests.small_runs import metrics, small_config
from tests.stages.test_cuda import LIT

META = torch.device("meta")
WAYS: dict[str, dict[str, Any]] = {
    "plain": {},
    "lit": LIT,
    "textureless": {"render__albedo_share": 0.0, "render__textureless_share": 1.0},
    "latent": {"guidance__method": "latent"},
    "linear": {"guidance__method": "linear", "guidance__perp_neg": 1.0},
    "ngd": {"guidance__method": "pngd", "optimizer__rule": "ngd"},
}


class NoCopies(TorchFunctionMode):
    """Finds tensors that are made from Python's numbers or host memory on the device, once it is ``armed``."""

    armed = True

    def __torch_function__(self, function: Any, types: Any, arguments: Any = (), options: Any = None) -> Any:
        options = options or {}
        if not self.armed:
            return function(*arguments, **options)
        on_host = bool(arguments) and isinstance(arguments[0], Tensor) and arguments[0].device.type == "cpu"
        to_device = META in (torch.device(x) for x in (*arguments, options.get("device")) if is_device(x))
        if function in (torch.tensor, torch.as_tensor) and to_device and not is_on_device(arguments):
            raise AssertionError(f"{function.__name__} copies from the host")
        if function is Tensor.new_tensor and arguments[0].device == META:
            raise AssertionError("new_tensor copies from the host")
        if function is Tensor.to and on_host and (to_device or is_on_device(arguments[1:])):
            raise AssertionError("Tensor.to copies from the host: use upload")
        return function(*arguments, **options)


def is_device(x: Any) -> bool:
    return isinstance(x, torch.device) or (isinstance(x, str) and x in ("cpu", "cuda", "meta"))


def is_on_device(others: tuple[Any, ...]) -> bool:
    return any(isinstance(x, Tensor) and x.device == META for x in others)


class Unread:
    """In place of `Download`: the numbers never arrive in time, and say nothing when they are waited for."""

    def __init__(self, values: dict[str, Tensor]) -> None:
        self.names = list(values)

    def arrived(self) -> bool:
        return False

    def numbers(self) -> dict[str, float]:
        return dict.fromkeys(self.names, 1.0)


def upload(x: Tensor, device: torch.device | str) -> Tensor:
    """In place of `transfer.upload`: the one allowed copy."""
    with torch._C.DisableTorchFunction():
        return x.to(device)


def generator_of(device: torch.device | None, real: type[torch.Generator] = torch.Generator) -> torch.Generator:
    """There are no generators on "meta", and nothing to draw."""
    return real() if device is None or torch.device(device) == META else real(device)


@pytest.fixture
def blind(monkeypatch: pytest.MonkeyPatch, tiny_prior: DiffusionPrior) -> DiffusionPrior:
    """A prior on a device that shows nothing, and what the fast way needs to believe in it."""
    monkeypatch.setattr(building, "acceleration_of", lambda prior, wanted, hasty: "graphs")
    monkeypatch.setattr(journal, "Download", Unread)
    monkeypatch.setattr(Rooms, "reserve", lambda self, purpose, among, count, of_views=True: min(among, 4096))
    monkeypatch.setattr(torch, "Generator", lambda device=None: generator_of(device))
    for module in ("cameras", "render.marching", "transfer"):
        monkeypatch.setattr(f"dreampgc.{module}.upload", upload)
    return tiny_prior


@pytest.fixture(scope="module")
def tiny_prior() -> DiffusionPrior:
    """The embedded prior's structure: it has a linear map."""
    from dreampgc.priors.catalog import resolve

    return resolve("mini").load("meta")


@pytest.mark.parametrize("way", WAYS)
def test_no_step_asks_the_device(blind: DiffusionPrior, tmp_path: Path, way: str, monkeypatch: Any) -> None:
    config = small_config(loop__steps=6, **WAYS[way])
    stage = build_text_stage(config, blind)
    assert stage.rooms is not None
    # A fused optimiser refuses this device: its kernel is tested elsewhere.
    monkeypatch.setattr(stage.state.optimizer, "step", lambda: None)
    run, state = create_run(config, tmp_path / "run"), stage.state
    with Loop(run, config.loop, Console(quiet=True), save=state.save, load=state.load) as loop:
        loop._checkpoint = lambda: None  # type: ignore[method-assign]
        with NoCopies() as mode:
            mode.armed = False  # the first steps copy what is kept
            steps = loop.steps

            def watched(start: int, total: int) -> Iterator[int]:
                for step in steps(start, total):
                    mode.armed = step >= 3  # and the grid is looked at again in step 4
                    yield step

            monkeypatch.setattr(loop, "steps", watched)
            stage.train(loop)
    assert len(metrics(run.path)) == 6


def test_the_test_would_notice(blind: DiffusionPrior) -> None:
    x = torch.ones(3, device=META)
    for waiting in (
        lambda: x.nonzero(),
        lambda: x.sum().item(),
        lambda: bool(x.any()),
        lambda: x[x > 0],
        lambda: x[(x > 0).sum()],
    ):
        with pytest.raises((RuntimeError, NotImplementedError)):
            waiting()
    with NoCopies():
        for copying in (
            lambda: torch.tensor([1.0], device=META),
            lambda: x.new_tensor([1.0]),
            lambda: torch.ones(3).to(META),
            lambda: torch.ones(3).to(x),
        ):
            with pytest.raises(AssertionError, match="copies from the host"):
                copying()


@pytest.mark.parametrize("way", WAYS)
def test_the_fast_way_s_parts_train_the_same_on_a_cpu(
    mini: DiffusionPrior, tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reserved room and a fused optimiser, without graphs: up to the first looks of the grid the dice are the same."""
    found = []
    for fast in (False, True):
        if fast:
            monkeypatch.setattr(building, "acceleration_of", lambda prior, wanted, hasty: "graphs")
        config = small_config(loop__steps=3, render__grid_every=50, **WAYS[way])
        stage: NerfStage = build_text_stage(config, mini)
        assert (stage.rooms is not None) == fast
        run, state = create_run(config, tmp_path / str(fast)), stage.state
        with run.active(), Loop(run, config.loop, Console(quiet=True), save=state.save, load=state.load) as loop:
            stage.train(loop)
        found.append(metrics(run.path))
    for plain, other in zip(*found, strict=True):
        assert other.keys() == plain.keys()
        assert other["samples"] == plain["samples"]
        # other sizes of matrix products, and Adam magnifies roundings of small gradients
        assert {name: pytest.approx(value, rel=2e-2, abs=1e-3) for name, value in plain.items()} == other
