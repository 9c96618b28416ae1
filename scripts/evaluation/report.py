"""What the measurements say, as Markdown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

#: A run's measurements by name; a run that failed has ``error`` and nothing else.
Row = dict[str, Any]
#: What a table says of some runs, and which runs belong together, by name.
Columns = Mapping[str, Callable[[Sequence[Row]], str]]
Groups = Mapping[str, Callable[[Row], bool]]


def share(rows: Iterable[Row], key: str) -> str:
    """In how many of the runs, in percent, ``key`` is true; failed runs count as false, where it is None not at all."""
    found = [bool(row.get(key, False)) for row in rows if row.get(key, False) is not None]
    return f"{100 * np.mean(found):.0f} % ({sum(found)}/{len(found)})" if found else "–"


def mean(rows: Iterable[Row], key: str, digits: int = 2) -> str:
    """The mean of ``key`` over the runs that have it."""
    found = [row[key] for row in rows if row.get(key) is not None]
    return f"{np.mean(found):.{digits}f}" if found else "–"


COLUMNS: Columns = {
    "runs": lambda rows: str(len(rows)),
    "class top-1": lambda rows: share(rows, "class_right"),
    "attribute top-1": lambda rows: share(rows, "attribute_right"),
    "IoU": lambda rows: mean(rows, "iou"),
    "Chamfer": lambda rows: mean(rows, "chamfer", 3),
    "coverage": lambda rows: mean(rows, "coverage"),
    "colour error": lambda rows: mean(rows, "colour_error", 1),
    "Janus": lambda rows: share([r for r in rows if "janus" in r], "janus"),
    "watertight": lambda rows: share(rows, "watertight"),
    "one component": lambda rows: share(rows, "one_component"),
    "fragments < 1 %": lambda rows: share(rows, "few_fragments"),
    "gradient max / median": lambda rows: mean(rows, "gradient_ratio", 0),
    "largest gradient": lambda rows: mean(rows, "gradient_largest"),
    "seconds": lambda rows: mean(rows, "seconds", 0),
}
GROUPS: Groups = {
    "all": lambda _: True,
    "trained": lambda row: not row["held_out"],
    "held out": lambda row: row["held_out"],
    "single objects": lambda row: not row["pair"],
    "one on another": lambda row: row["pair"],
}


def table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    rows = ["| " + " | ".join(line) + " |" for line in lines]
    return "\n".join(["| " + " | ".join(head) + " |", "|---" * len(head) + "|", *rows])


def summary(rows: Sequence[Row], columns: Columns = COLUMNS, groups: Groups = GROUPS, *, kinds: str = "prompts") -> str:
    """One line for each variant, and where its runs fall into several ``groups``, for each of them."""
    lines = []
    for variant in dict.fromkeys(row["variant"] for row in rows):
        own = [row for row in rows if row["variant"] == variant]
        sets = {name: [row for row in own if belongs(row)] for name, belongs in groups.items()}
        for name, chosen in sets.items():
            if name == "all" or 0 < len(chosen) < len(own):
                lines.append([variant, name, *(column(chosen) for column in columns.values())])
    return table(["variant", kinds, *columns], lines)


def details(rows: Sequence[Row]) -> str:
    """One line a run."""
    return table(
        ["variant", "prompt", "seed", "held out", "looks like", "wears", "IoU", "Chamfer", "colour error", "notes"],
        [
            [
                row["variant"],
                row["prompt"],
                str(row["seed"]),
                "yes" if row["held_out"] else "",
                _verdict(row, "class_right", "class_found"),
                _verdict(row, "attribute_right", "attribute_found"),
                mean([row], "iou"),
                mean([row], "chamfer", 3),
                mean([row], "colour_error", 1),
                _notes(row),
            ]
            for row in rows
        ],
    )


def _verdict(row: Row, right: str, found: str) -> str:
    if row.get(right) is None:
        return "–"
    return "✓" if row[right] else f"✗ {row[found]}"


def _notes(row: Row) -> str:
    if "error" in row:
        return f"failed: {row['error']}"
    flaws = {"Janus": row["janus"], "open": not row["watertight"], "in parts": not row["one_component"]}
    return ", ".join(name for name, flawed in flaws.items() if flawed)
