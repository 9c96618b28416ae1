"""The configuration of a run: frozen, checked, written once into the run folder.

Layers, each stronger than the one before: defaults, preset, TOML file, ``--set``, explicit options. A key is
``section.name`` (``guidance.clip``) or a bare name for what stands outside the sections (``seed``).
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from dreampgc.config.presets import Family, preset_values
from dreampgc.config.sections import RunConfig, Section
from dreampgc.errors import InputError

__all__ = ["KEYS", "RunConfig", "changed", "from_toml", "load_config", "to_toml"]


def load_config(
    *,
    file: Path | None = None,
    assignments: Sequence[str] = (),
    options: Mapping[str, Any] | None = None,
    family: Callable[[str, str], Family] = lambda prior, device: "mini",
) -> RunConfig:
    """The configuration that all layers together give.

    ``file`` is a TOML file, ``assignments`` are ``"section.key=value"`` texts, ``options`` maps dotted keys to
    values, where None means not given. ``family(prior, device)`` decides which table of presets applies.

    Raises:
        InputError: an unknown key, a value out of range, or a file that cannot be read; one sentence.
    """
    chosen: dict[str, Any] = {}
    if file is not None:
        chosen |= _flat(_read_toml(file), source=str(file))
    chosen |= _flat(dict(_assignment(text) for text in assignments), source="--set")
    chosen |= {key: value for key, value in (options or {}).items() if value is not None}
    head = _checked({"prompt": "unused"} | {key: value for key, value in chosen.items() if "." not in key})
    return _checked(preset_values(head.task, head.preset, family(head.prior, head.device)) | chosen)


def changed(config: RunConfig, values: Mapping[str, Any]) -> RunConfig:
    """``config`` with the ``values`` of some dotted keys replaced.

    Raises:
        InputError: a value out of range.
    """
    return _checked(dict(_leaves(config.model_dump())) | dict(values))


def to_toml(config: RunConfig) -> str:
    """``config`` as TOML text that `from_toml` reads back exactly."""
    return tomli_w.dumps(config.model_dump())


def from_toml(text: str, source: str = "config.toml") -> RunConfig:
    """The configuration written by `to_toml`; ``source`` names it in messages.

    Raises:
        InputError: the text is no TOML, or holds an unknown key or a value out of range.
    """
    return _checked(_flat(_parse_toml(text, source), source))


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        return _parse_toml(file.read_text(encoding="utf-8"), str(file))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise InputError(f"cannot read the configuration {file}: {reason}") from error


def _parse_toml(text: str, source: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{source} is not valid TOML: {error}") from error


def _assignment(text: str) -> tuple[str, Any]:
    """``"guidance.clip=0.2"`` as key and value; a value that is no TOML is taken as text."""
    key, separator, value = (part.strip() for part in text.partition("="))
    if not separator or not key:
        raise InputError(f"--set wants section.key=value, not {text!r}")
    try:
        return key, tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return key, value


def _leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _flat(tree: Mapping[str, Any], source: str) -> dict[str, Any]:
    """``tree`` with dotted keys, all of them known."""
    flat = dict(_leaves(tree))
    for key in flat:
        if key not in KEYS:
            raise InputError(f"unknown key {key!r} in {source}; the nearest one is {_nearest(key, sorted(KEYS))!r}")
    return flat


def _nearest(key: str, known: Iterable[str]) -> str:
    """The known key most like ``key``, judged by the whole and by the last part alike (sections are often left out)."""

    def likeness(candidate: str) -> float:
        pairs = ((key, candidate), (key.rpartition(".")[2], candidate.rpartition(".")[2]))
        return sum(difflib.SequenceMatcher(None, *pair).ratio() for pair in pairs)

    return max(known, key=likeness)


def _checked(flat: Mapping[str, Any]) -> RunConfig:
    tree: dict[str, Any] = {}
    for key, value in flat.items():
        section, dot, name = key.partition(".")
        if dot:
            tree.setdefault(section, {})[name] = value
        else:
            tree[key] = value
    try:
        return RunConfig.model_validate(tree)
    except ValidationError as error:
        raise InputError(_sentence(error)) from error


def _sentence(error: ValidationError) -> str:
    """The first thing that is wrong, with its key and value, in one sentence."""
    details = error.errors(include_url=False)
    first, key, value = details[0], _key(details[0]), details[0]["input"]
    if first["type"] == "missing":
        inside = len(first["loc"]) > key.count(".") + 1
        return f"{key} = {value!r} has too few values" if inside else f"{key} is missing"
    same = [detail["msg"] for detail in details if detail["loc"][:2] == first["loc"][:2] and detail["input"] is value]
    reason = " or ".join(message[0].lower() + message[1:] for message in map(_reason, dict.fromkeys(same)))
    return f"{key}: {reason}" if isinstance(value, Section | Mapping) else f"{key} = {value!r}: {reason}"


def _reason(message: str) -> str:
    return message.removeprefix("Value error, ")


def _key(detail: ErrorDetails) -> str:
    """The key that a validation error is about, without the places inside its value."""
    place = [str(part) for part in detail["loc"]]
    candidates = (".".join(place[:2]), place[0])
    return next((key for key in candidates if key in KEYS), place[0])


def _keys(model: type[Section], prefix: str = "") -> Iterator[str]:
    for name, info in model.model_fields.items():
        if isinstance(info.annotation, type) and issubclass(info.annotation, Section):
            yield from _keys(info.annotation, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


#: Every key there is.
KEYS: frozenset[str] = frozenset(_keys(RunConfig))
