"""What is to be run: a prompt with a seed and a variant of the configuration, and its run folder."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dreampgc import pipeline
from dreampgc.config import RunConfig, load_config
from dreampgc.console import Console
from dreampgc.files import replacing
from dreampgc.runs import Run
from dreampgc.world.objects import Caption

#: Pictures that nobody looks at in an evaluation; meshes also as PLY, whose colours are exact.
LEAN = ("loop.preview_every=0", "mesh.turntable_frames=8", "mesh.turntable_size=96", 'mesh.formats=["glb", "ply"]')


@dataclass(frozen=True)
class Task:
    """One run: ``variant`` names what differs from the preset, and ``assignments`` (``section.key=value``) say it."""

    prompt: str
    seed: int
    variant: str
    assignments: tuple[str, ...]
    folder: Path
    prior: str = "mini"
    preset: str = "standard"
    device: str = "auto"

    @property
    def path(self) -> Path:
        """The run folder."""
        return self.folder / self.variant / f"seed-{self.seed}" / self.prompt.replace(" ", "-")

    def run(self) -> Run:
        """The finished run: made now, gone on with, or there already.

        Raises:
            DreamError: what `dreampgc.pipeline` raises.
        """
        options = {"prompt": self.prompt, "prior": self.prior, "preset": self.preset, "device": self.device}
        return finished(
            self.path,
            lambda: load_config(
                assignments=(*LEAN, *self.assignments),
                options={**options, "seed": self.seed},
                family=lambda *_: "mini",
            ),
        )


def finished(path: Path, configure: Callable[[], RunConfig]) -> Run:
    """The finished run in the folder ``path``: made now as ``configure`` says, gone on with, or there already.

    Raises:
        DreamError: what `dreampgc.pipeline` raises.
    """
    console = Console(quiet=True)
    if not (path / "run.json").exists():
        pipeline.create(configure(), path, console)
    elif Run(path).state != "done":
        pipeline.resume(path, console)
    return Run(path)


def write_json(path: Path, content: object) -> None:
    """Write ``content``, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def read_prompts(path: Path) -> list[str]:
    """The prompts of a file, one a line; empty lines and what follows a ``#`` don't count.

    Raises:
        ValueError: one of them is not an object of the procedural world.
    """
    lines = [line.partition("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines()]
    prompts = [line for line in lines if line]
    for prompt in prompts:
        Caption.parse(prompt)
    return prompts


def parse_variants(texts: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """``NAME:key=value,key=value`` texts as names and assignments.

    A name alone is a propagation method, ``NAME:`` is the preset as it is.

    Raises:
        ValueError: a name that cannot be a folder's.
    """
    variants: dict[str, tuple[str, ...]] = {}
    for text in texts:
        name, colon, rest = text.partition(":")
        if not re.fullmatch(r"[\w.+-]+", name):
            raise ValueError(f"{name!r} cannot name a variant: use letters, digits, '.', '+', '-', '_'")
        variants[name] = (
            tuple(filter(None, re.split(r",(?=\w+\.\w+=)", rest))) if colon else (f"guidance.method={name}",)
        )
    return variants
