"""What is worth knowing of a run at a glance, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

#: The methods that have a threshold.
SHAPING = ("pngd", "pgc-v", "pgc-n")


def facts_of(
    record: Mapping[str, Any], config: Mapping[str, Any], mesh: Mapping[str, Any] | None, size: int
) -> list[tuple[str, str]]:
    """Labels and texts. ``config`` has dotted keys, ``mesh`` is a glTF document, ``size`` that of its file in bytes.

    Nothing is trusted: what the record lacks or holds in another shape is left out.
    """
    facts = []
    for part in (_mesh(mesh, size), _training(record), _setting(record, config), _origin(record)):
        try:
            facts += list(part)
        except (KeyError, IndexError, TypeError, ValueError, AttributeError):
            continue
    return facts


def _mesh(document: Mapping[str, Any] | None, size: int) -> Iterator[tuple[str, str]]:
    if document is None:
        return
    [primitive] = document["meshes"][0]["primitives"]
    accessors, attributes = document["accessors"], primitive["attributes"]
    yield "Faces", f"{accessors[primitive['indices']]['count'] // 3:,}"
    yield "Vertices", f"{accessors[attributes['POSITION']]['count']:,}"
    textured, coloured = "TEXCOORD_0" in attributes, "COLOR_0" in attributes
    yield "Colours", "texture" if textured else "at the vertices" if coloured else "none"
    yield "File", f"mesh.glb, {in_bytes(size)}"


def _training(record: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if "step" not in record:
        return
    timings = dict(record["timings"])
    done = f"{record['step']:,} of {record['steps']:,} steps"
    yield "Training", f"{done}, {in_seconds(timings.pop('train'))}" if "train" in timings else done
    if timings:
        yield "Besides", ", ".join(f"{name} {in_seconds(seconds)}" for name, seconds in timings.items())
    if "peak_memory" in record:
        yield "Memory", f"{in_bytes(record['peak_memory'])} at most"


def _setting(record: Mapping[str, Any], config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if "guidance.method" in config:
        method = config["guidance.method"]
        yield "Method", f"{method}, threshold {config['guidance.clip']}" if method in SHAPING else method
    prior = record.get("prior", config.get("prior"))
    if prior is not None:
        yield "Prior", str(prior)
    parts = (("preset", config.get("preset")), ("seed", config.get("seed")), ("on", record.get("device")))
    if chosen := ", ".join(f"{name} {value}" for name, value in parts if value is not None):
        yield "Start", chosen


def _origin(record: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if "created" in record:
        yield "Made", f"{datetime.fromisoformat(record['created']).astimezone(UTC):%-d %B %Y, %H:%M} UTC"
    if "versions" in record:
        known = [f"{name} {record['versions'][name]}" for name in ("dreampgc", "torch") if name in record["versions"]]
        yield "With", ", ".join(known)


def in_bytes(size: float) -> str:
    """A number of bytes in the largest unit that fits."""
    for unit in ("B", "kB", "MB"):
        if size < 999.5:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} GB"


def in_seconds(seconds: float) -> str:
    """A time in seconds, or minutes and seconds."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    return f"{whole} s" if whole < 120 else f"{whole // 60} min {whole % 60} s"
