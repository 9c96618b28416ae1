"""``dreampgc export``: the mesh of a run, in files that other programs open."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from dreampgc.cli.options import Json, Quiet, RunArgument, require_positive
from dreampgc.console import Console
from dreampgc.errors import InputError


def export(
    run: RunArgument = None,
    formats: Annotated[
        list[str] | None, typer.Option("--format", metavar="glb|obj|ply|stl|usdz", help="Formats, a,b or repeated.")
    ] = None,
    resolution: Annotated[int | None, typer.Option(help="Grid points along each axis.")] = None,
    faces: Annotated[int | None, typer.Option(help="Triangles at most.")] = None,
    texture_size: Annotated[
        int | None, typer.Option(min=0, help="Texture width in pixels; 0: vertices carry the colours.")
    ] = None,
    fit_texture: Annotated[
        bool | None, typer.Option("--fit-texture/--no-fit-texture", help="Fit the texture to pictures of the field.")
    ] = None,
    size: Annotated[float, typer.Option("--size-mm", help="Longest side of an STL in millimetres.")] = 100.0,
    checkpoint: Annotated[
        int | None, typer.Option(metavar="STEP", help="The checkpoint to take; the newest if left out.")
    ] = None,
    output: Annotated[Path | None, typer.Option(metavar="FILE", help="Where to write.")] = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Write the mesh of a run, or of one of its checkpoints (RUN/checkpoints/step-000400 also names one)."""
    from dreampgc.runs import find_run

    console = Console(quiet=quiet, json=json)
    require_positive(resolution=resolution, faces=faces, size_mm=size)
    place, step = _split(run)
    if None not in (step, checkpoint):
        raise InputError(f"{run} names a checkpoint already: leave out --checkpoint")
    source = find_run(place).path
    from dreampgc import exporting  # seconds of imports: bad input is answered before

    written = exporting.export(
        source,
        formats=_separate(formats or ()),
        resolution=resolution,
        faces=faces,
        texture_size=texture_size,
        fit_texture=fit_texture,
        output=output,
        checkpoint=checkpoint if step is None else step,
        size=size,
        console=console,
    )
    for path in written:
        console.info(f"wrote {path}")
        console.event("file", path=path)


def _split(place: Path | None) -> tuple[Path | None, int | None]:
    """The run that ``place`` names, and the step if ``place`` is one of its checkpoints."""
    match = re.fullmatch(r"step-(\d+)", place.name) if place is not None else None
    if place is None or match is None or place.parent.name != "checkpoints":
        return place, None
    return place.parent.parent, int(match[1])


def _separate(given: Sequence[str]) -> list[str]:
    """``["glb,obj", "stl"]`` as single formats, each once, in order."""
    names = (name.strip().lower() for text in given for name in text.split(","))
    return list(dict.fromkeys(name for name in names if name))
