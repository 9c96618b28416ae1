"""``dreampgc render``: the mesh of a run, turning, in pictures that anybody can open."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from dreampgc.cli.options import Json, Quiet, RunArgument, require_positive
from dreampgc.console import Console


def render(
    run: RunArgument = None,
    mode: Annotated[
        Literal["albedo", "shaded", "normals", "depth"], typer.Option(help="What to show of the mesh.")
    ] = "shaded",
    resolution: Annotated[int | None, typer.Option(help="Pixels along each side.")] = None,
    frames: Annotated[int | None, typer.Option(help="Pictures in one turn, which takes four seconds.")] = None,
    elevation: Annotated[float, typer.Option(help="Degrees of the camera above the horizon.")] = 15.0,
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="turntable.webp|.webm|.gif|.mp4|FOLDER", help="Where to write; no suffix: a folder of PNG."
        ),
    ] = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Write a turntable of a run."""
    from dreampgc.runs import find_run

    console = Console(quiet=quiet, json=json)
    require_positive(resolution=resolution, frames=frames)
    source = find_run(run).path
    from dreampgc import exporting  # seconds of imports: bad input is answered before

    path = exporting.turntable(
        source,
        mode=mode,
        resolution=resolution,
        frames=frames,
        elevation=elevation,
        output=output,
        console=console,
    )
    console.info(f"wrote {path}")
    console.event("file", path=path)
