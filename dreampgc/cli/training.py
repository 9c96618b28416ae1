"""What ``text`` and ``image`` share: from options to a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from dreampgc.cli.options import family, require_positive
from dreampgc.console import Console
from dreampgc.errors import InputError

if TYPE_CHECKING:
    from dreampgc.config import RunConfig


def carry_out(
    options: Mapping[str, object],
    *,
    steps: int | None,
    output: Path | None,
    resume: Path | None,
    config: Path | None,
    assignments: Sequence[str] | None,
    live: bool,
    console: Console,
    check: Callable[[RunConfig], None] = lambda config: None,
) -> None:
    """Start the run that ``options`` (dotted keys, None where not given) describe, or go on with the one to ``resume``.

    ``check`` refuses a configuration before anything heavy is imported.

    Raises:
        InputError: options that cannot be used, alone or together.
        MissingError: what a run needs is not on this machine.
    """
    from dreampgc.config import load_config
    from dreampgc.live import live_view, require_viser
    from dreampgc.runs import open_run

    if live:
        require_viser()
    if resume is not None:
        _require_alone({**options, "output": output, "config": config, "set": assignments})
        require_positive(steps=steps)
        path = open_run(resume).path
        from dreampgc import pipeline  # seconds of imports: bad input is answered before

        with live_view(console) if live else nullcontext() as watch:
            run = pipeline.resume(path, console, steps, watch)
    else:
        chosen = {**options, "loop.steps": steps}
        resolved = load_config(file=config, assignments=assignments or (), options=chosen, family=family)
        check(resolved)
        from dreampgc import pipeline

        with live_view(console) if live else nullcontext() as watch:
            run = pipeline.create(resolved, output, console, watch)
    console.info(f"done: see {run}")
    console.event("done", run=run)


def _require_alone(options: Mapping[str, object]) -> None:
    """Refuse options that a resumed run cannot change."""
    if given := [key.rpartition(".")[2] for key, value in options.items() if value is not None]:
        names = " and ".join(given)
        raise InputError(f"--resume takes the run's own configuration, only --steps may change: leave out {names}")
