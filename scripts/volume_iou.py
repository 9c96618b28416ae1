#!/usr/bin/env python3
"""Is a run's solid what it was asked for: volume IoU with the best of 12 held-out objects of its class.

    python scripts/volume_iou.py runs/*

The solid is where the field's density exceeds the automatic level, its largest part; both solids are moved and scaled
to their bounding boxes. The class is the prompt's last word.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from dreampgc.checkpoint import load_latest
from dreampgc.mesh.extract import sample_volume, visible_level
from dreampgc.pipeline import build_modules
from dreampgc.runs import Run
from dreampgc.stages.nerf import load_modules
from dreampgc.world.objects import HELD_OUT_SEED
from dreampgc.world.scene import make_scene, signed_distance

SAMPLES, SIDE, OBJECTS = 64, 48, 12


def aligned(solid: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The largest part of a solid, its bounding box scaled to fill a cube of ``SIDE``^3 along its longest side."""
    found: Any = ndimage.label(solid)
    labels, count = found
    sizes = ndimage.sum(solid, labels, range(1, count + 1))
    solid = labels == 1 + int(np.argmax(sizes))
    inside = np.argwhere(solid)
    low, high = inside.min(axis=0), inside.max(axis=0) + 1
    unit = (np.arange(SIDE) + 0.5) * (2 / SIDE) - 1
    points = np.stack(np.meshgrid(unit, unit, unit, indexing="ij"), axis=-1) * (high - low).max() / 2 + (low + high) / 2
    cells = np.floor(points).astype(int)
    within = ((cells >= 0) & (cells < len(solid))).all(axis=-1)
    x, y, z = np.moveaxis(cells.clip(0, len(solid) - 1), -1, 0)
    return solid[x, y, z] & within


def field_solid(run: Run) -> NDArray[np.bool_]:
    """Where the newest checkpoint's field is solid."""
    loaded = load_latest(run.path, print)
    assert loaded is not None, f"{run.path} has no checkpoint"
    modules = build_modules(run.config, "cpu")
    load_modules(modules, loaded[1])
    density = sample_volume(modules["field"].density, SAMPLES, occupied=modules["grid"].occupied)
    return density > visible_level(density)


def object_solid(name: str, seed: int) -> NDArray[np.bool_]:
    """Where a ground-truth object is solid."""
    scene = make_scene([(name, "red", seed)])

    def outside(points: torch.Tensor) -> torch.Tensor:
        return signed_distance(scene, points[None])[0]

    return sample_volume(outside, SAMPLES) < 0


def main() -> None:
    """Print a Markdown table."""
    print("| prompt | volume IoU |\n|---|---|")
    for place in map(Path, sys.argv[1:]):
        run = Run(place)
        solid, name = aligned(field_solid(run)), run.config.prompt.split()[-1]
        truths = [aligned(object_solid(name, HELD_OUT_SEED + k)) for k in range(OBJECTS)]
        best = max((solid & truth).sum() / (solid | truth).sum() for truth in truths)
        print(f"| {run.config.prompt} | {best:.2f} |", flush=True)


if __name__ == "__main__":
    main()
