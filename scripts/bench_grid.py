#!/usr/bin/env python3
"""The hash grid, forward and backward: the native kernels, plain torch, and plain torch compiled; a Markdown table.

python scripts/bench_grid.py                         # the field of the presets for mini and for full-size priors
python scripts/bench_grid.py --device cpu --points 20000

Points are spread over the cube as a render's samples are at first. Contenders take turns, round after round.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable

import torch
from bench_clip import milliseconds
from torch import Tensor

from dreampgc.config.presets import PRESETS
from dreampgc.config.sections import FieldConfig
from dreampgc.field import HashGrid, encoding
from dreampgc.ops import native


def grid_of(family: str) -> HashGrid:
    """The hash grid of a family's fields."""
    values = PRESETS["standard", "mini" if family == "mini" else "full"]
    own = {key.removeprefix("field."): value for key, value in values.items() if key.startswith("field.")}
    names = {"levels", "features", "log2_hashmap_size", "base_resolution", "max_resolution"}
    return HashGrid(**FieldConfig(**own).model_dump(include=names))


def contenders(grid: HashGrid, unit: Tensor, incoming: Tensor) -> dict[str, tuple[Callable[[], object], ...]]:
    """Forward and backward of each, by its name in the table."""
    table, entries, r, m = grid.table.detach(), grid.table.shape[2], grid.resolutions, grid.multipliers
    positions, table_with_graph = 2 * unit.T - 1, grid.table

    def plain_backward() -> None:
        features = grid(positions)
        torch.autograd.grad(features, table_with_graph, incoming.T)

    found: dict[str, tuple[Callable[[], object], ...]] = {}
    if unit.is_cuda:
        gathered = torch.compile(encoding._gathered, dynamic=False)
        scattered = torch.compile(encoding._scattered, dynamic=False)
        found["compiled"] = (
            lambda: gathered(unit, table, r, m),
            lambda: scattered(unit, incoming, entries, r, m),
        )
        if native.find() is not None:
            kernels = native.load()
            found["native"] = (
                lambda: kernels.hash_grid(unit, table, r, m),
                lambda: kernels.hash_grid_backward(unit, incoming, r, m, entries),
            )
    with torch.no_grad():
        found["formula over all corners"] = (
            lambda: encoding._gathered(unit, table, r, m),
            lambda: encoding._scattered(unit, incoming, entries, r, m),
        )
    found["the module, forward and both"] = (lambda: grid(positions), plain_backward)
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--points", type=int, default=180_000)
    parser.add_argument("--rounds", type=int, default=20)
    asked = parser.parse_args()
    name = torch.cuda.get_device_name() if asked.device == "cuda" else "CPU"
    print(f"{name}, torch {torch.__version__}, {asked.points} points; native kernels: {native.reason() or 'in use'}\n")
    print("| field | what | forward, ms | backward, ms |\n|---|---|---|---|")
    for family in ("mini", "full"):
        grid = grid_of(family).to(asked.device)
        unit = torch.rand(3, asked.points, device=asked.device)
        incoming = torch.randn(grid.width, asked.points, device=asked.device)
        times: dict[str, list[list[float]]] = {}
        runs = contenders(grid, unit, incoming)
        for round_ in range(asked.rounds + 2):
            for what, parts in runs.items():
                measured = [milliseconds(part, cuda=unit.is_cuda) for part in parts]
                if round_ >= 2:  # the first ones compile
                    times.setdefault(what, []).append(measured)
        for what, rows in times.items():
            forward, backward = (statistics.median(column) for column in zip(*rows, strict=True))
            print(f"| {family} | {what} | {forward:.3f} | {backward:.3f} |", flush=True)


if __name__ == "__main__":
    main()
