"""The command ``compare``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dreampgc.cli.options import Assignments, Device, Json, Preset, Prior, Quiet, Seed, Steps, family
from dreampgc.console import Console
from dreampgc.errors import InputError

if TYPE_CHECKING:
    from dreampgc.comparison.plan import Space
    from dreampgc.config import RunConfig


def compare(
    prompt: Annotated[str, typer.Argument(help='What to make, such as "a wooden car".')],
    methods: Annotated[
        list[str] | None,
        typer.Option("--methods", metavar="A,B,...", help='Methods; all six if left out, "" for none.'),
    ] = None,
    thresholds: Annotated[
        list[str] | None,
        typer.Option("--thresholds", metavar="C,D,...", help='Of pgc-n: 0.01 to 1 if left out, "" for none.'),
    ] = None,
    spaces: Annotated[
        list[str] | None,
        typer.Option("--space", metavar="2d,3d", help="An image optimised directly, a field; both if left out."),
    ] = None,
    prior: Prior = None,
    preset: Preset = "draft",
    steps: Steps = None,
    seed: Seed = None,
    device: Device = None,
    output: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder; given again, the comparison goes on there.")
    ] = None,
    assignments: Assignments = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Compare methods and thresholds on one prompt: writes compare.png, compare.html and compare.json."""
    from dreampgc.comparison.plan import METHODS, SPACES, TASKS, THRESHOLDS, make_plan
    from dreampgc.config import load_config

    options = {"prompt": prompt, "prior": prior, "preset": preset, "seed": seed, "device": device, "loop.steps": steps}
    chosen = _items(spaces, SPACES)
    if unknown := [space for space in chosen if space not in SPACES]:
        raise InputError(f"unknown space {unknown[0]!r}: choose among {', '.join(SPACES)}")
    configs: dict[Space, RunConfig] = {
        space: load_config(assignments=assignments or (), options={**options, "task": TASKS[space]}, family=family)
        for space in SPACES
        if space in chosen
    }
    plan = make_plan(configs, _items(methods, METHODS), _numbers(thresholds, THRESHOLDS))
    from dreampgc.comparison.work import compare as carry_out  # seconds of imports: bad input is answered before

    console = Console(quiet=quiet, json=json)
    folder = carry_out(plan, output, console)
    console.info(f"done: see {folder}")
    console.event("done", run=folder)


def _items(texts: Sequence[str] | None, default: Sequence[str]) -> list[str]:
    """All parts of comma-separated lists; ``default`` where no list was given."""
    return (
        list(default) if texts is None else [item.strip() for text in texts for item in text.split(",") if item.strip()]
    )


def _numbers(texts: Sequence[str] | None, default: Sequence[float]) -> list[float]:
    items = _items(texts, [str(number) for number in default])
    try:
        return [float(item) for item in items]
    except ValueError as error:
        raise InputError(f"--thresholds wants numbers, not {', '.join(items)!r}") from error
