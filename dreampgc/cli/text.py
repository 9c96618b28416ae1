"""``dreampgc text``: an object from a text."""

from __future__ import annotations

from typing import Annotated

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
    Prior,
    Quiet,
    Resume,
    Seed,
    Steps,
)
from dreampgc.cli.training import carry_out
from dreampgc.console import Console


def text(
    prompt: Annotated[str | None, typer.Argument(help='What to make, such as "a wooden car".')] = None,
    prior: Prior = None,
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
    """Make a 3D object from a text: trains a field, then writes mesh.glb and turntable.webp."""
    carry_out(
        {
            "prompt": prompt,
            "prior": prior,
            "guidance.method": method,
            "guidance.clip": clip,
            "preset": preset,
            "seed": seed,
            "device": device,
        },
        steps=steps,
        output=output,
        resume=resume,
        config=config,
        assignments=assignments,
        live=live,
        console=Console(quiet=quiet, json=json),
    )
