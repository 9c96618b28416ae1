"""One HTML file that shows runs: everything is inside, nothing is asked of any network, and no text becomes markup."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from dreampgc.files import replacing
from dreampgc.runs import Run
from dreampgc.viewer.reading import read_run

#: In the order in which the browser runs them; later ones use what earlier ones define.
SCRIPTS = ("three.js", "scene.js", "chart.js", "view.js")


def write_page(path: Path, runs: Sequence[Run]) -> None:
    """Write the page of ``runs`` as one file, which can be mailed.

    Raises:
        InputError: the folder cannot be written to.
    """
    with replacing(path) as temporary:
        temporary.write_text(make_page(runs), encoding="utf-8")


def make_page(runs: Sequence[Run]) -> str:
    """The page of ``runs`` as they are now: what one of them lacks is said on the page."""
    shown = [read_run(run) for run in runs]
    title = shown[0]["prompt"] if len(shown) == 1 else f"{len(shown)} runs"
    return self_contained(f"{title} – dreampgc", "view.css", SCRIPTS, {"runs": shown})


def self_contained(title: str, style: str, scripts: Sequence[str], data: Any) -> str:
    """An HTML document of files in ``static/`` and of ``data``, which its scripts find in the element ``#data``.

    Its policy lets the browser run exactly these scripts, use exactly this style, and load nothing else.
    """
    css, code = _static(style), [_static(name) for name in scripts]
    policy = "; ".join(
        (
            "default-src 'none'",
            f"script-src {' '.join(map(_fingerprint, code))}",
            f"style-src {_fingerprint(css)}",
            # Pictures are data; the loader of meshes puts textures into blobs and fetches them from there.
            "img-src data: blob:",
            "connect-src blob:",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )
    lines = [
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n<link rel="icon" href="data:,">',
        f"<title>{escape(title.encode('utf-8', 'replace').decode())}</title>\n<style>{css}</style>\n</head>\n<body>",
        "<noscript>This page needs JavaScript, which your browser does not run here.</noscript>",
        f'<script type="application/json" id="data">{inert_json(data)}</script>',
        *(f"<script>{text}</script>" for text in code),
        "</body>\n</html>\n",
    ]
    return "\n".join(lines)


def inert_json(data: Any) -> str:
    """``data`` as JSON that means nothing to HTML, so that no text in it can end the element that holds it."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _static(name: str) -> str:
    return (files("dreampgc.viewer") / "static" / name).read_text(encoding="utf-8")


def _fingerprint(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"
