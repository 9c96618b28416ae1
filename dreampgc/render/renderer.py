"""The renderer: views of a radiance field, differentiable in the field.

A field is any callable ``(positions, directions) -> (density, colour)``:

    >>> ball = lambda p, d: (20.0 * (p.norm(dim=-1) < 0.5), p * 0.5 + 0.5)
    >>> white = torch.ones(1, 3)
    >>> render(ball, fixed_views([0.0]), OccupancyGrid(), height=64, width=64, samples=96, background=white).image
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from dreampgc.cameras import Views
from dreampgc.ops.segments import sum_before, sum_by_ray
from dreampgc.render.marching import OccupancyGrid, march
from dreampgc.render.shading import Shading, density_normals, needs_normals, shade
from dreampgc.render.volume import over_background, sample_weights
from dreampgc.types import RadianceField, RenderOutput

_FAINT = 1e-3  # weight below which nobody sees a sample's normal
_PLACES = 4  # at most, on each ray, where normals are evaluated: each costs four densities


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
) -> RenderOutput:
    """Draw ``views`` of ``field`` over ``background`` (``[B,C]`` or ``[B,C,H,W]``), differentiable in the field.

    ``samples`` is the number of samples across the cube's diagonal: the step is ``2*sqrt(3)/samples`` world
    units. ``light`` ``[B,3]`` unit vectors towards the light (the camera's own by default), ``ambient`` in
    [0,1], one or ``[B]``. ``generator`` (CPU) shifts each ray's samples at random within a step. Normals are
    computed if ``shading`` needs them or ``normals`` asks for them.

    ``extras``: ``rays`` (numbers in ``B*H*W``), ``distances``, ``weights``, ``densities`` ``[N]`` and
    ``step`` (0-d); with normals also ``normals``, ``directions`` ``[N,3]``.
    """
    wanted = needs_normals(shading) or normals
    bundle = _bundle(views, height, width, background, light, ambient, generator)
    pixels, extras = _trace(field, bundle, grid, 2 * 3**0.5 / samples, shading, wanted)
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
    ambient = torch.as_tensor(ambient, device=device, dtype=torch.float32).expand(len(views))
    drop = background if background.ndim == 4 else background[:, :, None, None].expand(-1, -1, height, width)
    return _Bundle(
        origins=rays.origins.reshape(count, 3),
        directions=rays.directions.reshape(count, 3),
        cosines=(rays.directions * rays.forward).sum(-1).view(count),
        lights=light[:, None, None, :].expand(*shape, 3).reshape(count, 3),
        ambient=ambient[:, None, None].expand(shape).reshape(count, 1),
        background=drop.movedim(1, -1).reshape(count, -1),
        jitter=None if generator is None else torch.rand(count, generator=generator).to(device),
    )


def _trace(
    field: RadianceField, bundle: _Bundle, grid: OccupancyGrid, step: float, shading: Shading, wanted: bool
) -> tuple[Tensor, dict[str, Tensor]]:
    """Pixels ``[R, C+2(+3)]`` (colour over the background, opacity, depth, normal) and what was seen at each sample."""
    found = march(bundle.origins, bundle.directions, grid, step, bundle.jitter)
    rays, distances = found.rays, found.distances
    directions = bundle.directions[rays]
    positions = torch.addcmul(bundle.origins[rays], distances[:, None], directions)
    density, colour = field(positions, directions)
    weights = sample_weights(density * step, rays)
    extras = {"rays": rays, "distances": distances, "weights": weights, "densities": density}
    extras["step"] = density.new_tensor(step)
    summands = [torch.ones_like(distances)[:, None], (distances * bundle.cosines[rays])[:, None]]
    if wanted:
        extras |= {"normals": _visible_normals(field, positions, weights, rays), "directions": directions}
        colour = shade(colour, extras["normals"], bundle.lights[rays], bundle.ambient[rays], shading)
        summands.append(extras["normals"])
    summed = sum_by_ray(weights[:, None] * torch.cat([colour, *summands], dim=1), rays, len(bundle.origins))
    colour, opacity, depth, normal = summed.split([colour.shape[1], 1, 1, 3 if wanted else 0], dim=1)
    depth = depth / opacity.clamp_min(1e-6)  # of what was hit, not of what shines through
    normal = normal * (opacity / normal.norm(dim=1, keepdim=True).clamp_min(1e-6))
    return torch.cat([over_background(colour, opacity, bundle.background), opacity, depth, normal], dim=1), extras


def _visible_normals(field: RadianceField, positions: Tensor, weights: Tensor, rays: Tensor) -> Tensor:
    """Normals ``[N,3]`` of the samples that can be seen, zero for the rest.

    The samples of one quantile of a ray's weight share the normal of the middle one: a soft surface, dozens of
    samples deep, costs no more than a hard one.
    """
    weights = weights.detach()
    visible = (weights > _FAINT).nonzero()[:, 0]
    middle = sum_before(weights, rays) + weights / 2  # of the sample, in the ray's accumulated weight
    opacity = sum_by_ray(weights[:, None], rays, int(rays[-1]) + 1 if len(rays) else 0)[rays, 0]
    quantile = (_PLACES * middle / opacity.clamp_min(_FAINT)).long().clamp_(max=_PLACES - 1)
    _, group, sizes = torch.unique_consecutive(
        (rays * _PLACES + quantile)[visible], return_inverse=True, return_counts=True
    )
    chosen = visible[sizes.cumsum(0) - (sizes + 1) // 2]
    normals = density_normals(lambda points: field(points, None)[0], positions[chosen])
    return torch.zeros_like(positions).index_copy(0, visible, normals.index_select(0, group))


def _assemble(pixels: Tensor, extras: dict[str, Tensor], shape: tuple[int, int, int], wanted: bool) -> RenderOutput:
    """``RenderOutput`` of ``shape`` (B, H, W) from pixels in one row."""
    planes = pixels.view(*shape, -1).permute(0, 3, 1, 2)
    normals = 3 if wanted else 0
    parts = planes.split([planes.shape[1] - 2 - normals, 1, 1, normals], dim=1)
    image, opacity, depth, normal = (part.contiguous() for part in parts)
    return RenderOutput(image, opacity, depth, normal if wanted else None, extras)
