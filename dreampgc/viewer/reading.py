"""A run folder as plain data for a page: what there is to see, and a sentence for each thing that there is not."""

from __future__ import annotations

import base64
import io
import json
import math
import tomllib
from collections.abc import Mapping
from typing import Any

from PIL import Image

from dreampgc.errors import InputError
from dreampgc.mesh.container import unpack
from dreampgc.runs import Run
from dreampgc.viewer.facts import facts_of

#: The columns of ``metrics.jsonl`` that the page draws.
CURVES = ("loss", "gradient_median", "gradient_p99", "gradient_maximum", "opacity")
#: Pictures of one kind, and points of a curve, at most: the page is to be mailed.
MAX_PICTURES, MAX_POINTS = 24, 10_000
#: Pixels across a picture at most.
MAX_WIDTH = 1600


def read_run(run: Run) -> dict[str, Any]:
    """Everything that the page shows of a run, ready for JSON; whatever is missing or damaged is among ``problems``.

    ``mesh`` is the GLB file in base64, pictures are data URLs, ``curves`` are columns of equal length, ``config``
    has dotted keys. What is not there is None or empty.
    """
    folder = _Folder(run)
    record, config = folder.record(), folder.config()
    flat = record.get("task", config.get("task")) == "image2d"
    image = folder.picture("image.png") if flat else None
    document, mesh = (None, None) if flat else folder.mesh()
    turntable = None if flat else folder.turntable()
    shown = {
        "name": folder.name,
        "prompt": str(record.get("prompt") or config.get("prompt") or folder.name),
        "state": folder.state,
        "facts": facts_of(record, config, document, len(mesh or b"")),
        "mesh": mesh and base64.b64encode(mesh).decode("ascii"),
        "image": image,
        "turntable": turntable,
        "curves": folder.curves(),
        "threshold": config.get("guidance.clip"),
        "previews": folder.pictures("previews"),
        "gradients": folder.pictures("gradients"),
        "config": {key: _as_written(value) for key, value in config.items()},
    }
    return shown | {"problems": folder.problems}


class _Folder:
    """Reads the files of a run one by one, and notes what cannot be read: the run's name stands for its path."""

    def __init__(self, run: Run) -> None:
        self.run, self.path = run, run.path
        self.name = run.path.resolve().name
        self.problems: list[str] = []
        self.state = "unknown"

    def record(self) -> dict[str, Any]:
        """The content of ``run.json``."""
        if not self._has("run.json"):
            return {}
        try:
            record, self.state = self.run.record, self.run.state
        except InputError as error:
            self._note(str(error))
            return {}
        if record.get("error"):
            self._note(f"{self.state}: {record['error']}")
        return record

    def config(self) -> dict[str, Any]:
        """The content of ``config.toml`` with dotted keys."""
        if not self._has("config.toml"):
            return {}
        try:
            return _dotted(tomllib.loads((self.path / "config.toml").read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            self._note(f"config.toml is damaged: {error}")
            return {}

    def mesh(self) -> tuple[dict[str, Any] | None, bytes | None]:
        """The document of ``mesh.glb``, and the whole file."""
        hint = f": `dreampgc export {self.name} --format glb` makes it" if (self.path / "checkpoints").is_dir() else ""
        if not self._has("mesh.glb", hint):
            return None, None
        try:
            document, _ = unpack(self.path / "mesh.glb")
            return document, (self.path / "mesh.glb").read_bytes()
        except InputError:
            self._note(f"mesh.glb is damaged{hint}")
            return None, None

    def turntable(self) -> str | None:
        """``turntable.webp`` as it is."""
        if not self._has("turntable.webp"):
            return None
        try:
            content = (self.path / "turntable.webp").read_bytes()
            with Image.open(io.BytesIO(content), formats=["WEBP"]) as picture:
                picture.load()
            return _data_url(content)
        except (OSError, SyntaxError):
            self._note("turntable.webp is damaged")
            return None

    def curves(self) -> dict[str, list[float | None]]:
        """The columns of ``metrics.jsonl``, ``step`` among them; NaN and whatever is no number are None."""
        if not self._has("metrics.jsonl"):
            return {}
        try:
            lines = (self.path / "metrics.jsonl").read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError as error:
            self._note(f"metrics.jsonl cannot be read: {error.strerror}")
            return {}
        rows = [row for row in map(_row, lines) if row is not None]
        if len(rows) < len(lines):
            self._note(f"metrics.jsonl is damaged in {len(lines) - len(rows)} of {len(lines)} lines")
        rows = _spread(rows, MAX_POINTS)
        return {name: [_number(row.get(name)) for row in rows] for name in ("step", *CURVES)} if rows else {}

    def pictures(self, kind: str) -> list[dict[str, Any]]:
        """The pictures ``step-000100.png`` of one folder as ``{step, url}``, the earliest first."""
        names = sorted(path.name for path in (self.path / kind).glob("step-*.png") if path.stem[5:].isdecimal())
        if not names:
            self._note(f"there are no {kind}")
        found = [(int(name[5:-4]), self.picture(f"{kind}/{name}")) for name in _spread(names, MAX_PICTURES)]
        return [{"step": step, "url": url} for step, url in found if url is not None]

    def picture(self, name: str) -> str | None:
        """A picture as WebP, not wider than the page shows it."""
        if not self._has(name):
            return None
        try:
            with Image.open(self.path / name, formats=["PNG"]) as opened:
                picture = opened.convert("RGB")
        except (OSError, SyntaxError, Image.DecompressionBombError):
            self._note(f"{name} is damaged")
            return None
        picture.thumbnail((MAX_WIDTH, 4 * MAX_WIDTH))
        file = io.BytesIO()
        picture.save(file, "WEBP", quality=85)
        return _data_url(file.getvalue())

    def _has(self, name: str, hint: str = "") -> bool:
        """Whether a file is there and holds something; notes if not."""
        if (self.path / name).is_file():
            if (self.path / name).stat().st_size > 0:
                return True
            self._note(f"{name} is empty")
            return False
        self._note(f"{name} is not there yet" if self.state == "running" else f"{name} is missing{hint}")
        return False

    def _note(self, problem: str) -> None:
        """Keep a problem; where the run lies is nobody's business to whom the page is mailed."""
        for place in (self.path.resolve(), self.path):
            if len(place.parts) > 1:
                problem = problem.replace(str(place), self.name)
        self.problems.append(problem)


def _data_url(content: bytes) -> str:
    return f"data:image/webp;base64,{base64.b64encode(content).decode('ascii')}"


def _dotted(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """``tree`` with one level and dotted keys, in its order."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat |= _dotted(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat


def _as_written(value: Any) -> str:
    """A value of the configuration as people read it."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _row(line: str) -> dict[str, Any] | None:
    """A line of metrics; None where it is none."""
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) and _number(row.get("step")) is not None else None


def _number(value: Any) -> float | None:
    """``value`` to six digits, which is more than a picture shows; None where it is no finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return value if isinstance(value, int) else float(f"{value:.6g}")


def _spread(items: list[Any], most: int) -> list[Any]:
    """At most ``most`` of ``items``, evenly spread, the first and the last among them."""
    if len(items) <= most:
        return items
    return [items[round(number * (len(items) - 1) / (most - 1))] for number in range(most)]
