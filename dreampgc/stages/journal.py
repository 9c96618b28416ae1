"""``metrics.jsonl``: one line a step, written when its numbers have come from the device, in the order of the steps."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from dreampgc.console import json_line
from dreampgc.files import replacing
from dreampgc.transfer import Download

#: Lines that may be on their way from a GPU before the host waits for the oldest. No more are needed to keep the GPU
#: busy, and what the host learns late it does wrong meanwhile: steps whose samples find no room are skipped.
MOST_PENDING = 8


@dataclass(frozen=True)
class Line:
    """The metrics of one step, of which some may still be on the device."""

    metrics: Mapping[str, Any]
    download: Download | None

    def arrived(self) -> bool:
        """Whether `numbers` would answer at once."""
        return self.download is None or self.download.arrived()

    def numbers(self) -> dict[str, Any]:
        """All metrics as plain numbers; waits for them if need be."""
        return {**self.metrics, **(self.download.numbers() if self.download is not None else {})}


class Journal:
    """The file of metrics at ``path``, and the lines that are not yet in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._pending: deque[Line] = deque()

    def put(self, metrics: Mapping[str, Any]) -> None:
        """Take the metrics of a step: plain values, and one-element tensors, whose way to the host begins here."""
        tensors = {name: value for name, value in metrics.items() if isinstance(value, Tensor)}
        self._pending.append(Line(metrics, Download(tensors) if tensors else None))

    def arrived(self, most: int = MOST_PENDING) -> Iterator[dict[str, Any]]:
        """The metrics that have arrived since, step by step; waits until no more than ``most`` are missing."""
        while self._pending and (len(self._pending) > most or self._pending[0].arrived()):
            yield self._pending.popleft().numbers()

    def write(self, line: Mapping[str, Any]) -> None:
        """Append one line. Raises OSError."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json_line(line) + "\n")

    def truncate(self, done: int) -> None:
        """Keep the whole lines of steps before ``done``; a kill may have cut the last line. Raises OSError."""
        self._pending.clear()
        if not self.path.exists():
            return
        lines = self.path.read_text(encoding="utf-8", errors="replace").splitlines()
        with replacing(self.path) as temporary:
            temporary.write_text("".join(f"{line}\n" for line in lines if _before(line, done)), encoding="utf-8")


def _before(line: str, done: int) -> bool:
    try:
        return json.loads(line)["step"] < done
    except (ValueError, KeyError, TypeError):
        return False
