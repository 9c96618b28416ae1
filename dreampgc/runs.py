"""Run folders: the only thing that viewer, export and evaluation know of a run.

A run folder holds ``config.toml`` (written once), ``run.json`` (the record: what was run, with what, its state)
and what the stages add. Who trains in a folder holds its lock, so a state "running" without a lock is a run
that was killed.
"""

from __future__ import annotations

import fcntl
import importlib.metadata
import json
import os
import re
import shutil
import time
import traceback
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dreampgc
from dreampgc.config import RunConfig, from_toml, to_toml
from dreampgc.errors import DreamError, InputError, Interrupted, NewerError
from dreampgc.files import replacing

#: Version of the run folder's layout; a newer one is refused.
FORMAT = 1
STATES = ("running", "done", "failed", "interrupted")
#: What a folder may hold that was claimed for a run but has no record yet.
_CLAIM = {"config.toml", ".lock"}
#: What stays of a run that lost its record; one of them alone may be anybody's.
_REST = ("config.toml", "metrics.jsonl", "mesh.glb", "turntable.webp", "checkpoints", "previews", "gradients")


def runs_directory() -> Path:
    """Where runs are put when no folder is named: ``$DREAMPGC_RUNS``, else ``./runs``."""
    return Path(os.environ.get("DREAMPGC_RUNS") or "runs")


@dataclass(frozen=True)
class Run:
    """One run folder."""

    path: Path

    @property
    def record(self) -> dict[str, Any]:
        """The content of ``run.json``.

        Raises:
            InputError: it is missing, damaged, or of a newer version.
        """
        try:
            record = json.loads((self.path / "run.json").read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise InputError(f"{self.path} is not a run folder: it has no run.json") from error
        except (OSError, ValueError) as error:
            raise InputError(f"cannot read {self.path / 'run.json'}: {error}") from error
        if not isinstance(record, dict) or not isinstance(record.get("format"), int):
            raise InputError(f"{self.path / 'run.json'} is damaged: it is not the record of a run")
        if record["format"] > FORMAT:
            raise NewerError(f"{self.path} was made by a newer dreampgc (run format {record['format']}, not {FORMAT})")
        return record

    @property
    def config(self) -> RunConfig:
        """The configuration that the run was started with.

        Raises:
            InputError: ``config.toml`` is missing or damaged.
        """
        try:
            text = (self.path / "config.toml").read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"cannot read {self.path / 'config.toml'}: {error}") from error
        return from_toml(text, str(self.path / "config.toml"))

    @property
    def state(self) -> str:
        """One of `STATES`; a run that was killed counts as interrupted."""
        state = str(self.record.get("state"))
        return "interrupted" if state == "running" and not self._locked() else state

    def update(self, **fields: Any) -> None:
        """Set ``fields`` of ``run.json``, atomically."""
        self._write({**self.record, **fields})

    @contextmanager
    def active(self) -> Iterator[Run]:
        """Hold the run's lock and keep its state: running, then done, interrupted or failed as the block ends.

        An error that is no `DreamError` is a bug: its traceback goes to ``error.txt`` in the folder.

        Raises:
            InputError: another process is at work in this folder, or the folder cannot be written to.
            DreamError: the block failed with something unforeseen; says where the traceback is.
        """
        with self._lock():
            self._clean()
            self.update(state="running", error=None)
            try:
                yield self
            except (Interrupted, KeyboardInterrupt) as error:
                self._end("interrupted", str(error))
                raise
            except DreamError as error:
                self._end("failed", str(error))
                raise
            except Exception as error:
                self._end("failed", f"{type(error).__name__}: {error}")
                raise DreamError(self._report(error)) from error
            self.update(state="done")

    def _clean(self) -> None:
        """Remove what writers that were killed left behind: files and folders named ``.NAME.tmp``."""
        for orphan in list(self.path.rglob(".*.tmp*")):
            shutil.rmtree(orphan) if orphan.is_dir() else orphan.unlink(missing_ok=True)

    def _end(self, state: str, reason: str) -> None:
        """Record how the run ended; on a full disk the old record stays, and without a lock it reads as interrupted."""
        with suppress(OSError, InputError):
            self.update(state=state, error=reason)

    def _report(self, error: Exception) -> str:
        place = self.path / "error.txt"
        sentence = f"internal error ({type(error).__name__}: {error})"
        try:
            place.write_text("".join(traceback.format_exception(error)), encoding="utf-8")
        except OSError:
            return f"{sentence}; set DREAMPGC_DEBUG=1 to see the traceback"
        return f"{sentence}; the traceback is in {place}"

    def _write(self, record: dict[str, Any]) -> None:
        with replacing(self.path / "run.json") as temporary:
            temporary.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

    @contextmanager
    def _lock(self) -> Iterator[None]:
        try:
            file = (self.path / ".lock").open("w")
        except OSError as error:
            raise InputError(f"cannot write into the run folder {self.path}: {error.strerror}") from error
        with file:
            if not _acquired(file.fileno(), attempts=5):
                raise InputError(f"another process is at work in {self.path}; wait for it or stop it first")
            yield

    def _locked(self) -> bool:
        try:
            with (self.path / ".lock").open() as file:
                return not _acquired(file.fileno(), attempts=1)
        except OSError:
            return False


def _acquired(descriptor: int, attempts: int) -> bool:
    """Whether the lock was free; more attempts outlast those who only look (`Run.state`)."""
    for attempt in range(attempts):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if attempt + 1 < attempts:
                time.sleep(0.05)
    return False


def create_run(config: RunConfig, output: Path | None = None, **fields: Any) -> Run:
    """A new run folder with its configuration and record; ``output``, else a new name in `runs_directory`.

    ``fields`` (such as the resolved prior) are added to the record.

    Raises:
        InputError: ``output`` holds something already, or the folder cannot be made or written to.
        DreamError: the disk is full.
    """
    now = datetime.now(UTC)
    path = _claim(output) if output is not None else fresh_folder(config.title, now)
    run = Run(path)
    record = {
        "format": FORMAT,
        "task": config.task,
        "prompt": config.title,
        "prior": config.prior,
        "seed": config.seed,
        "steps": config.loop.steps,
        "step": 0,
        "state": "running",
        "created": now.isoformat(timespec="seconds"),
        "versions": _versions(),
        "timings": {},
    }
    try:
        with replacing(path / "config.toml") as temporary:
            temporary.write_text(to_toml(config), encoding="utf-8")
        run._write({**record, **fields})
    except OSError as error:
        raise DreamError(f"cannot write the run folder {path}: {error.strerror}") from error
    return run


def fresh_folder(title: str, now: datetime | None = None) -> Path:
    """A new folder in `runs_directory`, named after time and title, never one that another process just made.

    Raises:
        InputError: it cannot be made.
    """
    directory = runs_directory()
    name = f"{(now or datetime.now(UTC)).astimezone():%Y%m%d-%H%M%S}-{_slug(title)}"
    for suffix in ("", *(f"-{number}" for number in range(2, 1000))):
        try:
            directory.mkdir(parents=True, exist_ok=True)
            (directory / (name + suffix)).mkdir()
        except FileExistsError:
            continue
        except OSError as error:
            raise InputError(f"cannot make a run folder in {directory}: {error.strerror}; see --output") from error
        return directory / (name + suffix)
    raise InputError(f"cannot make a run folder in {directory}: {name} and 998 more are taken")


def open_run(place: Path | str | None = None) -> Run:
    """The run at ``place`` (a folder, or a name in `runs_directory`); without ``place`` the newest one.

    Raises:
        InputError: there is no such run, its record is lost or damaged, or it was made by a newer version.
    """
    run = find_run(place)
    run.record  # noqa: B018 - read for its errors
    return run


def find_run(place: Path | str | None = None) -> Run:
    """The run at ``place`` as `open_run` finds it, whatever its files have come to.

    Raises:
        InputError: there is no such folder, or nothing in it says that it is a run's.
    """
    if place is None:
        if not (runs := list_runs()):
            raise InputError(f"there are no runs in {runs_directory()}")
        return runs[0]
    named = runs_directory() / place
    path = named if named.is_dir() and not Path(place).exists() else Path(place)
    if not path.is_dir():
        raise InputError(f"there is no run folder {path}")
    if not (path / "run.json").exists() and sum((path / name).exists() for name in _REST) < 2:
        raise InputError(f"{path} is not a run folder: it has no run.json")
    return Run(path)


def list_runs(directory: Path | None = None) -> list[Run]:
    """The runs in ``directory`` (`runs_directory` by default), the newest first; what is no run is left out."""
    dated = []
    directory = directory or runs_directory()
    for path in directory.iterdir() if directory.is_dir() else ():
        try:
            dated.append((str(Run(path).record.get("created")), path.name, Run(path)))
        except InputError:
            continue
    return [run for _, _, run in sorted(dated, key=lambda entry: entry[:2], reverse=True)]


def _claim(output: Path) -> Path:
    """``output`` as a folder that is new, empty, or was claimed by a start that was killed at once."""
    if (output / "run.json").exists():
        raise InputError(f"{output} already holds a run: go on with --resume {output}, or choose another --output")
    if output.exists() and not output.is_dir():
        raise InputError(f"cannot use {output} as the run folder: it is a file")
    try:
        output.mkdir(parents=True, exist_ok=True)
        foreign = sorted({entry.name for entry in output.iterdir() if ".tmp" not in entry.suffixes} - _CLAIM)
    except OSError as error:
        raise InputError(f"cannot use {output} as the run folder: {error.strerror}") from error
    if foreign:
        raise InputError(f"{output} is not a run folder and not empty (it holds {foreign[0]}); choose another --output")
    if not os.access(output, os.W_OK | os.X_OK):
        raise InputError(f"the folder {output} is not writable; choose another --output")
    return output


def _slug(prompt: str) -> str:
    """``prompt`` as a short file name: ASCII letters, digits and dashes."""
    ascii_text = unicodedata.normalize("NFKD", prompt).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", ascii_text).strip("-")[:40].rstrip("-") or "run"


def _versions() -> dict[str, str]:
    packages = {"dreampgc": dreampgc.__version__}
    for name in ("torch", "diffusers", "transformers", "numpy"):
        try:
            packages[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            packages[name] = "missing"
    return packages
