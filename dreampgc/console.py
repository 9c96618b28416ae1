"""What the program says: sentences for humans on stderr, one JSON object per event on stdout.

With ``json`` stdout carries events and nothing else; without it, stdout carries only what a listing
command was asked for (tables), so that it can be piped.
"""

from __future__ import annotations

import io
import json
import math
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from rich import box
from rich.console import Console as RichConsole
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

#: Seconds between two progress lines where stderr is no terminal.
PLAIN_INTERVAL = 10.0
#: Characters in a line of a table that goes into a pipe.
PIPE_WIDTH = 10_000


def json_line(fields: Mapping[str, Any]) -> str:
    """``fields`` as one line of strict JSON: numbers that are not finite become null, other objects their text."""
    return json.dumps(_jsonable(fields), ensure_ascii=False, allow_nan=False)


def _jsonable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _jsonable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_jsonable(item) for item in value]
    if isinstance(value, bool | int | str) or value is None:
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return str(value)


class Console:
    """Where every message of a command goes; commands build one, everything below them is handed it."""

    def __init__(self, *, quiet: bool = False, json: bool = False) -> None:
        self.quiet = quiet
        self.json = json
        self._stderr = RichConsole(stderr=True, highlight=False, soft_wrap=True)

    def info(self, message: str) -> None:
        """Tell a human something; silent when quiet."""
        if not self.quiet:
            self._stderr.print(escape(message))

    def warn(self, message: str) -> None:
        """Tell a human of something unexpected that the program copes with; never silent."""
        self._stderr.print(f"[yellow]warning:[/yellow] {escape(message)}")
        self.event("warning", message=message)

    def error(self, message: str, exit_code: int) -> None:
        """Say in one sentence why the command ends with ``exit_code``."""
        self._stderr.print(f"[red]error:[/red] {escape(message)}")
        self.event("error", message=message, exit_code=exit_code)

    def event(self, event: str, **fields: Any) -> None:
        """One JSON object on stdout for a program that listens; nothing without ``json``."""
        if self.json:
            print(json_line({"event": event, **fields}), flush=True)

    def table(self, kind: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """A listing on stdout: a table, or with ``json`` one event ``kind`` for each row."""
        if self.json:
            for row in rows:
                self.event(kind, **dict(zip(columns, row, strict=True)))
            return
        table = Table(*columns, box=box.SIMPLE, pad_edge=False)
        for row in rows:
            table.add_row(*(Text("" if cell is None else str(cell)) for cell in row))
        # A pipe has no width: cells are not cut, so that other programs can read them.
        RichConsole(highlight=False, width=None if sys.stdout.isatty() else PIPE_WIDTH).print(table)

    @contextmanager
    def progress(self, label: str, total: int, start: int = 0) -> Iterator[Report]:
        """A progress report from ``start`` to ``total``: a bar on a terminal, else a line now and then."""
        if self.quiet or self.json:
            yield Report()
        elif self._stderr.is_terminal:
            columns = (TextColumn(label), BarColumn(), MofNCompleteColumn(), Rate(), TimeRemainingColumn())
            with Progress(*columns, TextColumn("{task.fields[note]}"), console=self._stderr) as progress:
                yield BarReport(progress, start, total)
        else:
            yield PlainReport(self, label, start, total)


class Report:
    """How far a loop has come; this one keeps it to itself."""

    def update(self, done: int, note: str) -> None:
        """``done`` steps are done; ``note`` is a few words such as the loss."""


class BarReport(Report):
    """Moves a bar with rate and remaining time."""

    def __init__(self, progress: Progress, start: int, total: int) -> None:
        self._progress = progress
        self._task = progress.add_task("", total=total, completed=start, note="")

    def update(self, done: int, note: str) -> None:
        """Move the bar to ``done``."""
        self._progress.update(self._task, completed=done, note=note)


class PlainReport(Report):
    """Prints a line every `PLAIN_INTERVAL` seconds and at the end, for log files."""

    def __init__(self, console: Console, label: str, start: int, total: int) -> None:
        self._console, self._label = console, label
        self._start, self._total = start, total
        self._began = self._printed = time.monotonic()

    def update(self, done: int, note: str) -> None:
        """Print where the loop stands when it is time to."""
        now = time.monotonic()
        if done < self._total and now - self._printed < PLAIN_INTERVAL:
            return
        self._printed = now
        rate = (done - self._start) / max(now - self._began, 1e-9)
        left = (self._total - done) / rate if rate > 0 else math.inf
        self._console.info(f"{self._label} {done}/{self._total}, {rate:.2f} steps/s, {left:.0f} s left, {note}")


class Rate(ProgressColumn):
    """Steps per second, lately."""

    def render(self, task: Task) -> Text:
        """The column's text for ``task``."""
        return Text("" if task.speed is None else f"{task.speed:.2f} steps/s")


def lenient_streams() -> None:
    """Let stdout and stderr carry any character whatever the locale (a prompt may hold any)."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def age(created: object) -> str:
    """How long ago ``created`` (ISO 8601) was, in the largest unit that fits."""
    try:
        seconds = (datetime.now(UTC) - datetime.fromisoformat(str(created))).total_seconds()
    except (ValueError, TypeError):
        return "?"
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size:.0f} {unit}"
    return f"{seconds:.0f} s"
