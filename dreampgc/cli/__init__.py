"""The command line: parses, calls the pipeline, prints. What is heavy is imported when a command needs it."""

from __future__ import annotations

import errno
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from types import FrameType
from typing import Annotated, NoReturn

import typer

from dreampgc import __version__
from dreampgc.cli.compare import compare
from dreampgc.cli.export import export
from dreampgc.cli.image import image
from dreampgc.cli.options import Json, Quiet
from dreampgc.cli.priors import app as priors_app
from dreampgc.cli.render import render
from dreampgc.cli.study import study
from dreampgc.cli.text import text
from dreampgc.cli.view import view
from dreampgc.console import Console, age, lenient_streams
from dreampgc.errors import DreamError, Interrupted

app = typer.Typer(
    name="dreampgc",
    help="Text and pictures to 3D by score distillation with pixel-wise gradient clipping.",
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(priors_app, name="priors")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"dreampgc {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Text and pictures to 3D by score distillation with pixel-wise gradient clipping."""


app.command()(text)
app.command()(image)
app.command()(compare)
app.command()(export)
app.command()(render)
app.command()(study)
app.command()(view)


@app.command()
def runs(quiet: Quiet = False, json: Json = False) -> None:
    """List the runs, the newest first."""
    from dreampgc.runs import list_runs, runs_directory

    console = Console(quiet=quiet, json=json)
    rows = []
    for run in list_runs():
        record, state = run.record, run.state
        rows.append((run.path, state, record["prompt"], record["step"], record["steps"], age(record["created"])))
    if rows or json:
        console.table("run", ("run", "state", "prompt", "step", "steps", "age"), rows)
    else:
        console.info(f"there are no runs in {runs_directory()}")


@app.command()
def doctor(json: Json = False) -> None:
    """Say what this machine offers: versions, device, accelerators, priors, codecs."""
    from dreampgc.doctor import examine

    console = Console(json=json)
    rows = [(found.topic, found.name, found.state, found.note) for found in examine()]
    console.table("finding", ("topic", "name", "state", "note"), rows)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one command line and exit with the contract's code."""
    lenient_streams()
    signal.signal(signal.SIGTERM, _terminate)
    try:
        code = run_command(sys.argv[1:] if arguments is None else arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader (such as head) left; the interpreter's own flush at exit must not fail on it again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    sys.exit(code)


def run_command(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code; every error becomes one sentence on stderr."""
    try:
        return app(list(arguments) or ["--help"], prog_name="dreampgc", standalone_mode=False) or 0
    except BrokenPipeError:
        raise
    except Exception as error:
        if os.environ.get("DREAMPGC_DEBUG") == "1":
            traceback.print_exc()
        message, code = _failure(error)
        Console(json="--json" in arguments).error(message, code)
        return code


def _failure(error: Exception) -> tuple[str, int]:
    """The sentence and the exit code for an error."""
    match error:
        case DreamError():
            return str(error), error.exit_code
        case typer.TyperException():
            sentence = error.format_message().replace("Value error, ", "").rstrip(".")
            return f"{sentence} (--help lists what there is)", error.exit_code
        case typer.Abort():
            return "interrupted", 130
        case OSError() if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            return f"cannot write {error.filename or 'a file'}: {error.strerror}; make room and try again", 1
    return f"internal error ({type(error).__name__}: {error}); set DREAMPGC_DEBUG=1 to see the traceback", 1


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    """Leave in good order on SIGTERM, as Python does on SIGINT by itself."""
    raise Interrupted("terminated", 128 + number)
