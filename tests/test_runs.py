"""Fault and property: run folders are never lost, never overwritten, never shared by two."""

from __future__ import annotations

import json
import multiprocessing
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from dreampgc import runs
from dreampgc.config import RunConfig, load_config
from dreampgc.errors import DreamError, InputError, Interrupted, TrainingError
from dreampgc.runs import Run, create_run, find_run, list_runs, open_run


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DREAMPGC_RUNS", str(tmp_path / "runs"))
    return tmp_path / "runs"


def config(prompt: str = "a wooden car") -> RunConfig:
    return load_config(options={"prompt": prompt})


def test_new_run_keeps_what_it_was_given(directory: Path) -> None:
    run = create_run(config(), prior="mini")
    assert run.path.parent == directory
    assert run.path.name.endswith("-a-wooden-car")
    assert run.config == config()
    assert run.record["prompt"] == "a wooden car"
    assert run.record["prior"] == "mini"
    assert run.record["versions"]["torch"]


@pytest.mark.parametrize(
    ("prompt", "ending"), [("Ein Bär / ../etc", "-ein-bar-etc"), ("木の車", "-run"), ("x" * 500, "-" + "x" * 40)]
)
def test_folder_name_is_a_plain_file_name(prompt: str, ending: str) -> None:
    assert create_run(config(prompt)).path.name.endswith(ending)


def test_two_runs_in_one_second_are_two_folders() -> None:
    assert len({create_run(config()).path for _ in range(3)}) == 3


def test_output_is_the_run_folder(tmp_path: Path) -> None:
    assert create_run(config(), tmp_path / "deep" / "mine").path == tmp_path / "deep" / "mine"


def test_output_may_be_empty_or_claimed_by_a_killed_start(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("half")
    (tmp_path / ".run.1234.tmp.json").write_text("{")
    assert create_run(config(), tmp_path).config == config()


def test_output_that_holds_something_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.doc").write_text("precious")
    with pytest.raises(InputError, match="not a run folder"):
        create_run(config(), tmp_path)
    with pytest.raises(InputError, match="it is a file"):
        create_run(config(), tmp_path / "thesis.doc")
    with pytest.raises(InputError, match="Not a directory"):
        create_run(config(), tmp_path / "thesis.doc" / "run")
    assert (tmp_path / "thesis.doc").read_text() == "precious"
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.doc"]


def test_output_that_holds_a_run_is_refused(tmp_path: Path) -> None:
    run = create_run(config(), tmp_path / "mine")
    with pytest.raises(InputError, match="--resume"):
        create_run(config("another"), run.path)
    assert run.record["prompt"] == "a wooden car"


def test_output_that_is_not_writable_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Root may write anywhere, so the answer of the system is stood in for.
    monkeypatch.setattr(runs.os, "access", lambda path, mode: False)
    with pytest.raises(InputError, match="not writable"):
        create_run(config(), tmp_path)


def test_place_is_a_folder_or_a_name_or_the_newest(directory: Path, tmp_path: Path) -> None:
    first, second = create_run(config("first")), create_run(config("second"))
    first.update(created="2020-01-01T00:00:00+00:00")
    (directory / "not-a-run").mkdir()
    assert list_runs() == [second, first]
    assert open_run() == second
    assert open_run(first.path) == first
    assert open_run(first.path.name) == first
    with pytest.raises(InputError, match="no run folder"):
        open_run("nowhere")
    with pytest.raises(InputError, match="not a run folder"):
        open_run(tmp_path)


def test_a_run_without_its_record_is_found_by_the_rest(tmp_path: Path) -> None:
    run = create_run(config(), tmp_path / "mine")
    (run.path / "run.json").write_text("{")
    assert find_run(run.path) == run
    (run.path / "run.json").unlink()
    with pytest.raises(InputError, match="not a run folder"):  # a config.toml alone may be anybody's
        find_run(run.path)
    (run.path / "previews").mkdir()
    assert find_run(run.path) == run
    with pytest.raises(InputError, match=r"no run\.json"):
        open_run(run.path)


def test_no_runs_is_said(directory: Path) -> None:
    with pytest.raises(InputError, match="there are no runs"):
        open_run()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": "new"}', "\xff"])
def test_damaged_record_is_refused_and_not_listed(content: str) -> None:
    run = create_run(config())
    (run.path / "run.json").write_text(content, encoding="latin-1")
    with pytest.raises(InputError, match=r"run\.json"):
        open_run(run.path)
    assert list_runs() == []


def test_newer_run_is_refused() -> None:
    run = create_run(config())
    run.update(format=runs.FORMAT + 1)
    with pytest.raises(InputError, match="newer dreampgc"):
        open_run(run.path)


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (None, "done"),
        (TrainingError("x"), "failed"),
        (Interrupted("x", 130), "interrupted"),
        (KeyboardInterrupt(), "interrupted"),
    ],
)
def test_state_follows_how_the_work_ends(error: BaseException | None, state: str) -> None:
    run = create_run(config())
    try:
        with run.active():
            assert run.state == "running"
            if error is not None:
                raise error
    except (DreamError, KeyboardInterrupt) as caught:
        assert caught is error
    assert run.state == state
    assert json.loads((run.path / "run.json").read_text())["state"] == state


def test_bug_leaves_its_traceback_in_the_folder() -> None:
    run = create_run(config())
    with pytest.raises(DreamError, match=r"ZeroDivisionError.*error\.txt"), run.active():
        raise ZeroDivisionError
    assert run.state == "failed"
    assert "test_runs.py" in (run.path / "error.txt").read_text()


def test_killed_run_reads_as_interrupted() -> None:
    run = create_run(config())
    run.update(state="running")
    assert run.state == "interrupted"


def hold(path: Path, ready: Event, leave: Event) -> None:
    with Run(path).active():
        ready.set()
        leave.wait(60)


def test_two_processes_cannot_work_in_one_folder() -> None:
    run = create_run(config())
    context = multiprocessing.get_context("spawn")
    ready, leave = context.Event(), context.Event()
    other = context.Process(target=hold, args=(run.path, ready, leave))
    other.start()
    try:
        assert ready.wait(60)
        assert run.state == "running"
        with pytest.raises(InputError, match="another process"), run.active():
            pass
    finally:
        leave.set()
        other.join()
    assert run.state == "done"


def test_next_start_removes_what_killed_writers_left() -> None:
    run = create_run(config())
    orphans = [run.path / ".run.12ab.tmp.json", run.path / "checkpoints" / ".step-000001.12ab.tmp" / "state.json"]
    for orphan in orphans:
        orphan.parent.mkdir(parents=True, exist_ok=True)
        orphan.write_text("half")
    with run.active():
        assert not any(orphan.exists() for orphan in orphans)
    assert sorted(path.name for path in run.path.rglob("*")) == [".lock", "checkpoints", "config.toml", "run.json"]
