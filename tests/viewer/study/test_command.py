"""Integration: the command from start to end, as a process."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from dreampgc.cli import run_command
from dreampgc.viewer.study.votes import Votes
from tests.viewer.study.clients import METHODS, voter


@contextmanager
def running(folder: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], Any]]:
    """The command as a process, and its event that says where it serves."""
    line = [sys.executable, "-m", "dreampgc", "study", str(folder), "--port", "0", "--json", *options]
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process, json.loads(process.stdout.readline())
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_votes_outlast_the_end_of_the_process(folder: Path, number: signal.Signals, code: int) -> None:
    with running(folder) as (process, event):
        assert event["event"] == "serving"
        assert event["results"] == event["voters"] + "results"
        client = voter(urlsplit(event["voters"]).port or 0)
        first = client.state()
        assert client.pick(first).status == 200
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert "Traceback" not in err
    assert ("all votes are in" in err) == (number == signal.SIGINT)
    assert [json.loads(line)["event"] for line in out.splitlines()] == {0: ["done"], 143: ["error"], -9: []}[code]
    with running(folder) as (_, event):
        client.port = urlsplit(event["voters"]).port or 0
        assert client.state()["answered"] == 1
    assert len(Votes(folder / "study.sqlite").all()) == 1


def test_results_and_table_while_the_study_goes_on(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "out" / "votes.csv"
    with running(folder, "--methods", "vae,pgc-n") as (_, event):
        client = voter(urlsplit(event["voters"]).port or 0)
        client.pick(client.state())
        capsys.readouterr()
        assert run_command(["study", str(folder), "--results", "--csv", str(table), "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["event"] for line in lines] == ["share"] * 4 + ["file"]
    assert (lines[0]["question"], lines[0]["votes"], lines[0]["of"], lines[0]["share"]) == ("all", 1, 1, 1.0)
    assert {line["method"] for line in lines[:4]} == {"vae", "pgc-n"}
    assert len(table.read_text().splitlines()) == 2


def test_results_are_a_table_for_people(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Votes(folder / "study.sqlite").close()
    assert run_command(["study", str(folder), "--results"]) == 0
    captured = capsys.readouterr()
    assert "0 votes" in captured.err
    assert captured.out.split()[:7] == ["question", "method", "votes", "of", "share", "low", "high"]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--token", "short"], "--token wants 8"),
        (["--token", "with spaces in it"], "--token wants 8"),
        (["--methods", "vae,nothing"], "no method 'nothing'"),
        (["--database", "no/such/folder/x.sqlite"], "cannot open the database"),
        (["--results"], "no votes yet"),
        (["--csv", "x.csv"], "no votes yet"),
        (["--port", "70000"], "--port"),
    ],
)
def test_bad_input_is_refused(
    folder: Path, options: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["study", str(folder), *options]) == 2
    assert reason in capsys.readouterr().err


def test_what_is_left_out_is_told(folder: Path) -> None:
    (folder / "vae" / "a-red-chair.glb").unlink()
    with running(folder) as (process, event):
        assert event == {"event": "warning", "message": "left out: a-red-chair has no mesh by vae"}
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["event"] == "serving"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert f"comparing {', '.join(METHODS)} on 2 prompts" in err


def test_beyond_this_machine_links_have_tokens(folder: Path) -> None:
    with running(folder, "--host", "0.0.0.0", "--name", "study.example") as (_, event):
        assert event["voters"].startswith("http://study.example:")
        assert "?token=" in event["voters"]
        assert "/results?token=" in event["results"]
