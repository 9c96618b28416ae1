"""A run's trained field, brought back from one of its checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dreampgc.checkpoint import checkpoint_step, checkpoints, load_checkpoint, load_latest
from dreampgc.config import RunConfig
from dreampgc.console import Console
from dreampgc.errors import InputError
from dreampgc.field import Background, InstantNGP
from dreampgc.priors.catalog import resolve
from dreampgc.priors.linear import LinearMap, inverse
from dreampgc.render import OccupancyGrid
from dreampgc.runs import Run
from dreampgc.stages.nerf import renders_latents
from dreampgc.stages.state import load_modules
from dreampgc.types import RadianceField


@dataclass(frozen=True)
class TrainedField:
    """A field that is no longer trained.

    ``density`` takes ``[N,3]`` to ``[N]``, ``radiance`` gives colours in sRGB even where the run rendered latents,
    ``grid`` says where there is anything, ``detail`` is the size of the field's finest cell in world units.
    """

    density: Callable[[Tensor], Tensor]
    radiance: RadianceField
    grid: OccupancyGrid
    detail: float
    device: str


def load_field(run: Run, config: RunConfig, step: int | None, console: Console) -> TrainedField:
    """The field of the checkpoint after ``step`` steps, or of the newest good one; ``config`` is the run's.

    Raises:
        InputError: the run has no such checkpoint or no field at all, or the checkpoint is damaged.
    """
    if config.task == "image2d":
        raise InputError(f"{run.path} has no mesh: its task is {config.task}, one image without a field")
    tensors = _tensors(run, step, console)
    device = resolve_device(config.device)
    modules = build_modules(config, device)
    load_modules(modules, tensors)
    field, grid = modules["field"], modules["grid"]
    detail = 2 / config.field.max_resolution
    return TrainedField(field.density, _in_rgb(field, config, device), grid, detail, device)


def config_of(run: Run) -> RunConfig:
    """The run's configuration, with the priors that ``auto`` meant where the run was started."""
    config = run.config  # the record is only read where something is to be learned from it
    if config.prior == "auto":
        config = config.model_copy(update={"prior": run.record["prior"]})
    if config.task == "image" and config.image.text_prior == "auto" and "text_prior" in run.record:
        image = config.image.model_copy(update={"text_prior": run.record["text_prior"]})
        config = config.model_copy(update={"image": image})
    return config


def resolve_device(name: str) -> str:
    """``auto`` as the device that this machine has.

    Raises:
        InputError: ``cuda`` on a machine without it.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("there is no CUDA device here: use --device cpu, or auto")
    return ("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name


def build_modules(config: RunConfig, device: torch.device | str) -> dict[str, Any]:
    """Field, background and occupancy grid with fresh weights."""
    channels = 4 if renders_latents(config) else 3
    return {
        "field": InstantNGP(**config.field.model_dump(), colour_channels=channels).to(device),
        "background": Background(colour_channels=channels).to(device),
        "grid": OccupancyGrid(config.render.grid_resolution).to(device),
    }


def _tensors(run: Run, step: int | None, console: Console) -> dict[str, Tensor]:
    if step is None:
        loaded = load_latest(run.path, console.warn)
        if loaded is None:
            raise InputError(f"{run.path} has no checkpoint yet: go on with --resume {run.path}")
        return loaded[1]
    kept = {checkpoint_step(path): path for path in checkpoints(run.path)}
    if step not in kept:
        there = ", ".join(map(str, sorted(kept))) or "none"
        raise InputError(f"{run.path} has no checkpoint of step {step}; it has {there}")
    return load_checkpoint(kept[step])[0]


def _in_rgb(field: InstantNGP, config: RunConfig, device: str) -> RadianceField:
    """The field with colours in RGB; latents are mapped back by the prior's linear map."""
    if not renders_latents(config):
        return field
    source = resolve(config.prior, device)
    fitted = LinearMap.load(source.directory)
    if fitted is None or fitted.latent_to_rgb is None:
        published = source.load(device).linear_rgb_to_latent
        assert published is not None, "checked when the run was built"
        matrix, bias = inverse(published)
    else:
        matrix, bias = (tensor.to(device) for tensor in fitted.latent_to_rgb)

    def mapped(positions: Tensor, directions: Tensor | None) -> tuple[Tensor, Tensor]:
        density, latents = field(positions, directions)
        return density, latents @ matrix + bias

    return mapped
