#!/usr/bin/env python3
"""How good is the 3D? Run a list of prompts, measure every mesh against the procedural world, write a report.

    python scripts/evaluate.py benchmarks/prompts.txt --output runs/evaluation
    python scripts/evaluate.py benchmarks/prompts.txt --preset high --jobs 12 --seeds 0 1 --variants vae pgc-n
    python scripts/evaluate.py my.txt --variants "ten:guidance.scale=10" "ngd:guidance.method=vae,optimizer.rule=ngd"

Started again, it goes on: finished runs and their measurements are kept. In ``--output``: ``report.md``,
``report.json`` and ``sheet.png`` (four sides of every mesh), beside the run folders.
"""

from __future__ import annotations

import argparse
import functools
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from evaluation.measuring import Instruments, read_mesh, strip
from evaluation.parallel import in_parallel
from evaluation.report import Row, details, summary
from evaluation.tasks import Task, parse_variants, read_prompts, write_json
from PIL import Image

from dreampgc.errors import DreamError
from dreampgc.images import labelled_grid, save_image
from dreampgc.metrics.pictures import SIZE, Subject, evaluation_views, item_of
from dreampgc.world.objects import HELD_OUT_SEED, Caption


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prompts", type=Path)
    parser.add_argument("--output", type=Path, default=Path("runs/evaluation"))
    parser.add_argument("--cache", type=Path, default=Path("build/ground-truth"), help="ground truth, made once")
    parser.add_argument("--prepare", action="store_true", help="make the ground truth, run nothing")
    parser.add_argument("--only", type=int, nargs="+", help="line numbers of prompts (1 is the first prompt)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--variants", nargs="+", default=["pgc-n"], help="METHOD or NAME:key=value,key=value")
    parser.add_argument("--prior", default="mini")
    parser.add_argument("--preset", default="standard")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--jobs", type=int, default=1, help="processes side by side")
    parser.add_argument("--gpus", type=int, default=1, help="GPUs that they share")
    return parser.parse_args()


def evaluate(task: Task, cache: Path) -> Row:
    """Run and measure; both are kept in the run folder."""
    caption = Caption.parse(task.prompt)
    row: Row = {"variant": task.variant, "prompt": task.prompt, "seed": task.seed}
    row |= {"held_out": caption.held_out, "pair": caption.base is not None}
    measured = task.path / "measurements.json"
    if measured.exists():
        return row | json.loads(measured.read_text(encoding="utf-8"))
    try:
        run = task.run()
    except DreamError as error:
        return row | {"error": str(error)}
    mesh = read_mesh(run)
    values = instruments(cache).measure(run, mesh)
    save_image(task.path / "sides.png", strip(mesh))
    write_json(measured, values)
    return row | values


@functools.cache
def instruments(cache: Path) -> Instruments:
    """This process's instruments: reading the ground truth takes longer than measuring."""
    return Instruments.open(cache)


def prepare(kind: Caption, cache: Path) -> None:
    """Make the solids of a kind of object: all prompts are compared with all classes, so do it once for all."""
    instruments(cache).shapes.references(kind)


def prepare_looks(prompt: str, cache: Path) -> None:
    """Make the pictures that a prompt's colours and front are compared with, by measuring an object that is right."""
    caption = Caption.parse(prompt)
    subject = Subject(item_of(caption, HELD_OUT_SEED), evaluation_views(), SIZE)
    instruments(cache).looks(subject.pictures(), caption)


def write_report(rows: Sequence[Row], tasks: Sequence[Task], output: Path, settings: Row) -> None:
    """``report.md``, ``report.json`` and ``sheet.png``."""
    said = "\n".join(f"- {name}: {json.dumps(value)}" for name, value in settings.items())
    text = f"# Evaluation\n\n{said}\n\n{summary(rows)}\n\n{details(rows)}\n"
    (output / "report.md").write_text(text, encoding="utf-8")
    write_json(output / "report.json", {"settings": settings, "rows": rows})
    shown = [(row, task.path / "sides.png") for row, task in zip(rows, tasks, strict=True) if "error" not in row]
    if shown:
        frames = [np.asarray(Image.open(path).convert("RGB")) for _, path in shown]
        labels = [
            f"{row['prompt']}: {row['class_found']}, {row['attribute_found']}, {row['iou']:.2f}" for row, _ in shown
        ]
        save_image(output / "sheet.png", labelled_grid(frames, labels, columns=4))


def main() -> None:
    """Run, measure, report."""
    arguments = parse_arguments()
    prompts = read_prompts(arguments.prompts)
    prompts = [prompts[k - 1] for k in arguments.only] if arguments.only else prompts
    tasks = [
        Task(prompt, seed, variant, assignments, arguments.output, arguments.prior, arguments.preset, arguments.device)
        for seed in arguments.seeds
        for variant, assignments in parse_variants(arguments.variants).items()
        for prompt in prompts
    ]
    parallel = {"jobs": arguments.jobs, "gpus": arguments.gpus}
    shapes = instruments(arguments.cache).shapes
    kinds = dict.fromkeys(kind for prompt in prompts for kind in shapes.candidates(Caption.parse(prompt)))
    for number, _ in enumerate(in_parallel(partial(prepare, cache=arguments.cache), list(kinds), **parallel)):
        print(f"ground truth {number + 1}/{len(kinds)}", end="\r", flush=True)
    if arguments.prepare:
        list(in_parallel(partial(prepare_looks, cache=arguments.cache), prompts, **parallel))
        return
    rows: list[Row] = []
    for row in in_parallel(partial(evaluate, cache=arguments.cache), tasks, **parallel):
        rows.append(row)
        state = row.get("error") or f"{row['class_found']}, {row['attribute_found']}, IoU {row['iou']:.2f}"
        print(f"[{len(rows)}/{len(tasks)}] {row['variant']}, seed {row['seed']}, {row['prompt']}: {state}", flush=True)
    settings = {key: getattr(arguments, key) for key in ("prior", "preset", "seeds", "variants")}
    write_report(rows, tasks, arguments.output, settings)
    print(summary(rows))


if __name__ == "__main__":
    main()
