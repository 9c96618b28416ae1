"""The composition root: builds every object from a configuration, and runs the stages one after the other."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dreampgc.cameras import orbit_views
from dreampgc.checkpoint import checkpoint_step, load_checkpoint, load_latest
from dreampgc.config import RunConfig
from dreampgc.console import Console
from dreampgc.errors import InputError
from dreampgc.field import Background, InstantNGP
from dreampgc.guidance.schedule import Schedule
from dreampgc.guidance.sds import ScoreDistillation
from dreampgc.images import Frame, save_animation, save_image, to_frames
from dreampgc.mesh.export import WRITERS, export_mesh
from dreampgc.mesh.extract import extract_mesh
from dreampgc.optimizers import make_optimizer
from dreampgc.priors.base import Prior
from dreampgc.priors.catalog import resolve
from dreampgc.priors.linear import LinearMap, inverse
from dreampgc.render import OccupancyGrid
from dreampgc.render.mesh import render_mesh
from dreampgc.runs import Run, create_run
from dreampgc.stages import image2d
from dreampgc.stages.image2d import Image2dStage
from dreampgc.stages.loop import Loop
from dreampgc.stages.nerf import NerfStage, NerfState, load_modules, renders_latents
from dreampgc.types import Mesh


def create(config: RunConfig, output: Path | None, console: Console) -> Path:
    """Make a run folder, train, and export mesh and turntable; returns the folder.

    Raises:
        InputError: the prompt, the device, a mesh format or the output folder cannot be used; no folder is left
            behind.
        MissingError: the prior's weights are not to be had.
    """
    _check_formats(config.mesh.formats)
    device = resolve_device(config.device)
    source = resolve(config.prior, device)
    source.check_prompt(config.prompt)
    source.check_prompt(config.negative_prompt)
    if config.prior == "auto" and source.name == "mini":
        console.info("no CUDA device: using the embedded prior `mini` (see `dreampgc priors list`)")
    run = create_run(config, output, prior=source.name, device=device)
    console.info(f"run folder: {run.path}")
    train(run, config, lambda: source.load(device), console)
    return run.path


def resume(path: Path, console: Console, steps: int | None = None) -> Path:
    """Go on with a run from its last good checkpoint; ``steps`` replaces the total.

    Raises:
        InputError: the folder is no run, was made by a newer version, or its checkpoints are damaged.
    """
    run = Run(path)
    config = _config_of(run)
    if steps is not None:
        config = config.model_copy(update={"loop": config.loop.model_copy(update={"steps": steps})})
    device = resolve_device(config.device)
    source = resolve(config.prior, device)
    train(run, config, lambda: source.load(device), console)
    return path


def export(
    path: Path,
    *,
    formats: list[str],
    resolution: int | None,
    faces: int | None,
    texture_size: int | None,
    output: Path | None,
    checkpoint: Path | None,
    console: Console,
) -> list[Path]:
    """Write the mesh of a run (of its newest checkpoint) in each of ``formats``; returns the files.

    Raises:
        InputError: there is no checkpoint, the field is empty, ``output`` fits no single format, or nothing writes
            that format.
    """
    run = Run(path)
    config = _config_of(run)
    formats = formats or (
        [output.suffix.lstrip(".").lower()] if output and output.suffix else list(config.mesh.formats)
    )
    if output is not None and len(formats) > 1:
        raise InputError(f"--output {output} names one file, but there are {len(formats)} formats: leave it out")
    _check_formats(formats)
    if output is not None and output.suffix.lower() != f".{formats[0]}":
        raise InputError(f"--output {output} does not end in .{formats[0]}, the format to write")
    if texture_size is not None:
        raise InputError("textures are not baked yet: meshes carry vertex colours; leave --texture-size out")
    changes = {"resolution": resolution, "faces": faces}
    settings = config.mesh.model_copy(update={k: v for k, v in changes.items() if v is not None})
    mesh = _extract(run, config.model_copy(update={"mesh": settings}), checkpoint, console)
    return [export_mesh(mesh, output or path / f"mesh.{suffix}") for suffix in formats]


def turntable(path: Path, *, output: Path | None, console: Console) -> Path:
    """Write an animation of the run's mesh turning; returns the file."""
    run = Run(path)
    config = _config_of(run)
    return _turntable(config, _extract(run, config, None, console), output or path / "turntable.webp")


def _config_of(run: Run) -> RunConfig:
    """The run's configuration, with the prior that ``auto`` meant where the run was started."""
    config = run.config
    return config.model_copy(update={"prior": run.record["prior"]}) if config.prior == "auto" else config


def _check_formats(formats: Sequence[str]) -> None:
    """Refuse what no writer writes before any time is spent. Raises InputError."""
    for name in formats:
        if f".{name}" not in WRITERS:
            known = ", ".join(suffix.lstrip(".") for suffix in WRITERS)
            raise InputError(f"meshes cannot be written as {name!r} here: choose one of {known}")


def resolve_device(name: str) -> str:
    """``auto`` as the device that this machine has.

    Raises:
        InputError: ``cuda`` on a machine without it.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("there is no CUDA device here: use --device cpu, or auto")
    return ("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name


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
    field, background, grid = modules["field"], modules["background"], modules["grid"]
    guidance = _guidance(config, prior, generator)
    others = [field.network, field.head, *([background] if config.render.background == "learned" else [])]
    optimizer = make_optimizer(field.encoding, others, **config.optimizer.model_dump(exclude={"final_rate"}))
    return NerfStage(config, prior, guidance, NerfState(field, background, grid, optimizer, generator))


def build_image_stage(config: RunConfig, prior: Prior) -> Image2dStage:
    """The stage that trains one image, everything random drawn from the configuration's seed."""
    generator = torch.Generator().manual_seed(config.seed)
    state = image2d.make_state(config, prior, generator)
    return Image2dStage(config, prior, _guidance(config, prior, generator), state)


def _guidance(config: RunConfig, prior: Prior, generator: torch.Generator) -> ScoreDistillation:
    schedule = config.guidance.model_dump(include={"t_min", "t_max", "anneal", "t_end"})
    return ScoreDistillation(
        prior,
        config.prompt,
        schedule=Schedule(config.loop.steps, **schedule),
        generator=generator,
        negative_prompt=config.negative_prompt,
        **config.guidance.model_dump(include={"method", "clip", "norm", "scale", "weighting"}),
    )


def build_modules(config: RunConfig, device: torch.device | str) -> dict[str, Any]:
    """Field, background and occupancy grid with fresh weights."""
    channels = 4 if renders_latents(config) else 3
    return {
        "field": InstantNGP(**config.field.model_dump(), colour_channels=channels).to(device),
        "background": Background(colour_channels=channels).to(device),
        "grid": OccupancyGrid(config.render.grid_resolution).to(device),
    }


def train(run: Run, config: RunConfig, load: Callable[[], Prior], console: Console, *, label: str = "training") -> None:
    """Train (from the last checkpoint if there is one), then write what the run is for.

    ``load`` gives the prior; ``label`` names the run where its progress is reported.
    """
    timings: dict[str, float] = {}
    with run.active():
        run.update(steps=config.loop.steps)
        with _timed(timings, "load"):
            prior = load()
            stage = build_stage(config, prior) if config.task == "text" else build_image_stage(config, prior)
        state = stage.state
        with Loop(
            run,
            config.loop,
            console,
            save=state.save,
            load=state.load,
            preview=stage.preview,
            gradient=stage.gradient_picture,
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
        mesh = _extract(run, config, None, console)
        for suffix in config.mesh.formats:
            console.info(f"wrote {export_mesh(mesh, run.path / f'mesh.{suffix}')}")
    with _timed(timings, "turntable"):
        console.info(f"wrote {_turntable(config, mesh, run.path / 'turntable.webp')}")


def _extract(run: Run, config: RunConfig, checkpoint: Path | None, console: Console) -> Mesh:
    """The mesh of a checkpoint's field (the newest good one by default), coloured."""
    if config.task != "text":
        raise InputError(f"{run.path} has no mesh: its task is {config.task}, one image without a field")
    device = resolve_device(config.device)
    if checkpoint is None:
        loaded = load_latest(run.path, console.warn)
        if loaded is None:
            raise InputError(f"{run.path} has no checkpoint yet: go on with --resume {run.path}")
        _, tensors, _ = loaded
    else:
        checkpoint_step(checkpoint)
        tensors, _ = load_checkpoint(checkpoint)
    modules = build_modules(config, device)
    load_modules(modules, tensors)
    field, grid, settings = modules["field"], modules["grid"], config.mesh
    return extract_mesh(
        field.density,
        resolution=settings.resolution,
        level=settings.level,
        faces=settings.faces,
        smoothing=settings.smoothing,
        colour_fn=_colours(field, config, device),
        occupied=grid.occupied,
        elevation=config.cameras.elevation,
        device=device,
    )


def _colours(field: InstantNGP, config: RunConfig, device: str) -> Callable[[Tensor], Tensor]:
    """The field's RGB at points; latents are mapped back by the prior's linear map."""
    if not renders_latents(config):
        return lambda points: field(points, None)[1]
    source = resolve(config.prior, device)
    fitted = LinearMap.load(source.directory)
    if fitted is None or fitted.latent_to_rgb is None:
        published = source.load(device).linear_rgb_to_latent
        assert published is not None, "checked when the run was built"
        matrix, bias = inverse(published)
    else:
        matrix, bias = (tensor.to(device) for tensor in fitted.latent_to_rgb)
    return lambda points: field(points, None)[1] @ matrix + bias


def _turntable(config: RunConfig, mesh: Mesh, output: Path) -> Path:
    def frames() -> Iterator[Frame]:
        views = orbit_views(config.mesh.turntable_frames)
        for number in range(len(views)):
            size = config.mesh.turntable_size
            yield to_frames(render_mesh(mesh, views[number : number + 1], height=size, width=size).image)[0]

    save_animation(output, frames(), rate=config.mesh.turntable_frames / 4)
    return output


@contextmanager
def _timed(timings: MutableMapping[str, float], name: str) -> Iterator[None]:
    began = time.monotonic()
    yield
    timings[name] = time.monotonic() - began


def _peak_memory() -> int:
    """The largest resident size of this process so far, in bytes."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
