"""The commands ``priors list``, ``priors pull`` and ``priors check``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dreampgc.cli.options import Json, Quiet
from dreampgc.console import Console
from dreampgc.errors import InputError, MissingError

app = typer.Typer(help="The diffusion models that guide a run.")


@app.callback(invoke_without_command=True)
def _priors(context: typer.Context) -> None:
    """The diffusion models that guide a run; lists them when no command is given."""
    if context.invoked_subcommand is None:
        list_priors()


@app.command("list")
def list_priors(
    vocabulary: Annotated[bool, typer.Option("--vocabulary", help="The words that mini knows.")] = False,
    json: Json = False,
) -> None:
    """List the priors that have names, and whether they are on this machine."""
    from dreampgc.priors import catalog
    from dreampgc.priors.vocabulary import Vocabulary

    console = Console(json=json)
    if not vocabulary:
        rows = [
            (name, _state(name), f"{prior.gigabytes:g} GB", prior.licence, prior.description)
            for name, prior in catalog.KNOWN.items()
        ]
        console.table("prior", ("name", "state", "size", "licence", "description"), rows)
    elif words := Vocabulary.load(catalog.MINI_DIRECTORY):
        rows = [*(("class", word) for word in words.classes), *(("attribute", word) for word in words.attributes)]
        console.table("word", ("kind", "word"), rows)
    else:
        raise MissingError("this installation lacks the mini prior: reinstall dreampgc")


def _state(name: str) -> str:
    """Of a known prior."""
    from dreampgc.priors import catalog

    if catalog.installed(name):
        return "ready"
    return "missing" if name in catalog.EMBEDDED else "to be downloaded"


@app.command("pull")
def pull_prior(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name of the list, or a hub id owner/model.")],
    output: Annotated[
        Path | None, typer.Option(metavar="DIR", help="A plain folder to write; the hub's cache if left out.")
    ] = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Download a prior: safetensors, configurations and tokenizers, one precision, nothing else."""
    from dreampgc.priors import catalog

    console = Console(quiet=quiet, json=json)
    if known := catalog.KNOWN.get(name):
        console.info(f"{name}: {known.description}; {known.gigabytes:g} GB, licence {known.licence}")
    directory = catalog.pull(name, output)
    console.info(f"{name} is in {directory}; `dreampgc priors check {directory}` reads it through")
    console.event("pulled", name=name, directory=directory)


@app.command("check")
def check_prior(
    directory: Annotated[str, typer.Argument(metavar="DIR", help="A model directory, or a name of the list.")],
    json: Json = False,
) -> None:
    """Read a model directory part by part: what it is, and whether each part is right."""
    from dreampgc.priors import catalog

    path, vae = Path(directory).expanduser(), None
    if directory in catalog.KNOWN:
        # What is embedded needs no network to be resolved, and says itself why it is missing.
        find = catalog.resolve if directory in catalog.EMBEDDED else catalog.installed
        if not (source := find(directory)):
            raise MissingError(f"{directory} is not on this machine: get it with `dreampgc priors pull {directory}`")
        path, vae = source.directory, source.vae
    if not path.is_dir():
        raise InputError(f"there is no directory {path}")
    from dreampgc.priors.checking import examine  # seconds of imports: bad input is answered before

    console = Console(json=json)
    found = examine(path, vae)
    console.info(f"{path}: {found.summary}")
    console.event("model", directory=path, summary=found.summary)
    rows = [(verdict.part, "right" if verdict.right else "wrong", verdict.note) for verdict in found.verdicts]
    console.table("part", ("part", "state", "note"), rows)
    if found.wrong:
        parts = ", ".join(verdict.part for verdict in found.wrong)
        raise InputError(f"{path} cannot be used as a prior: {parts} wrong, see the table")
