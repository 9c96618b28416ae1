"""Command lines that are to be refused."""

from __future__ import annotations

import pytest

from dreampgc.cli import run_command


def refused(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 2) -> str:
    """The one sentence on stderr with which a command line is refused; stdout stays empty."""
    assert run_command(arguments) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    return captured.err
