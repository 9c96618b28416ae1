"""The composition root: priors, pictures and stages brought together as a configuration says, from start to mesh."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from dreampgc import references
from dreampgc.building import Stage, build_image2d_stage, build_image_stage, build_text_stage, speed_up, view_guide
from dreampgc.cameras import Views
from dreampgc.config import RunConfig
from dreampgc.console import Console
from dreampgc.exporting import mesh_of, save_turntable
from dreampgc.images import Frame, save_image
from dreampgc.mesh.export import check_formats, export_mesh
from dreampgc.priors.catalog import EMBEDDED, PriorSource, resolve, resolve_views
from dreampgc.runs import Run, create_run
from dreampgc.stages.image2d import Image2dStage
from dreampgc.stages.loop import Loop
from dreampgc.stages.nerf import NerfStage
from dreampgc.stages.posing import placed_pictures
from dreampgc.stages.sketching import drawn_sketch
from dreampgc.trained import config_of, load_field, resolve_device

#: ``(views, height, width) -> [B,H,W,3]`` uint8: a field as it is now.
Look = Callable[[Views, int, int], Frame]
#: Is told after each step how to look at the field and how many steps are done; cannot change what comes out.
Watch = Callable[[Look, int], None]
#: Seconds by the name of what took them.
Timings = dict[str, float]


def create(config: RunConfig, output: Path | None, console: Console, watch: Watch | None = None) -> Path:
    """Make a run folder, train, and export mesh and turntable; returns the folder.

    Raises:
        InputError: the prompt, a picture, the device, a mesh format or the output folder cannot be used; no folder is
            left behind.
        MissingError: a prior's weights are not to be had.
    """
    check_formats(config.mesh.formats)
    device = resolve_device(config.device)
    source, second = _source(config, device), _second_source(config, device)
    if (text := second if config.task == "image" else source) is not None:
        text.check_prompt(config.prompt)
        text.check_prompt(config.negative_prompt)
    photos = references.cut_out(config.image, config.seed) if config.task == "image" else []
    if config.prior == "auto" and source.name in EMBEDDED:
        console.info(f"no CUDA device: using the embedded prior `{source.name}` (see `dreampgc priors list`)")
    named = {"text_prior": second.name} if second is not None else {}
    run = create_run(config, output, prior=source.name, device=device, **named)
    if photos:
        references.keep(photos, config.image, run.path)
    console.info(f"run folder: {run.path}")
    train(run, config, _loader(config, source, device), console, watch=watch)
    return run.path


def resume(path: Path, console: Console, steps: int | None = None, watch: Watch | None = None) -> Path:
    """Go on with a run from its last good checkpoint; ``steps`` replaces the total.

    Raises:
        InputError: the folder is no run, was made by a newer version, or its checkpoints are damaged.
    """
    run = Run(path)
    config = config_of(run)
    if steps is not None:
        config = config.model_copy(update={"loop": config.loop.model_copy(update={"steps": steps})})
    device = resolve_device(config.device)
    train(run, config, _loader(config, _source(config, device), device), console, watch=watch)
    return path


def train(
    run: Run,
    config: RunConfig,
    load: Callable[[], Any],
    console: Console,
    *,
    watch: Watch | None = None,
    label: str = "training",
) -> None:
    """Train (from the last checkpoint if there is one), then write what the run is for.

    ``load`` gives the prior (of views, for an image run); ``watch`` looks at the field, if there is one; ``label``
    names the run where its progress is reported.
    """
    timings: Timings = {}
    with run.active():
        run.update(steps=config.loop.steps)
        stage = _stage(run, config, load, console, timings)
        state = stage.state
        with Loop(
            run,
            config.loop,
            console,
            save=state.save,
            load=state.load,
            preview=stage.preview,
            gradient=stage.gradient_picture if stage.guidance.priors else None,
            watch=partial(watch, stage.look) if watch is not None and isinstance(stage, NerfStage) else None,
            label=label,
        ) as loop:
            stage.train(loop)
            timings["train"] = loop.seconds
        if isinstance(stage, Image2dStage):
            save_image(run.path / "image.png", stage.preview(config.loop.steps))
        else:
            _write_mesh(run, config, timings, console)
        run.update(timings={name: round(seconds, 2) for name, seconds in timings.items()}, peak_memory=_peak_memory())


def _stage(run: Run, config: RunConfig, load: Callable[[], Any], console: Console, timings: Timings) -> Stage:
    """The stage that the configuration asks for, ready to be trained."""
    with _timed(timings, "load"):
        prior = load()
    if config.task == "image":
        with _timed(timings, "pictures"):
            pictures = placed_pictures(run, config, prior, console)
            guide = partial(view_guide, config, prior, pictures)
            sketch = drawn_sketch(run, config, guide, pictures[0], console)
        text = _second_source(config, str(prior.device))
        with _timed(timings, "load"):
            stage = build_image_stage(config, prior, pictures, text and text.load(str(prior.device)), sketch)
    else:
        with _timed(timings, "load"):
            stage = build_text_stage(config, prior) if config.task == "text" else build_image2d_stage(config, prior)
    speed_up(stage, console.info)
    return stage


def _source(config: RunConfig, device: str) -> PriorSource:
    """The prior that guides the run: one of views where there is a picture."""
    return resolve_views(config.prior, device) if config.task == "image" else resolve(config.prior, device)


def _second_source(config: RunConfig, device: str) -> PriorSource | None:
    """The prior that is told the prompt of an image run, beside that of views; None where there is no prompt."""
    wanted = config.task == "image" and config.prompt and config.image.text > 0
    return resolve(config.image.text_prior, device) if wanted else None


def _loader(config: RunConfig, source: PriorSource, device: str) -> Callable[[], Any]:
    """What reads the weights of the prior that guides the run."""
    return partial(source.load_views if config.task == "image" else source.load, device)


def _write_mesh(run: Run, config: RunConfig, timings: Timings, console: Console) -> None:
    """Mesh and turntable of the newest checkpoint, into the run folder."""
    with _timed(timings, "mesh"):
        mesh = mesh_of(load_field(run, config, None, console), config)
        for suffix in config.mesh.formats:
            console.info(f"wrote {export_mesh(mesh, run.path / f'mesh.{suffix}')}")
    with _timed(timings, "turntable"):
        console.info(f"wrote {save_turntable(config, mesh, run.path / 'turntable.webp')}")


@contextmanager
def _timed(timings: Timings, name: str) -> Iterator[None]:
    began = time.monotonic()
    yield
    timings[name] = timings.get(name, 0.0) + time.monotonic() - began


def _peak_memory() -> int:
    """The largest resident size of this process so far, in bytes."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
