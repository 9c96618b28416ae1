"""``dreampgc study``: which method's meshes do people prefer?"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dreampgc.cli.options import Json, Quiet
from dreampgc.console import Console
from dreampgc.errors import InputError

if TYPE_CHECKING:
    from dreampgc.viewer.study.opening import Plan


def study(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Holds METHOD/PROMPT/mesh.glb or METHOD/PROMPT.glb.")
    ],
    methods: Annotated[
        list[str] | None, typer.Option("--methods", metavar="A,B,...", help="Methods to compare; all if left out.")
    ] = None,
    ask: Annotated[str, typer.Option(help="What voters are asked.")] = "Which one do you prefer?",
    host: Annotated[str, typer.Option(help="Address to serve on; beyond this machine it takes a token.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to serve on; 0: any that is free.")] = 8765,
    token: Annotated[
        str | None, typer.Option(help="Token of the voters' link, here too; made up where one is needed.")
    ] = None,
    names: Annotated[
        list[str] | None,
        typer.Option("--name", metavar="A,B,...", help="Other names of this server in browsers; takes a token."),
    ] = None,
    database: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where votes are kept; FOLDER/study.sqlite if left out.")
    ] = None,
    results: Annotated[bool, typer.Option("--results", help="Print the shares so far; serves nothing.")] = False,
    csv: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="Write all votes as a table; serves nothing.")
    ] = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Serve a page on which people turn the meshes of several methods, unlabelled, and pick one for each prompt."""
    from dreampgc.viewer.study.opening import Plan

    console = Console(quiet=quiet, json=json)
    place = database or folder / "study.sqlite"
    if results or csv is not None:
        _report(place, results, csv, console)
        return
    if token is not None and not re.fullmatch(r"[\w-]{8,}", token, re.ASCII):
        raise InputError("--token wants 8 or more letters, digits, '-' or '_'")
    plan = Plan(folder, place, methods=_items(methods), ask=ask, host=host, port=port, token=token, names=_items(names))
    _serve(plan, console)


def _serve(plan: Plan, console: Console) -> None:
    """Serve until Ctrl-C, which is how a study ends well, or until SIGTERM."""
    from dreampgc.viewer.study.opening import opened

    with opened(plan, console) as study:
        voters, results = study.links["voter"], study.links["owner"]
        try:
            console.info(f"comparing {', '.join(study.methods)} on {study.questions} prompts")
            console.info(f"voters:  {voters}\nresults: {results}\nCtrl-C ends the study")
            console.event("serving", voters=voters, results=results, database=plan.database)
            study.server.serve_forever()
        except KeyboardInterrupt:
            console.info(f"ended; all votes are in {plan.database}, and the same command goes on with them")
    console.event("done", database=plan.database)


def _report(database: Path, shares: bool, table: Path | None, console: Console) -> None:
    """Print the shares, write the table of votes, or both."""
    from dreampgc.files import replacing
    from dreampgc.viewer.study.results import COLUMNS, results_csv, results_rows, results_summary
    from dreampgc.viewer.study.votes import Votes

    store = Votes(database, create=False)
    votes = store.all()
    store.close()
    if shares:
        console.info(results_summary(votes))
        console.table("share", COLUMNS, results_rows(votes))
    if table is not None:
        with replacing(table) as temporary:
            temporary.write_text(results_csv(votes), encoding="utf-8")
        console.info(f"wrote {table}")
        console.event("file", path=table)


def _items(texts: Sequence[str] | None) -> tuple[str, ...]:
    """All parts of comma-separated lists."""
    return tuple(item.strip() for text in texts or () for item in text.split(",") if item.strip())
