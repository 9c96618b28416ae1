"""Integration and fault: the page is served to this machine only, as its runs are now, until Ctrl-C."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

import dreampgc
from dreampgc.cli import run_command
from dreampgc.errors import InputError
from dreampgc.viewer.serving import PageServer


@pytest.fixture
def server() -> Iterator[PageServer]:
    """Serves how often it was visited."""
    visits: list[str] = []

    def make() -> str:
        visits.append("x")
        return f"visit {len(visits)} – ü"

    with PageServer(make) as started:
        thread = threading.Thread(target=started.serve_forever)
        thread.start()
        yield started
        started.shutdown()
        thread.join()


def answer(server: PageServer, path: str = "/", **headers: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    connection.request("GET", path, headers=headers)
    response = connection.getresponse()
    text = response.read().decode()
    connection.close()
    return response.status, text


def test_the_page_is_made_anew_for_each_visit(server: PageServer) -> None:
    assert answer(server) == (200, "visit 1 – ü")
    assert answer(server, Host=f"localhost:{server.port}") == (200, "visit 2 – ü")


@pytest.mark.parametrize("path", ["/run.json", "/../run.json", "/?x", "/favicon.ico"])
def test_there_is_nothing_but_the_page(server: PageServer, path: str) -> None:
    assert answer(server, path)[0] == 404


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "127.0.0.1:1", ""])
def test_who_calls_this_machine_by_another_name_is_refused(server: PageServer, host: str) -> None:
    status, text = answer(server, Host=host)
    assert status == 403
    assert "visit" not in text


def test_it_listens_on_this_machine_only(server: PageServer) -> None:
    assert server.server_address[0] == "127.0.0.1"
    assert server.url == f"http://127.0.0.1:{server.port}/"


def test_a_port_that_is_taken_is_an_input_error(server: PageServer) -> None:
    with pytest.raises(InputError, match=f"127.0.0.1:{server.port}: Address already in use"):
        PageServer(lambda: "", server.port)


def test_view_serves_until_ctrl_c_and_ends_well(finished: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(dreampgc.__file__).parents[1])}
    command = [sys.executable, "-m", "dreampgc", "view", str(finished), "--json", "--quiet"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    try:
        event = json.loads(process.stdout.readline())
        assert event["event"] == "serving"
        with urllib.request.urlopen(event["url"], timeout=60) as response:
            assert b"a wooden car" in response.read()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()
    assert (process.returncode, out, err) == (0, "", "")


def test_view_writes_one_file(finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "page.html"
    assert run_command(["view", str(finished), str(finished), "--output", str(output), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"event": "file", "path": str(output)}
    assert output.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_view_opens_what_it_made_when_told_to(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    for option in ("--no-open", "--open"):
        assert run_command(["view", str(finished), "--output", str(tmp_path / "page.html"), option]) == 0
    assert opened == [(tmp_path / "page.html").as_uri()]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nowhere"], "no run folder nowhere"),
        (["RUN", "FOLDER"], "is not a run folder"),
        (["FOLDER"], "is not a run folder"),
        (["RUN", "--output", "page.txt"], "does not end in .html"),
        (["RUN", "--port", "70000"], "--port"),
        ([], "there are no runs"),
    ],
)
def test_what_cannot_be_viewed_is_refused(
    finished: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    says: str,
) -> None:
    monkeypatch.setenv("DREAMPGC_RUNS", str(tmp_path / "runs"))
    (tmp_path / "notes.txt").write_text("no run")
    named = {"RUN": str(finished), "FOLDER": str(tmp_path)}
    assert run_command(["view", *(named.get(argument, argument) for argument in arguments)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and says in error
    assert not Path("page.txt").exists()


def test_the_newest_run_is_viewed_by_default_and_torch_is_left_alone(finished: Path, tmp_path: Path) -> None:
    code = """
import sys
from dreampgc.cli import run_command
assert run_command(["view", "--output", sys.argv[1], "--quiet"]) == 0
print(*(name for name in ("torch", "trimesh", "cv2", "scipy") if name in sys.modules))
"""
    environment = {**os.environ, "DREAMPGC_RUNS": str(finished.parent)}
    page = tmp_path / "page.html"
    command = [sys.executable, "-c", code, str(page)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.split() == []
    assert "a wooden car" in page.read_text(encoding="utf-8")
