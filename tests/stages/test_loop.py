"""Integration and fault: what a stage may rely on, with a toy in the place of a field."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import random
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from dreampgc.checkpoint import checkpoint_step, checkpoints, load_latest
from dreampgc.console import Console
from dreampgc.errors import DreamError, Interrupted, TrainingError
from dreampgc.runs import Run
from dreampgc.stages.journal import Journal
from dreampgc.transfer import Download
from tests.stages import toy

TOY = Path(toy.__file__)
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(TOY.parents[2]), "OMP_NUM_THREADS": "1"}
QUIET = Console(quiet=True)


def final(run: Run) -> tuple[int, dict[str, torch.Tensor], dict[str, Any]]:
    latest = load_latest(run.path, pytest.fail)
    assert latest is not None
    step, tensors, state = latest
    state["loop"].pop("seconds")
    return step, tensors, state


def lines(run: Run) -> list[dict[str, Any]]:
    parsed = [json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines()]
    for line in parsed:
        line.pop("seconds")
    return parsed


def require_same(run: Run, other: Run) -> None:
    """The two runs ended in the same state, bit for bit, with the same metrics and pictures."""
    (step, tensors, state), (other_step, other_tensors, other_state) = final(run), final(other)
    assert (step, state) == (other_step, other_state)
    assert tensors.keys() == other_tensors.keys()
    assert all(torch.equal(tensor, other_tensors[name]) for name, tensor in tensors.items())
    assert lines(run) == lines(other)
    for folder in ("previews", "gradients"):
        pictures = {path.name: path.read_bytes() for path in (run.path / folder).iterdir()}
        assert pictures == {path.name: path.read_bytes() for path in (other.path / folder).iterdir()}


def start(run: Path, total: int, seconds: float = 0.0) -> subprocess.Popen[str]:
    command = [sys.executable, str(TOY), str(run), str(total), str(seconds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT)


def wait_for_step(child: subprocess.Popen[str], step: int) -> None:
    assert child.stdout is not None
    for line in child.stdout:
        event = json.loads(line)
        if event["event"] == "step" and event["step"] >= step:
            return
    pytest.fail("the child ended too early")


def stopping(done: int) -> toy.Toy:
    """A toy that gets Ctrl-C in the step that makes ``done``."""
    stage = toy.Toy()
    stage.stop_before = done
    return stage


@pytest.fixture
def whole(tmp_path: Path) -> Run:
    """A run of 20 steps in one go."""
    run = toy.new_run(tmp_path / "whole", 20)
    toy.Toy().train(run, QUIET)
    return run


def test_run_leaves_what_it_should(whole: Run) -> None:
    assert whole.state == "done"
    assert whole.record["step"] == 20
    assert [path.name for path in checkpoints(whole.path)] == ["step-000020", "step-000018"]
    previews = sorted(path.name for path in (whole.path / "previews").iterdir())
    assert previews == [f"step-{step:06d}.png" for step in (4, 8, 12, 16, 20)]
    assert [line["step"] for line in lines(whole)] == list(range(20))
    assert not list(whole.path.rglob("*.tmp*"))


@pytest.mark.parametrize("stop", [1, 9, 10, 20])
def test_interrupted_and_resumed_equals_whole_bit_for_bit(tmp_path: Path, whole: Run, stop: int) -> None:
    run = toy.new_run(tmp_path / "parts", 20)
    with pytest.raises(Interrupted) as caught:
        stopping(stop).train(run, QUIET)
    assert caught.value.exit_code == 130
    assert run.state == "interrupted"
    assert final(run)[0] == stop

    toy.Toy().train(run, QUIET)

    assert run.state == "done"
    require_same(run, whole)


def test_twenty_kills_at_random_instants(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Children are forked from a server that has imported torch: a kill costs its own time and no more.
    monkeypatch.setenv("PYTHONPATH", ENVIRONMENT["PYTHONPATH"])
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch._dynamo", "tests.stages.toy"])
    # A checkpoint after every step: most of the time goes into saves, so most kills hit one.
    total, often = 5000, {"loop.checkpoint_every": 1}
    killed, whole = (toy.new_run(tmp_path / name, total, **often) for name in ("killed", "whole"))
    instants = random.Random(1)
    reached, orphans = [], 0
    for _ in range(20):
        child = context.Process(target=toy.train_quietly, args=(killed.path,))
        child.start()
        time.sleep(instants.uniform(0.02, 0.25))
        child.kill()
        child.join()
        assert child.exitcode == -signal.SIGKILL, "the child ended by itself"
        reached.append(max((checkpoint_step(path) for path in checkpoints(killed.path)), default=0))
        orphans += len(list(killed.path.rglob("*.tmp*")))
    assert reached == sorted(reached), "a kill took steps away"
    assert reached[-1] > 0, "no child came to its first checkpoint: the test says nothing"
    assert orphans > 0, "no kill hit a write: the test says nothing"

    for run in (killed, whole):
        with pytest.raises(Interrupted):
            stopping(reached[-1] + 5).train(run, QUIET)
    require_same(killed, whole)
    assert not list(killed.path.rglob("*.tmp*"))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signal_finishes_the_step_and_saves(tmp_path: Path, number: signal.Signals, code: int) -> None:
    child = start(tmp_path / "run", 100_000, seconds=0.01)
    wait_for_step(child, 1)
    child.send_signal(number)
    _, errors = child.communicate(timeout=60)

    run = Run(tmp_path / "run")
    assert child.returncode == code
    assert number.name in errors
    assert "Traceback" not in errors
    assert run.state == "interrupted"
    assert final(run)[0] == run.record["step"] == lines(run)[-1]["step"] + 1


def test_second_signal_does_not_wait_for_the_step(tmp_path: Path) -> None:
    class Stuck(toy.Toy):
        def loss(self, step: int) -> torch.Tensor:
            if step == 5:
                signal.raise_signal(signal.SIGINT)
                signal.raise_signal(signal.SIGINT)
            return super().loss(step)

    run = toy.new_run(tmp_path / "run", 20)
    with pytest.raises(KeyboardInterrupt):
        Stuck().train(run, QUIET)
    assert run.state == "interrupted"
    assert final(run)[0] == 3


def test_signal_handlers_are_given_back(tmp_path: Path) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    toy.Toy().train(toy.new_run(tmp_path / "run", 2), QUIET)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_works_outside_the_main_thread(tmp_path: Path) -> None:
    run = toy.new_run(tmp_path / "run", 2)
    thread = threading.Thread(target=lambda: toy.Toy().train(run, QUIET))
    thread.start()
    thread.join()
    assert run.state == "done"


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("kind", ["bad_losses", "bad_gradients"])
def test_step_that_is_not_finite_is_skipped_and_counted(tmp_path: Path, kind: str, fused: bool) -> None:
    """A fused optimiser, as on a GPU, skips by itself, without the host."""
    stage = toy.Toy(fused=fused)
    setattr(stage, kind, {3, 4, 7})
    run = toy.new_run(tmp_path / "run", 9)
    loop = stage.train(run, QUIET)
    assert (loop.bad_steps, loop.bad_in_a_row) == (3, 0)
    assert [line["step"] for line in lines(run) if not line["taken"]] == [3, 4, 7]
    assert lines(run)[-1]["bad_steps"] == 3
    assert stage.optimizer.state[stage.weights]["step"] == 6  # the optimiser never saw them
    assert torch.isfinite(stage.weights).all()


@pytest.mark.parametrize("fused", [False, True])
def test_skipped_steps_leave_no_trace(tmp_path: Path, fused: bool) -> None:
    """The run ends where one ends that never had the bad steps, bit for bit."""

    class Spared(toy.Toy):
        def loss(self, step: int) -> torch.Tensor:
            loss = super().loss(step)
            return loss + float("nan") if step in (2, 3, 11) else loss

    spoilt, spared = Spared(fused=fused), toy.Toy(fused=fused)
    spoilt.train(toy.new_run(tmp_path / "spoilt", 12), QUIET)
    for step in range(12):
        loss = spared.loss(step)
        if step not in (2, 3, 11):
            spared.optimizer.zero_grad()
            loss.backward()
            spared.optimizer.step()
    assert torch.equal(spoilt.weights, spared.weights)


def test_late_numbers_change_nothing_but_the_time_of_writing(
    tmp_path: Path, whole: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Numbers that come only when waited for: before pictures, checkpoints, the end, and when too many are missing."""
    written: list[int] = []

    class Watched(toy.Toy):
        def loss(self, step: int) -> torch.Tensor:
            written.append(len((run.path / "metrics.jsonl").read_text().splitlines()) if step else 0)
            return super().loss(step)

    run = toy.new_run(tmp_path / "late", 20)
    (run.path / "metrics.jsonl").touch()
    with monkeypatch.context() as patch:
        patch.setattr(Download, "arrived", lambda self: False)
        Watched().train(run, QUIET)
    assert written[:10] == [0, 0, 0, 3, 4, 5, 6, 6, 8, 9]  # checkpoints after 3, 6, 9, pictures after 4, 5, 8
    require_same(run, whole)


def test_no_more_than_so_many_numbers_are_late(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Download, "arrived", lambda self: False)
    journal = Journal(tmp_path / "metrics.jsonl")
    for step in range(10):
        journal.put({"step": step, "loss": torch.tensor(0.5)})
    assert [line["step"] for line in journal.arrived(most=7)] == [0, 1, 2]
    assert list(journal.arrived(most=7)) == []
    assert [line["step"] for line in journal.arrived(most=0)] == [3, 4, 5, 6, 7, 8, 9]


def test_numbers_keep_their_kinds() -> None:
    numbers = Download({"x": torch.tensor([1.5]), "n": torch.tensor(3), "ok": torch.tensor(True)}).numbers()
    assert [(name, type(value), value) for name, value in numbers.items()] == [
        ("x", float, 1.5),
        ("n", int, 3),
        ("ok", bool, True),
    ]


@pytest.mark.parametrize("late", [False, True])
def test_too_many_bad_steps_in_a_row_fail_the_run(tmp_path: Path, late: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if late:
        monkeypatch.setattr(Download, "arrived", lambda self: False)
    stage = toy.Toy(fused=late)
    stage.bad_losses = {1, *range(10, 100)}
    run = toy.new_run(tmp_path / "run", 100)
    with pytest.raises(TrainingError, match="20 steps in a row"):
        stage.train(run, QUIET)
    assert run.state == "failed"
    assert "not finite" in run.record["error"]
    assert len(lines(run)) == 29  # 10 to 28 are bad and logged, the 20th ends the run
    step, tensors, state = final(run)
    assert torch.isfinite(tensors["weights"]).all()
    assert state["loop"]["bad_in_a_row"] == step - 10


def test_steps_without_room_are_skipped_and_end_no_run(tmp_path: Path) -> None:
    stage = toy.Toy(fused=True)
    stage.bad_losses, stage.crowded = {*range(8, 18)}, {*range(18, 50)}
    run = toy.new_run(tmp_path / "run", 60)
    loop = stage.train(run, QUIET)
    assert (loop.bad_steps, loop.bad_in_a_row) == (42, 0)
    assert stage.optimizer.state[stage.weights]["step"] == 18
    assert not any(key.startswith("_") for line in lines(run) for key in line)


def test_count_of_bad_steps_survives_a_resume(tmp_path: Path) -> None:
    bad = set(range(10, 29))
    whole, parts = toy.new_run(tmp_path / "whole", 30), toy.new_run(tmp_path / "parts", 30)
    for run, stages in ((whole, [toy.Toy()]), (parts, [stopping(15), toy.Toy()])):
        for stage in stages:
            stage.bad_losses = bad
            try:
                stage.train(run, QUIET)
            except Interrupted:
                continue
    require_same(parts, whole)
    assert final(parts)[2]["loop"]["bad_steps"] == 19


def test_damaged_checkpoint_falls_back_and_ends_alike(
    tmp_path: Path, whole: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    run = toy.new_run(tmp_path / "run", 20)
    with pytest.raises(Interrupted):
        stopping(11).train(run, QUIET)
    newest = checkpoints(run.path)[0]
    with (newest / "state.safetensors").open("r+b") as file:
        file.truncate(100)

    toy.Toy().train(run, QUIET)

    assert f"{newest.name} is damaged" in "".join(capsys.readouterr().err.split("\n"))
    require_same(run, whole)


def full_disk(*arguments: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("victim", ["dreampgc.checkpoint._write_flushed", "PIL.Image.Image.save"])
def test_full_disk_is_one_sentence_and_the_run_resumes(
    tmp_path: Path, whole: Run, monkeypatch: pytest.MonkeyPatch, victim: str
) -> None:
    class Filling(toy.Toy):
        def loss(self, step: int) -> torch.Tensor:
            if step == 10:
                monkeypatch.setattr(victim, full_disk)
            return super().loss(step)

    run = toy.new_run(tmp_path / "run", 20)
    with pytest.raises(DreamError, match=r"No space left on device.*--resume") as caught:
        Filling().train(run, QUIET)
    assert caught.value.exit_code == 1
    assert run.state == "failed"
    monkeypatch.undo()

    toy.Toy().train(run, QUIET)
    require_same(run, whole)


def test_file_size_limit_during_a_save_loses_nothing(tmp_path: Path) -> None:
    """A real error of the system in a real child: no file may grow beyond the metrics of some steps."""
    run, whole = (toy.new_run(tmp_path / name, 120) for name in ("limited", "whole"))
    limited = subprocess.run(
        [sys.executable, str(TOY), str(run.path), "120"],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (7000, resource.RLIM_INFINITY)),
    )
    assert limited.returncode == 1
    assert "File too large" in limited.stderr
    assert "Traceback" not in limited.stderr
    assert 0 < final(run)[0] < 120

    for each in (run, whole):
        toy.Toy().train(each, QUIET)
    require_same(run, whole)


def test_cut_last_line_of_metrics_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 0}\n{"step": 1}\n{"step": 2}\n{"st')
    Journal(path).truncate(2)
    assert path.read_text() == '{"step": 0}\n{"step": 1}\n'


def test_json_speaks_one_object_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stage = toy.Toy()
    stage.bad_losses = {1}
    stage.train(toy.new_run(tmp_path / "run", 3), Console(json=True))

    def strict(constant: str) -> None:
        pytest.fail(f"{constant} is not JSON")

    captured = capsys.readouterr()
    events = [json.loads(line, parse_constant=strict) for line in captured.out.splitlines()]
    kinds = [event["event"] for event in events]
    assert kinds == ["start", "step", "step", "step", "preview", "gradient", "checkpoint"]
    assert [event["loss"] is None for event in events if event["event"] == "step"] == [False, True, False]
    assert captured.err == ""


def test_log_of_a_plain_terminal_ends_with_the_last_step(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    toy.Toy().train(toy.new_run(tmp_path / "run", 3), Console())
    captured = capsys.readouterr()
    assert "3/3" in captured.err
    assert captured.out == ""
