"""The composition root: builds every object from a configuration, and runs the stages one after the other."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import torch

from dreampgc.cameras import Views
from dreampgc.config import RunConfig
from dreampgc.console import Console
from dreampgc.errors import InputError
from dreampgc.exporting import mesh_of, save_turntable
from dreampgc.guidance.guides import TextGuide
from dreampgc.guidance.schedule import Schedule
from dreampgc.guidance.sds import ScoreDistillation
from dreampgc.images import Frame, save_image
from dreampgc.mesh.export import check_formats, export_mesh
from dreampgc.optimizers import make_optimizer
from dreampgc.priors.accelerate import Acceleration, accelerate, acceleration_of
from dreampgc.priors.base import Prior
from dreampgc.priors.catalog import resolve
from dreampgc.render import Rooms
from dreampgc.runs import Run, create_run
from dreampgc.stages import image2d
from dreampgc.stages.image2d import Image2dStage
from dreampgc.stages.loop import Loop
from dreampgc.stages.nerf import NerfStage, NerfState, renders_latents
from dreampgc.trained import build_modules, config_of, load_field, resolve_device

#: ``(views, height, width) -> [B,H,W,3]`` uint8: a field as it is now.
Look = Callable[[Views, int, int], Frame]
#: Is told after each step how to look at the field and how many steps are done; cannot change what comes out.
Watch = Callable[[Look, int], None]


def create(config: RunConfig, output: Path | None, console: Console, watch: Watch | None = None) -> Path:
    """Make a run folder, train, and export mesh and turntable; returns the folder.

    Raises:
        InputError: the prompt, the device, a mesh format or the output folder cannot be used; no folder is left
            behind.
        MissingError: the prior's weights are not to be had.
    """
    check_formats(config.mesh.formats)
    device = resolve_device(config.device)
    source = resolve(config.prior, device)
    source.check_prompt(config.prompt)
    source.check_prompt(config.negative_prompt)
    if config.prior == "auto" and source.name == "mini":
        console.info("no CUDA device: using the embedded prior `mini` (see `dreampgc priors list`)")
    run = create_run(config, output, prior=source.name, device=device)
    console.info(f"run folder: {run.path}")
    train(run, config, lambda: source.load(device), console, watch=watch)
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
    source = resolve(config.prior, device)
    train(run, config, lambda: source.load(device), console, watch=watch)
    return path


def build_stage(config: RunConfig, prior: Prior) -> NerfStage:
    """The text-to-3D stage with fresh weights, everything random drawn from the configuration's seed.

    Raises:
        InputError: the method needs a linear map that the prior does not have.
    """
    if renders_latents(config) and prior.linear_rgb_to_latent is None:
        raise InputError(f"the method 'latent' needs a fitted linear map, which the prior {prior.name} does not have")
    generator = torch.Generator().manual_seed(config.seed)
    torch.manual_seed(config.seed)  # the initial weights
    modules = build_modules(config, prior.device)
    fast = _acceleration(config, prior) != "off"
    field, background, grid = modules["field"], modules["background"], modules["grid"]
    guidance = _guidance(config, prior, generator)
    others = [field.network, field.head, *([background] if config.render.background == "learned" else [])]
    settings = config.optimizer.model_dump(exclude={"final_rate"})
    optimizer = make_optimizer(field.encoding, others, **settings, fused=fast)
    state = NerfState(field, background, grid, optimizer, generator)
    return NerfStage(config, prior, guidance, state, Rooms() if fast else None)


def build_image_stage(config: RunConfig, prior: Prior) -> Image2dStage:
    """The stage that trains one image, everything random drawn from the configuration's seed."""
    generator = torch.Generator().manual_seed(config.seed)
    state = image2d.make_state(config, prior, generator, fused=_acceleration(config, prior) != "off")
    return Image2dStage(config, prior, _guidance(config, prior, generator), state)


def speed_up(stage: NerfStage | Image2dStage, say: Callable[[str], None]) -> None:
    """Let the stage's networks run as fast as its configuration allows on its device; ``say`` hears of fallbacks."""
    kind = _acceleration(stage.config, stage.prior)
    accelerate(stage.prior, kind, say)
    if kind == "compiled" and isinstance(stage, NerfStage):
        stage.state.field.encoding.compile_kernels(say)


def _acceleration(config: RunConfig, prior: Prior) -> Acceleration:
    return acceleration_of(prior, config.loop.acceleration, hasty=config.preset == "draft")


def _guidance(config: RunConfig, prior: Prior, generator: torch.Generator) -> ScoreDistillation:
    schedule = config.guidance.model_dump(include={"t_min", "t_max", "anneal", "t_end"})
    guide = TextGuide(
        prior,
        config.prompt,
        negative_prompt=config.negative_prompt,
        **config.guidance.model_dump(include={"scale", "perp_neg"}),
    )
    return ScoreDistillation(
        guide,
        schedule=Schedule(config.loop.steps, **schedule),
        generator=generator,
        **config.guidance.model_dump(include={"method", "clip", "norm", "weighting"}),
    )


def train(
    run: Run,
    config: RunConfig,
    load: Callable[[], Prior],
    console: Console,
    *,
    watch: Watch | None = None,
    label: str = "training",
) -> None:
    """Train (from the last checkpoint if there is one), then write what the run is for.

    ``load`` gives the prior; ``watch`` looks at the field, if there is one; ``label`` names the run where its
    progress is reported.
    """
    timings: dict[str, float] = {}
    with run.active():
        run.update(steps=config.loop.steps)
        with _timed(timings, "load"):
            prior = load()
            stage = build_stage(config, prior) if config.task == "text" else build_image_stage(config, prior)
            speed_up(stage, console.info)
        state = stage.state
        with Loop(
            run,
            config.loop,
            console,
            save=state.save,
            load=state.load,
            preview=stage.preview,
            gradient=stage.gradient_picture,
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


def _write_mesh(run: Run, config: RunConfig, timings: MutableMapping[str, float], console: Console) -> None:
    """Mesh and turntable of the newest checkpoint, into the run folder."""
    with _timed(timings, "mesh"):
        mesh = mesh_of(load_field(run, config, None, console), config)
        for suffix in config.mesh.formats:
            console.info(f"wrote {export_mesh(mesh, run.path / f'mesh.{suffix}')}")
    with _timed(timings, "turntable"):
        console.info(f"wrote {save_turntable(config, mesh, run.path / 'turntable.webp')}")


@contextmanager
def _timed(timings: MutableMapping[str, float], name: str) -> Iterator[None]:
    began = time.monotonic()
    yield
    timings[name] = time.monotonic() - began


def _peak_memory() -> int:
    """The largest resident size of this process so far, in bytes."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
