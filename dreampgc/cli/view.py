"""``dreampgc view``: a page of runs, served on this machine or in one file."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dreampgc.cli.options import Json, Quiet
from dreampgc.console import Console
from dreampgc.errors import InputError

if TYPE_CHECKING:
    from dreampgc.runs import Run


def view(
    runs: Annotated[
        list[Path] | None, typer.Argument(metavar="RUN", help="Run folders; the newest run if left out.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(metavar="page.html", help="Write one file that can be mailed, and end.")
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to serve on; 0: any that is free.")] = 0,
    open_page: Annotated[bool, typer.Option("--open/--no-open", help="Open the page in a browser.")] = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Show runs on a page: meshes to turn, pictures, curves, configurations; several side by side."""
    from dreampgc.runs import find_run

    console = Console(quiet=quiet, json=json)
    found = [find_run(place) for place in runs or (None,)]
    if output is None:
        _serve(found, port, open_page, console)
        return
    from dreampgc.viewer.page import write_page

    if output.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"--output {output} does not end in .html")
    write_page(output, found)
    console.info(f"wrote {output}")
    console.event("file", path=output)
    if open_page:
        _open(output.resolve().as_uri())


def _serve(runs: Sequence[Run], port: int, open_page: bool, console: Console) -> None:
    """Serve until Ctrl-C, which is how this ends well."""
    from dreampgc.viewer.page import make_page
    from dreampgc.viewer.serving import PageServer

    with PageServer(lambda: make_page(runs), port) as server, suppress(KeyboardInterrupt):
        console.info(f"see {server.url} (Ctrl-C ends it)")
        console.event("serving", url=server.url)
        if open_page:
            _open(server.url)
        server.serve_forever()


def _open(url: str) -> None:
    import webbrowser

    webbrowser.open(url)
