#!/usr/bin/env python3
"""How good is the 3D that is made of one picture? Held-out objects against the truth, with baselines, as a report.

    python scripts/evaluate_images.py --output runs/images --jobs 6
    python scripts/evaluate_images.py --variants views pgc-n vae reference "soft:guidance.clip=0.3" --estimate
    python scripts/evaluate_images.py --output runs/images --only-measure

Variants: a propagation method (``pgc-n``, or ``vae`` without clipping), ``reference`` (the picture supervises, no prior
is asked), ``views`` (the prior's novel views alone, no 3D; it also says what elevation the prior judges), or
NAME:key=value,key=value.

Views of runs are renders of their meshes in the mesh's own colours. Unseen views are 8 azimuths at elevations 0 and 30
but for those less than 30 degrees from the picture's camera. Pictures are compared over white. Shapes are compared
where they are (Chamfer distances in world units; objects are 1.6 long), and after the similarity that suits best.

Started again, it goes on: what is finished and measured is kept. In ``--output``: ``report.md``, ``report.json`` and
``sheet.png``, beside the run folders.
"""

from __future__ import annotations

import argparse
import json
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

import torch
from evaluation.image_report import save_sheet, table_of_variants, text_of
from evaluation.image_tasks import ImageTask, Settings, make_tasks, read_variants, require_made
from evaluation.objects import draw_objects
from evaluation.parallel import in_parallel
from evaluation.report import Row
from evaluation.tasks import write_json

from dreampgc.errors import DreamError, InputError, Interrupted
from dreampgc.priors.catalog import resolve_views
from dreampgc.trained import resolve_device


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("runs/images"))
    parser.add_argument("--cache", type=Path, default=Path("build/ground-truth"), help="ground truth, made once")
    parser.add_argument("--objects", type=int, default=24, help="how many; the first ones are always the same")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="of the runs")
    parser.add_argument("--variants", nargs="+", default=["views", "pgc-n", "vae", "reference"])
    parser.add_argument("--prior", default="mini-zero123")
    parser.add_argument("--preset", help="high on a GPU, standard elsewhere, if left out")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--estimate", action="store_true", help="let elevations be estimated instead of giving them")
    parser.add_argument("--size", type=int, default=128, help="pixels along each side at which pictures are compared")
    parser.add_argument("--only-measure", action="store_true", help="make nothing; measure anew what is finished")
    parser.add_argument("--jobs", type=int, default=1, help="processes side by side")
    parser.add_argument("--gpus", type=int, default=1, help="GPUs that they share")
    found = parser.parse_args(arguments)
    found.preset = found.preset or ("high" if torch.cuda.is_available() and found.device != "cpu" else "standard")
    return found


def keep_settings(arguments: argparse.Namespace) -> None:
    """Write down what the runs of the output folder are made with; refuse to mix them with others later.

    Where nothing is made, prior and preset become those that were kept.

    Raises:
        InputError: the folder holds runs of another prior or preset, pictures of another size, or another variant of
            the same name.
    """
    path = arguments.output / "settings.json"
    variants = {name: list(texts) for name, texts in read_variants(arguments.variants).items()}
    mine = {"prior": arguments.prior, "preset": arguments.preset, "size": arguments.size, "variants": variants}
    kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else mine
    if arguments.only_measure:
        arguments.prior, arguments.preset = kept["prior"], kept["preset"]
        write_json(path, kept | {"size": arguments.size})
        return
    others = any(kept[key] != mine[key] for key in ("prior", "preset", "size"))
    if others or any(kept["variants"].get(name, texts) != texts for name, texts in variants.items()):
        raise InputError(f"what lies in {arguments.output} was made with other settings: see {path.name}")
    write_json(path, mine | {"variants": kept["variants"] | variants})


def evaluate(task: ImageTask) -> Row:
    """Make and measure; both are kept in the task's folder."""
    measured = task.path / "measurements.json"
    if measured.exists() and not task.settings.only_measure:
        return task.row() | json.loads(measured.read_text(encoding="utf-8"))
    try:
        if task.settings.only_measure:
            require_made(task)
        else:
            task.make()
        values = task.measure(task.settings.truth(task.subject))
    except Interrupted:
        raise
    except Exception as error:  # one failure must not end all other runs
        if not isinstance(error, DreamError):
            traceback.print_exc()
        return task.row() | {"error": f"{type(error).__name__}: {error}"}
    if "estimate" in values:
        values["elevation_error"] = abs(values["estimate"] - task.subject.elevation)
    write_json(measured, values)
    return task.row() | values


def write_report(rows: Sequence[Row], tasks: Sequence[ImageTask], output: Path, settings: Row) -> None:
    """``report.md``, ``report.json`` and ``sheet.png``."""
    (output / "report.md").write_text(text_of(rows, settings), encoding="utf-8")
    write_json(output / "report.json", {"settings": settings, "rows": rows})
    save_sheet(tasks, output / "sheet.png")


def carry_out(arguments: argparse.Namespace) -> int:
    """Make, measure, report; returns the exit code: 1 where a task failed. Raises DreamError."""
    if not arguments.only_measure:
        resolve_views(arguments.prior, resolve_device(arguments.device))
    keep_settings(arguments)
    shared = ("cache", "prior", "preset", "device", "size", "estimate", "only_measure")
    settings = Settings(arguments.output, **{key: getattr(arguments, key) for key in shared})
    subjects = draw_objects(arguments.objects)
    tasks = make_tasks(subjects, arguments.seeds, read_variants(arguments.variants), settings)
    parallel = {"jobs": arguments.jobs, "gpus": arguments.gpus}
    for number, _ in enumerate(in_parallel(settings.prepare, subjects, **parallel), start=1):
        print(f"ground truth {number}/{len(subjects)}", end="\r", flush=True)
    rows: list[Row] = []
    for row in in_parallel(evaluate, tasks, **parallel):
        rows.append(row)
        state = row.get("error") or f"PSNR {row['psnr']:.1f} dB, silhouette IoU {row['silhouette_iou']:.2f}"
        print(f"[{len(rows)}/{len(tasks)}] {row['variant']}, seed {row['seed']}, {row['object']}: {state}", flush=True)
    told = ("prior", "preset", "objects", "seeds", "variants", "estimate", "size")
    write_report(rows, tasks, arguments.output, {key: getattr(arguments, key) for key in told})
    print(table_of_variants(rows))
    return int(any("error" in row for row in rows))


def main() -> int:
    """The command; returns its exit code."""
    try:
        return carry_out(parse_arguments())
    except DreamError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
