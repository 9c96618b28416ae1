"""Carries a plan out: trains what is not trained yet, then writes the figure, the page and the numbers."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

from dreampgc import pipeline
from dreampgc.comparison.figure import draw_figure
from dreampgc.comparison.page import write_page
from dreampgc.comparison.plan import SPACES, Plan, Variant
from dreampgc.comparison.results import read_results, write_record
from dreampgc.console import Console
from dreampgc.errors import DreamError, InputError, Interrupted
from dreampgc.images import save_image
from dreampgc.priors.base import Prior
from dreampgc.priors.catalog import PriorSource, resolve
from dreampgc.runs import Run, create_run, fresh_folder

FIGURE, PAGE, RECORD = "compare.png", "compare.html", "compare.json"


def compare(plan: Plan, output: Path | None, console: Console) -> Path:
    """Train every variant of ``plan``, write `FIGURE`, `PAGE` and `RECORD`; returns the folder.

    Variants that ``output`` holds already are kept when they are done and gone on with when they are not. One that
    fails is shown as failed.

    Raises:
        InputError: the prompt, the device or ``output`` cannot be used, or a method is none for this prior; nothing
            was written then.
        MissingError: the prior's weights are not to be had.
        Interrupted: a signal came; the same call with ``output`` goes on.
    """
    config = plan.variants[0].config
    device = pipeline.resolve_device(config.device)
    source = resolve(config.prior, device)
    source.check_prompt(config.prompt)
    source.check_prompt(config.negative_prompt)
    if output is not None:
        _check_folder(plan, output, source.name)
    load = cache(lambda: source.load(device))  # read once, for all runs
    _check_methods(plan, load)
    folder = fresh_folder(f"compare {plan.prompt}") if output is None else output
    console.info(_announcement(plan, folder, source.name))
    for number, variant in enumerate(plan.variants, 1):
        label = f"[{number}/{len(plan.variants)}] {variant.folder}"
        try:
            _carry_out(variant, folder, source, device, load, console, label)
        except Interrupted as error:
            message = f"stopped in {variant.folder}; go on with the same command and --output {folder}"
            raise Interrupted(message, error.exit_code) from error
        console.event("compared", run=folder / variant.folder, number=number, runs=len(plan.variants))
    return _report(plan, folder, console)


def _check_folder(plan: Plan, folder: Path, prior: str) -> None:
    """Refuse a folder that holds something else, or other runs under the plan's names. Raises InputError."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"cannot use {folder} as the comparison's folder: it is a file")
    known = {*SPACES, FIGURE, PAGE, RECORD}
    held = sorted(entry.name for entry in folder.iterdir()) if folder.exists() else []
    if foreign := [name for name in held if name not in known and ".tmp" not in name]:
        raise InputError(f"{folder} is not a comparison (it holds {foreign[0]}); choose another --output")
    for variant in plan.variants:
        run = Run(folder / variant.folder)
        if not (run.path / "run.json").exists():
            continue
        if run.config != variant.config or run.record["prior"] != prior:
            raise InputError(
                f"{run.path} was run with another configuration; repeat the command that made it, "
                "or choose another --output"
            )


def _check_methods(plan: Plan, load: Callable[[], Prior]) -> None:
    """Refuse methods that need a linear map where the prior has none. Raises InputError."""
    wanting = [v.method for v in plan.variants if v.method == "linear" or (v.method, v.space) == ("latent", "3d")]
    if wanting and load().linear_rgb_to_latent is None:
        raise InputError(f"the method {wanting[0]!r} needs a fitted linear map, which this prior does not have")


def _announcement(plan: Plan, folder: Path, prior: str) -> str:
    """The work ahead, in a sentence."""
    parts = []
    for space, name in zip(SPACES, ("images", "fields"), strict=True):
        if variants := [variant for variant in plan.variants if variant.space == space]:
            parts.append(f"{len(variants)} {name} of {variants[0].config.loop.steps} steps")
    done = sum(_is_done(Run(folder / variant.folder)) for variant in plan.variants)
    kept = f" ({done} of these runs are done already)" if done else ""
    return f"comparing {plan.prompt!r} with the prior {prior}: {', '.join(parts)}{kept}; folder: {folder}"


def _is_done(run: Run) -> bool:
    return (run.path / "run.json").exists() and run.state == "done"


def _carry_out(
    variant: Variant,
    folder: Path,
    source: PriorSource,
    device: str,
    load: Callable[[], Prior],
    console: Console,
    label: str,
) -> None:
    """Train one variant, unless it is done; a failure stays in its folder's record, with a warning."""
    run = Run(folder / variant.folder)
    if not (run.path / "run.json").exists():
        run = create_run(variant.config, run.path, prior=source.name, device=device)
    elif run.state == "done":
        return
    try:
        pipeline.train(run, variant.config, load, console, label=label)
    except Interrupted:
        raise
    except DreamError as error:
        if run.state != "failed":
            raise
        console.warn(f"{variant.folder} failed: {error}")


def _report(plan: Plan, folder: Path, console: Console) -> Path:
    results = read_results(plan, folder)
    write_record(folder / RECORD, plan, results)
    save_image(folder / FIGURE, draw_figure(plan, results))
    write_page(folder / PAGE, plan, results)
    for name in (FIGURE, PAGE, RECORD):
        console.info(f"wrote {folder / name}")
        console.event("file", path=folder / name)
    return folder
