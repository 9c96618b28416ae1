"""What the run folders of a comparison hold: pictures and numbers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median
from typing import Any

import numpy as np
from PIL import Image

from dreampgc.comparison.plan import Plan, Variant
from dreampgc.files import replacing
from dreampgc.images import Frame
from dreampgc.runs import Run

#: Version of the record's layout.
FORMAT = 1


@dataclass(frozen=True)
class Gradient:
    """Norm maps of one step's image gradient, ``[H,W,3]``: one of a batch below the other."""

    step: int
    raw: Frame
    shaped: Frame


@dataclass(frozen=True)
class Result:
    """One variant's outcome.

    ``views`` are the image itself (2d), or the mesh from the front left and from behind right (3d); none when the
    run failed. ``gradients`` are those of an early, a middle and the last step. ``numbers`` see `summarise`.
    """

    variant: Variant
    state: str
    error: str | None
    views: tuple[Frame, ...]
    gradients: tuple[Gradient, ...]
    numbers: dict[str, float]
    record: Mapping[str, Any]


def read_results(plan: Plan, folder: Path) -> dict[str, Result]:
    """The results of all variants, by their folders' names."""
    return {variant.folder: _read(variant, Run(folder / variant.folder)) for variant in plan.variants}


def summarise(lines: list[dict[str, Any]]) -> dict[str, float]:
    """The statistics of a run's raw image gradients, from its metrics: norms of single pixels.

    ``median`` and ``p99`` are the typical (median) step's; ``maximum`` is the largest of all steps; ``spike`` is
    the typical ratio of a step's maximum to its median; ``clipped`` is the mean share of pixels above the threshold,
    clipped or not. Steps whose numbers are not finite are left out.
    """
    steps = [line for line in lines if all(line.get(f"gradient_{name}") is not None for name in ("median", "maximum"))]
    if not steps:
        return {}
    ratios = [line["gradient_maximum"] / max(line["gradient_median"], 1e-30) for line in steps]
    return {
        "median": median(line["gradient_median"] for line in steps),
        "p99": median(line["gradient_p99"] for line in steps),
        "maximum": max(line["gradient_maximum"] for line in steps),
        "spike": median(ratios),
        "clipped": fmean(line["gradient_clipped"] for line in steps),
    }


def write_record(path: Path, plan: Plan, results: Mapping[str, Result]) -> None:
    """All numbers as JSON: the comparison's settings, then one object a run."""
    first = next(iter(results.values()))
    config = first.variant.config
    document = {
        "format": FORMAT,
        "prompt": plan.prompt,
        "prior": first.record["prior"],
        "device": first.record["device"],
        "preset": config.preset,
        "seed": config.seed,
        "versions": first.record["versions"],
        "runs": [_entry(result) for result in results.values()],
    }
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _entry(result: Result) -> dict[str, Any]:
    variant = result.variant
    return {
        "folder": variant.folder,
        "space": variant.space,
        "method": variant.method,
        "clip": variant.clip,
        "state": result.state,
        "error": result.error,
        "steps": result.record["step"],
        "seconds": result.record["timings"].get("train"),
        "gradient": result.numbers,
    }


def _read(variant: Variant, run: Run) -> Result:
    record, state = run.record, run.state
    views = _views(variant, run.path) if state == "done" else ()
    return Result(variant, state, record.get("error"), views, _gradients(run.path), _numbers(run.path), record)


def _views(variant: Variant, path: Path) -> tuple[Frame, ...]:
    if variant.space == "2d":
        return (_picture(path / "image.png"),)
    with Image.open(path / "turntable.webp") as animation:
        frames = []
        for share in (1 / 8, 5 / 8):  # three quarters from the front, and the opposite side
            animation.seek(round(share * variant.config.mesh.turntable_frames))
            frames.append(np.asarray(animation.convert("RGB")))
        return tuple(frames)


def _gradients(path: Path) -> tuple[Gradient, ...]:
    """An early, a middle and the last one of the pictures that the run left."""
    found = sorted((path / "gradients").glob("step-*.png"))
    chosen = dict.fromkeys(found[index] for index in (0, len(found) // 2, -1)) if found else {}
    return tuple(_gradient(file) for file in chosen)


def _gradient(file: Path) -> Gradient:
    """A run's gradient picture: before shaping on the left, after on the right, two pixels between them."""
    picture = _picture(file)
    width = (picture.shape[1] - 2) // 2
    return Gradient(int(file.stem.removeprefix("step-")), picture[:, :width], picture[:, width + 2 :])


def _numbers(path: Path) -> dict[str, float]:
    file = path / "metrics.jsonl"
    if not file.exists():
        return {}
    return summarise([json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()])


def _picture(file: Path) -> Frame:
    with Image.open(file) as image:
        return np.asarray(image.convert("RGB"))
