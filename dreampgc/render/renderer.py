"""The renderer: views of a radiance field, differentiable in the field.

A field is any callable ``(positions, directions) -> (density, colour)``:

    >>> ball = lambda p, d: (20.0 * (p.norm(dim=-1) < 0.5), p * 0.5 + 0.5)
    >>> white = torch.ones(1, 3)
    >>> render(ball, fixed_views([0.0]), OccupancyGrid(), height=64, width=64, samples=96, background=white).image
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from dreampgc.cameras import Views
from dreampgc.ops.segments import sum_by_ray
from dreampgc.render.marching import OccupancyGrid, march
from dreampgc.render.normals import visible_normals
from dreampgc.render.room import Rooms
from dreampgc.render.shading import Shading, needs_normals, shade
from dreampgc.render.volume import over_background, sample_weights
from dreampgc.transfer import draw
from dreampgc.types import RadianceField, RenderOutput


@dataclass(frozen=True)
class _Bundle:
    """``R`` rays in one row, with what differs from ray to ray."""

    origins: Tensor  # [R,3]
    directions: Tensor  # [R,3]
    cosines: Tensor  # [R], of the angle to the camera's axis
    lights: Tensor  # [R,3]
    ambient: Tensor  # [R,1]
    background: Tensor  # [R,C]
    jitter: Tensor | None  # [R]

    def split(self, size: int) -> Iterator[_Bundle]:
        """The same rays in bundles of at most ``size``."""
        for start in range(0, len(self.origins), size):
            part = slice(start, start + size)
            yield replace(self, **{name: x[part] for name, x in vars(self).items() if x is not None})


def render(
    field: RadianceField,
    views: Views,
    grid: OccupancyGrid,
    *,
    height: int,
    width: int,
    samples: int,
    background: Tensor,
    shading: Shading = "albedo",
    light: Tensor | None = None,
    ambient: float | Tensor = 0.3,
    normals: bool = False,
    generator: torch.Generator | None = None,
    rooms: Rooms | None = None,
    chunk: int | None = None,
) -> RenderOutput:
    """Draw ``views`` of ``field`` over ``background`` (``[B,C]`` or ``[B,C,H,W]``), differentiable in the field.

    ``samples`` is the number of samples across the cube's diagonal: the step is ``2*sqrt(3)/samples`` world
    units. ``light`` ``[B,3]`` unit vectors towards the light (the camera's own by default), ``ambient`` in
    [0,1], one or ``[B]``. ``generator`` (CPU) shifts each ray's samples at random within a step. Normals are
    computed if ``shading`` needs them or ``normals`` asks for them. With ``rooms``, kept from step to step, the host
    does not wait for the device. With ``chunk``, only so many rays at a time are in memory, and computed twice.

    ``extras``: ``rays`` (numbers in ``B*H*W``), ``distances``, ``weights``, ``densities`` ``[N]`` and
    ``step`` (0-d); with normals also ``normals``, ``directions`` ``[N,3]``. With ``rooms`` also ``valid`` ``[N]``,
    which tells samples from padding, and ``whole`` (0-d): without it some were left out, and the image is wrong.
    """
    wanted = needs_normals(shading) or normals
    bundle = _bundle(views, height, width, background, light, ambient, generator)
    trace = functools.partial(_trace, field, grid=grid, step=2 * 3**0.5 / samples, shading=shading, wanted=wanted)
    pixels, extras = trace(bundle, rooms=rooms) if chunk is None else _sparing(trace, bundle, chunk)
    return _assemble(pixels, extras, (len(views), height, width), wanted)


@torch.no_grad()
def render_image(
    field: RadianceField,
    views: Views,
    grid: OccupancyGrid,
    *,
    height: int,
    width: int,
    samples: int,
    background: Tensor,
    shading: Shading = "albedo",
    light: Tensor | None = None,
    ambient: float | Tensor = 0.3,
    normals: bool = False,
    chunk: int = 2**14,
) -> RenderOutput:
    """``render`` for the eye: no gradients, no randomness, no extras, at most ``chunk`` rays in memory at a time."""
    wanted = needs_normals(shading) or normals
    bundle = _bundle(views, height, width, background, light, ambient, None)
    parts = [_trace(field, part, grid, 2 * 3**0.5 / samples, shading, wanted)[0] for part in bundle.split(chunk)]
    return _assemble(torch.cat(parts), {}, (len(views), height, width), wanted)


def _sparing(
    trace: Callable[[_Bundle], tuple[Tensor, dict[str, Tensor]]], bundle: _Bundle, chunk: int
) -> tuple[Tensor, dict[str, Tensor]]:
    """``trace`` of ``chunk`` rays at a time, of which backward computes again what it needs."""
    results = [checkpoint(trace, part, use_reentrant=False, preserve_rng_state=False) for part in bundle.split(chunk)]
    pixels, extras = zip(*results, strict=True)
    joined = {name: torch.cat([extra[name] for extra in extras]) for name in extras[0] if name != "step"}
    joined["rays"] = torch.cat([extra["rays"] + number * chunk for number, extra in enumerate(extras)])
    return torch.cat(pixels), {**joined, "step": extras[0]["step"]}


def _bundle(
    views: Views,
    height: int,
    width: int,
    background: Tensor,
    light: Tensor | None,
    ambient: float | Tensor,
    generator: torch.Generator | None,
) -> _Bundle:
    """All rays of ``views`` in one row, row-major, view after view."""
    rays = views.rays(height, width)
    shape, device = rays.directions.shape[:3], rays.directions.device
    count = shape.numel()
    light = -views.axes()[2] if light is None else light
    if not isinstance(ambient, Tensor):
        ambient = torch.full((), ambient, dtype=torch.float32, device=device)  # no copy, which would halt every step
    ambient = ambient.to(device, torch.float32).expand(len(views))
    drop = background if background.ndim == 4 else background[:, :, None, None].expand(-1, -1, height, width)
    return _Bundle(
        origins=rays.origins.reshape(count, 3),
        directions=rays.directions.reshape(count, 3),
        cosines=(rays.directions * rays.forward).sum(-1).view(count),
        lights=light[:, None, None, :].expand(*shape, 3).reshape(count, 3),
        ambient=ambient[:, None, None].expand(shape).reshape(count, 1),
        background=drop.movedim(1, -1).reshape(count, -1),
        jitter=None if generator is None else draw(lambda: torch.rand(count, generator=generator), device),
    )


def _trace(
    field: RadianceField,
    bundle: _Bundle,
    grid: OccupancyGrid,
    step: float,
    shading: Shading,
    wanted: bool,
    rooms: Rooms | None = None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Pixels ``[R, C+2(+3)]`` (colour over the background, opacity, depth, normal) and what was seen at each sample."""
    found = march(bundle.origins, bundle.directions, grid, step, bundle.jitter, rooms)
    rays, distances = found.rays, found.distances
    directions = bundle.directions[rays]
    positions = torch.addcmul(bundle.origins[rays], distances[:, None], directions)
    slots, count = rays, len(bundle.origins)
    if found.valid is not None:
        # Padding is spread over the cube and over slots of its own: in one place, its additions would wait in line.
        slots = torch.where(found.valid, rays, torch.arange(count, count + len(rays), device=rays.device))
        positions = torch.where(found.valid[:, None], positions, _spread(len(rays), positions))
    density, colour = field(positions, directions)
    if found.valid is not None:
        density = torch.where(found.valid, density, 0.0)  # so it has no weight
    weights = sample_weights(density * step, rays, count)
    extras = {"rays": rays, "distances": distances, "weights": weights, "densities": density}
    extras["step"] = torch.full((), step, dtype=density.dtype, device=density.device)
    if found.valid is not None and found.whole is not None:
        extras |= {"valid": found.valid, "whole": found.whole}
    summands = [torch.ones_like(distances)[:, None], (distances * bundle.cosines[rays])[:, None]]
    if wanted:
        normals, whole = visible_normals(field, positions, weights, rays, count, rooms)
        extras |= {"normals": normals, "directions": directions}
        if whole is not None:
            extras["whole"] = extras["whole"] & whole
        colour = shade(colour, extras["normals"], bundle.lights[rays], bundle.ambient[rays], shading)
        summands.append(extras["normals"])
    values = weights[:, None] * torch.cat([colour, *summands], dim=1)
    summed = sum_by_ray(values, slots, count if found.valid is None else count + len(rays))[:count]
    colour, opacity, depth, normal = summed.split([colour.shape[1], 1, 1, 3 if wanted else 0], dim=1)
    depth = depth / opacity.clamp_min(1e-6)  # of what was hit, not of what shines through
    normal = normal * (opacity / normal.norm(dim=1, keepdim=True).clamp_min(1e-6))
    return torch.cat([over_background(colour, opacity, bundle.background), opacity, depth, normal], dim=1), extras


def _spread(count: int, like: Tensor) -> Tensor:
    """``count`` points ``[count,3]`` evenly in [-1,1]^3: a lattice by powers of the inverse of the 3D golden ratio."""
    numbers = torch.arange(count, dtype=torch.float64, device=like.device)
    axes = [(numbers * step).frac() * 2 - 1 for step in (0.8191725, 0.6710436, 0.5497005)]
    return torch.stack(axes, dim=1).to(like.dtype)


def _assemble(pixels: Tensor, extras: dict[str, Tensor], shape: tuple[int, int, int], wanted: bool) -> RenderOutput:
    """``RenderOutput`` of ``shape`` (B, H, W) from pixels in one row."""
    planes = pixels.view(*shape, -1).permute(0, 3, 1, 2)
    normals = 3 if wanted else 0
    parts = planes.split([planes.shape[1] - 2 - normals, 1, 1, normals], dim=1)
    image, opacity, depth, normal = (part.contiguous() for part in parts)
    return RenderOutput(image, opacity, depth, normal if wanted else None, extras)
