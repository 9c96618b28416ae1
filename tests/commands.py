"""Command lines without what they would start, and command lines that are to be refused."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import pytest

import dreampgc
from dreampgc.cli import run_command


class Pipeline(types.ModuleType):
    """Records what it is called with; raises ``error`` when there is one."""

    def __init__(self, folder: Path) -> None:
        super().__init__("dreampgc.pipeline")
        self.folder = folder
        self.calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
        self.error: BaseException | None = None

    def _record(self, name: str, *positional: Any, **named: Any) -> None:
        self.calls.append((name, positional, named))
        if self.error is not None:
            raise self.error

    def create(self, config: Any, output: Path | None, console: Any, watch: Any) -> Path:
        self._record("create", config, output, watch=watch)
        return self.folder

    def resume(self, run: Path, console: Any, steps: int | None, watch: Any) -> Path:
        self._record("resume", run, steps, watch=watch)
        return run

    def export(self, run: Path, **named: Any) -> list[Path]:
        self._record("export", run, **named)
        return [self.folder / "mesh.glb"]

    def turntable(self, run: Path, **named: Any) -> Path:
        self._record("turntable", run, **named)
        return self.folder / "turntable.webp"


def stand_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Pipeline:
    """A `Pipeline` in the place of the real one and of the exports, and a place of its own for runs."""
    monkeypatch.setenv("DREAMPGC_RUNS", str(folder / "runs"))
    monkeypatch.delenv("DREAMPGC_DEBUG", raising=False)
    pipeline = Pipeline(folder)
    for name in ("pipeline", "exporting"):
        monkeypatch.setitem(sys.modules, f"dreampgc.{name}", pipeline)
        monkeypatch.setattr(dreampgc, name, pipeline, raising=False)
    return pipeline


def refused(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 2) -> str:
    """The one sentence on stderr with which a command line is refused; stdout stays empty."""
    assert run_command(arguments) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    return captured.err
