"""A folder of results of several methods, read as the questions of a study.

The layout is ``FOLDER/METHOD/[PLACE/]RESULT``. A RESULT is one of

* a folder with ``mesh.glb``: a run folder, whose prompt is in its ``run.json``, or any other one, named after its
  prompt (``a-red-chair``);
* a file named after its prompt (``a-red-chair.glb``).

A PLACE keeps apart results of the same prompt, such as ``seed-0`` in what ``scripts/evaluate.py`` writes. METHOD may
be a RESULT itself, as in the folder ``3d`` that ``dreampgc compare`` writes. Whatever else lies there is ignored.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dreampgc.errors import InputError
from dreampgc.runs import Run
from dreampgc.viewer.study.glb import check_glb

#: Where a method's meshes are looked for, below its folder.
_PATTERNS = ("*.glb", "*/*.glb", "*/*/*.glb")


@dataclass(frozen=True)
class Question:
    """A prompt and each method's mesh of it. ``key`` (place and prompt, as in ``seed-0/a-red-chair``) is unique."""

    key: str
    prompt: str
    meshes: Mapping[str, Path]


@dataclass(frozen=True)
class _Found:
    place: str
    prompt: str
    path: Path

    @property
    def key(self) -> str:
        """What results of different methods have in common when they answer the same question."""
        slug = re.sub(r"[\W_]+", "-", self.prompt.casefold()).strip("-")
        return f"{self.place}/{slug}" if self.place else slug


def read_questions(folder: Path, warn: Callable[[str], None], methods: Sequence[str] = ()) -> list[Question]:
    """The questions that ``folder`` holds, in the order of their keys; ``warn`` is told what is left out.

    A question is asked only if every method has a mesh for it: otherwise a share of the votes would not mean the same
    for each of them. ``methods`` are names of subfolders; all that hold a mesh if there are none.

    Raises:
        InputError: there is no such folder or method, or fewer than two methods, or no question.
    """
    found = _read_methods(folder, warn, methods)
    if len(found) < 2:
        have = f"only {next(iter(found))} has" if found else "no folder in it has"
        raise InputError(
            f"a study compares two methods or more, but in {folder} {have} a mesh (METHOD/PROMPT/mesh.glb)"
        )
    questions = []
    for key in sorted({key for meshes in found.values() for key in meshes}):
        if missing := [method for method, meshes in found.items() if key not in meshes]:
            warn(f"left out: {key} has no mesh by {', '.join(missing)}")
            continue
        prompt = next(iter(found.values()))[key].prompt
        questions.append(Question(key, prompt, {method: meshes[key].path for method, meshes in found.items()}))
    if not questions:
        raise InputError(
            f"the methods in {folder} ({', '.join(found)}) have no prompt in common: there is nothing to ask"
        )
    return questions


def _read_methods(folder: Path, warn: Callable[[str], None], methods: Sequence[str]) -> dict[str, dict[str, _Found]]:
    """Each method's meshes by key, without methods that have none."""
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}")
    there = sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    if unknown := [method for method in methods if method not in there]:
        raise InputError(f"there is no method {unknown[0]!r} in {folder}: it has {', '.join(there) or 'no folders'}")
    found: dict[str, dict[str, _Found]] = {}
    for method in dict.fromkeys(methods or there):
        meshes: dict[str, _Found] = {}
        for one in _meshes(folder / method, warn):
            if one.key in meshes:  # names begin with dates: the last one is the newest
                warn(f"left out: {meshes[one.key].path} has the same prompt as {one.path}")
            meshes[one.key] = one
        if meshes:
            found[method] = meshes
        else:
            warn(f"left out: {method} holds no mesh")
    return found


def _meshes(method: Path, warn: Callable[[str], None]) -> Iterator[_Found]:
    """The meshes in a method's folder that a browser can show."""
    for path in sorted(path for pattern in _PATTERNS for path in method.glob(pattern)):
        if path.name.startswith(".") or (path.name != "mesh.glb" and _is_result(path.parent)):
            continue
        result = path.parent if path.name == "mesh.glb" else path
        place = "" if result == method else "/".join(result.parent.relative_to(method).parts)
        try:
            recorded = _recorded(result)
            prompt = recorded or _words(result.name.removesuffix(".glb"))
            # A method's own name is no prompt, and would tell voters which it is.
            if (result == method and not recorded) or not f"{place}{prompt}".isprintable():
                raise InputError(f"nothing says what the prompt of {path} is")
            check_glb(path)
        except InputError as error:
            warn(f"left out: {error}")
            continue
        yield _Found(place, prompt, path)


def _is_result(folder: Path) -> bool:
    return (folder / "mesh.glb").exists() or (folder / "run.json").exists()


def _recorded(result: Path) -> str:
    """The prompt in the record of a run folder; empty where there is none. Raises InputError."""
    return str(Run(result).record.get("prompt") or "") if (result / "run.json").exists() else ""


def _words(name: str) -> str:
    return re.sub(r"[-_\s]+", " ", name).strip()
