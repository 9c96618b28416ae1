"""Property and fault: a step that is replayed does what it would have done, and what cannot be recorded runs as it is.

There are no CUDA graphs on a CPU, so a recording is played there by doing its work again, in which every `draw` answers
with the place that the recording kept, and which must neither bring numbers of the host's nor ask for the device's.
What a real graph does is tested in test_cuda.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from dreampgc import building, references
from dreampgc.building import build_image2d_stage, build_image_stage, build_text_stage
from dreampgc.console import Console
from dreampgc.priors.diffusion import DiffusionPrior
from dreampgc.priors.zero123 import Zero123Prior
from dreampgc.render import Rooms
from dreampgc.runs import create_run
from dreampgc.stages import recording as module
from dreampgc.stages.loop import Loop
from dreampgc.stages.recording import Outcome, Recorder
from dreampgc.transfer import Tape, draw
from tests.photographs import image_config, write_photo
from tests.priors.families import write_zero123
from tests.small_runs import metrics, small_config
from tests.stages.test_cuda import LIT


class Apart(TorchDispatchMode):
    """Forbids what a CUDA graph cannot hold: a tensor of the host's numbers, and a number of a tensor's."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert func.overloadpacket not in (torch.ops.aten.lift_fresh, torch.ops.aten._local_scalar_dense)
        return func(*args, **(kwargs or {}))


class Played:
    """In place of `Recording`."""

    made: list[Any]
    failure: Exception | None

    def __init__(self, work: Any, tape: Tape, parameters: Any, gradients: Any, rooms: Any, pool: Any) -> None:
        if self.failure is not None:
            raise self.failure
        self.work, self.tape, self.parameters = work, tape, parameters
        self.made.append(self)

    def replay(self) -> Outcome:
        self.tape.refill()
        with self.tape.playing(), Apart():
            outcome = self.work()
        for parameter, gradient in zip(
            self.parameters, torch.autograd.grad(outcome.loss, self.parameters, allow_unused=True), strict=True
        ):
            parameter.grad = torch.zeros_like(parameter) if gradient is None else gradient
        return Outcome(outcome.loss.detach(), outcome.metrics, outcome.record)


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> type[Played]:
    class Fresh(Played):
        made: list[Any] = []  # noqa: RUF012
        failure = None

    monkeypatch.setattr(module, "Recording", Fresh)
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: None)
    monkeypatch.setattr(building, "acceleration_of", lambda prior, wanted, hasty: "graphs")
    return Fresh


def trained(stage: Any, config: Any, folder: Path) -> list[dict[str, Any]]:
    run, state = create_run(config, folder), stage.state
    with run.active(), Loop(run, config.loop, Console(quiet=True), save=state.save, load=state.load) as loop:
        stage.train(loop)
    return metrics(run.path)


@pytest.mark.parametrize("options", [{}, LIT, {"guidance__method": "latent"}], ids=["plain", "lit", "latent"])
def test_replayed_steps_train_like_others(
    mini: DiffusionPrior, played: type[Played], tmp_path: Path, options: dict[str, Any]
) -> None:
    """The same dice, the same schedule; sums over buffers of other sizes differ in their last digits."""
    config = small_config(loop__steps=10, **options)
    plain = trained(build_text_stage(config, mini), config, tmp_path / "plain")
    stage = build_text_stage(config, mini)
    stage.record_steps(pytest.fail)
    replayed = trained(stage, config, tmp_path / "replayed")
    assert played.made
    for one, other in zip(plain, replayed, strict=True):
        assert other["t"] == one["t"]
        assert other["loss"] == pytest.approx(one["loss"], rel=0.02, abs=1e-3)
        assert other.get("opacity_entropy") == pytest.approx(one.get("opacity_entropy"), rel=0.02)


@pytest.mark.parametrize("share", [0.0, 1.0], ids=["guided", "copied from a sketch"])
def test_so_do_those_of_pictures(played: type[Played], tmp_path: Path, share: float) -> None:
    prior = Zero123Prior.load(write_zero123(tmp_path / "tiny"))
    options = {"regularisers__normal_smoothness": 1.0, "image__sketch": share}
    config = image_config(write_photo(tmp_path / "photo.png"), loop__steps=8, **options)
    found = []
    for replayed in (False, True):
        (folder := tmp_path / f"pictures-{replayed}").mkdir()
        [picture] = pictures = references.load(config.image, folder, config.seed)
        sketch = [replace(picture, azimuth=azimuth) for azimuth in (90.0, 180.0)] if share else []
        stage = build_image_stage(config, prior, pictures, sketch=sketch)
        if replayed:
            stage.record_steps(pytest.fail)
        found.append(trained(stage, config, tmp_path / str(replayed)))
    assert played.made
    for one, other in zip(*found, strict=True):
        assert other.get("t") == one.get("t")
        assert ("sketch_rgb" in other) == (share > 0)
        assert other["loss"] == pytest.approx(one["loss"], rel=0.02)


def test_an_image_is_replayed_bit_for_bit(mini: DiffusionPrior, played: type[Played], tmp_path: Path) -> None:
    config = small_config(task="image2d", loop__steps=6)
    found = []
    for replayed in (False, True):
        stage = build_image2d_stage(config, mini)
        if replayed:
            stage.record_steps(pytest.fail)
        trained(stage, config, tmp_path / str(replayed))
        found.append(stage.state.image.detach())
    assert len(played.made) == 1
    assert torch.equal(*found)


def recorder(say: Callable[[str], None] = pytest.fail) -> tuple[Recorder, Tensor]:
    parameter = torch.ones(3, requires_grad=True)
    return Recorder([parameter], [], say), parameter


def work_of(parameter: Tensor, number: Callable[[], float]) -> Callable[[], Outcome]:
    def work() -> Outcome:
        return Outcome((parameter * draw(lambda: torch.tensor(number()), "cpu")).sum(), {}, None)

    return work


def test_from_the_third_time_on_steps_of_a_kind_are_replayed(played: type[Played]) -> None:
    recorder_, parameter = recorder()
    numbers = iter(range(100))
    work = work_of(parameter, lambda: float(next(numbers)))
    losses = []
    for kind in "aababba":
        losses.append(recorder_.play(kind, work))
    assert [outcome.loss.item() for outcome in losses] == [3.0 * k for k in range(7)]
    assert [outcome.loss.requires_grad for outcome in losses] == [k in (0, 2) for k in range(7)]
    assert len(played.made) == 2
    assert parameter.grad is not None and parameter.grad.tolist() == [6.0] * 3


def test_what_cannot_be_recorded_is_said_once_and_runs(played: type[Played]) -> None:
    played.failure = RuntimeError("capturing failed\nmore lines")
    said: list[str] = []
    recorder_, parameter = recorder(said.append)
    work = work_of(parameter, lambda: 1.0)
    assert [recorder_.play("a", work).loss.item() for _ in range(4)] == [3.0] * 4
    assert said == ["steps cannot be recorded here and run slower (capturing failed)"]


@pytest.mark.parametrize("reason", ["it failed", "memory is short"])
def test_what_is_not_recorded_any_more_has_the_room_that_it_needs(played: type[Played], reason: str) -> None:
    rooms, parameter = Rooms(), torch.ones(3, requires_grad=True)
    if reason == "it failed":
        played.failure = RuntimeError("capturing failed")
    recorder_, count, size = Recorder([parameter], [rooms], lambda sentence: None), 10_000, 0

    def work() -> Outcome:
        nonlocal size
        size = rooms.reserve("samples", 10**6, torch.tensor(count))
        return Outcome(parameter.sum(), {}, None)

    recorder_.play("a", work)
    recorder_.play("a", work)
    if reason != "it failed":
        recorder_.give_up()
    count = 50_000
    for _ in range(3):
        recorder_.play("a", work)
    assert size >= count


def test_want_of_memory_is_for_the_ladder(played: type[Played]) -> None:
    played.failure = torch.OutOfMemoryError("full")
    recorder_, parameter = recorder()
    work = work_of(parameter, lambda: 1.0)
    recorder_.play("a", work)
    with pytest.raises(torch.OutOfMemoryError):
        recorder_.play("a", work)


def test_the_least_used_recording_is_dropped(played: type[Played], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST", 2)
    recorder_, parameter = recorder()
    work = work_of(parameter, lambda: 1.0)
    for kind in "aabbaccab":  # the last b has to be recorded again
        recorder_.play(kind, work)
    assert len(played.made) == 4


def test_sizes_are_planned_on_a_ladder_and_differ_by_recording(played: type[Played]) -> None:
    rooms, parameter = Rooms(), torch.ones(3, requires_grad=True)
    recorder_ = Recorder([parameter], [rooms], pytest.fail)
    size = 0

    def work() -> Outcome:
        nonlocal size
        size = rooms.reserve("samples", 10**6, torch.full((), int(10_000 * rooms.scale)))
        return Outcome(parameter.sum(), {}, None)

    sizes = []
    for rooms.scale in (1.0, 1.0, 1.02, 1.0, 1.05, 2.0, 2.0, 1.0):
        recorder_.play("a", work)
        sizes.append(size)
    assert sizes[0] == 20480  # the first is generous
    assert sizes[1] == sizes[2] == sizes[3] == sizes[4] == sizes[7] >= 13_000
    assert sizes[5] == sizes[6] >= 26_000
    assert len(played.made) == 2


def test_a_tape_asks_again_in_the_same_order() -> None:
    tape, numbers = Tape(), iter(range(100))

    def work() -> list[Tensor]:
        return [draw(lambda: torch.full((2,), float(next(numbers))), "cpu") for _ in range(3)]

    with tape.noting():
        places = work()
    assert [place[0].item() for place in places] == [0, 1, 2]
    with tape.playing():
        assert all(place is other for place, other in zip(work(), places, strict=True))
    tape.refill()
    assert [place[0].item() for place in places] == [3, 4, 5]
    assert draw(lambda: torch.tensor(7), "cpu").item() == 7
    tape.refill()
    assert [place[0].item() for place in places] == [6, 7, 8]


def test_work_that_asks_for_something_else_is_not_replayed() -> None:
    tape = Tape()
    with tape.noting():
        draw(lambda: torch.tensor(1), "cpu")
    with pytest.raises(AssertionError, match="something else"), tape.playing():
        pass
    with pytest.raises(IndexError), tape.playing():
        for _ in range(2):
            draw(lambda: torch.tensor(1), "cpu")
