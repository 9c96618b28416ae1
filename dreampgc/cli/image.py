"""``dreampgc image``: an object from pictures of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dreampgc.cli.options import (
    Assignments,
    Clip,
    ConfigFile,
    Device,
    Json,
    Live,
    Method,
    Output,
    Preset,
    Quiet,
    Resume,
    Seed,
    Steps,
)
from dreampgc.cli.training import carry_out
from dreampgc.console import Console
from dreampgc.errors import InputError

if TYPE_CHECKING:
    from dreampgc.config import RunConfig


def image(
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="A PNG, JPEG or WebP of one object, from its front.")
    ] = None,
    views: Annotated[
        list[str] | None,
        typer.Option(
            "--view",
            metavar="FILE,AZIMUTH,ELEVATION",
            help="One more picture, and from where, in degrees (90: from the object's left); repeatable.",
        ),
    ] = None,
    elevation: Annotated[
        float | None, typer.Option(help="Degrees above the horizon of FILE's camera; estimated if left out.")
    ] = None,
    prompt: Annotated[str | None, typer.Option(help="What it is, for a prior of texts to help.")] = None,
    prior: Annotated[
        str | None,
        typer.Option(
            "--prior", metavar="auto|mini-zero123|zero123-xl|stable-zero123|DIR|HUB_ID", help="Model of other views."
        ),
    ] = None,
    method: Method = None,
    clip: Clip = None,
    preset: Preset = None,
    steps: Steps = None,
    seed: Seed = None,
    device: Device = None,
    output: Output = None,
    resume: Resume = None,
    config: ConfigFile = None,
    assignments: Assignments = None,
    live: Live = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Make a 3D object from a picture: trains a field, then writes mesh.glb and turntable.webp."""
    more = tuple(map(_view, views or ()))
    if resume is None:
        _check_pictures([file, *(Path(view[0]) for view in more)])
    options: dict[str, object] = {
        "image.file": None if file is None else str(file),
        "image.views": more or None,
        "image.elevation": elevation,
        "prompt": prompt,
        "prior": prior,
        "guidance.method": method,
        "guidance.clip": clip,
        "preset": preset,
        "seed": seed,
        "device": device,
    }
    carry_out(
        options if resume is not None else {**options, "task": "image"},
        steps=steps,
        output=output,
        resume=resume,
        config=config,
        assignments=assignments,
        live=live,
        console=Console(quiet=quiet, json=json),
        check=_require_picture,
    )


def _view(text: str) -> tuple[str, float, float]:
    """``FILE,AZIMUTH,ELEVATION``; the file's name may hold commas. Raises InputError."""
    file, *angles = text.rsplit(",", 2)
    try:
        azimuth, elevation = map(float, angles)
    except ValueError as error:
        raise InputError(f"--view wants FILE,AZIMUTH,ELEVATION with angles in degrees, not {text!r}") from error
    return file, azimuth, elevation


def _check_pictures(files: Sequence[Path | None]) -> None:
    """Refuse what is no picture before torch is imported. Raises InputError."""
    from dreampgc.photos.reading import read_picture

    for file in files:
        if file is not None:
            read_picture(file)


def _require_picture(config: RunConfig) -> None:
    """Refuse a configuration without a picture. Raises InputError."""
    if not config.image.file:
        raise InputError("there is no picture: give its FILE")
