"""Ground-truth pictures of the procedural world by sphere tracing, on any device.

The light is a studio's: a bright sky and one soft lamp. Its directions are fixed in the world, so that a field
trained on such pictures can hold the shade in its colours without contradiction between views.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from dreampgc.cameras import Views
from dreampgc.world.scene import Scene, albedo, signed_distance

#: Functions of a scene and points ``[B,P,3]``: the distance ``[B,P]``, the colour ``[B,P,3]``.
Distance = Callable[[Scene, Tensor], Tensor]
Colour = Callable[[Scene, Tensor], Tensor]


@dataclass(frozen=True)
class Light:
    """A sky and a lamp: ``direction`` ``[B,3]`` unit vectors towards the lamp, ``strength`` ``[B]`` in [0,1]."""

    direction: Tensor
    strength: Tensor


@dataclass(frozen=True)
class Picture:
    """Ground truth of ``B`` views: ``image`` ``[B,3,H,W]`` sRGB over black (premultiplied by ``mask``).

    ``mask`` and ``depth`` are ``[B,1,H,W]`` (depth along the camera's axis, 0 outside), ``normals`` ``[B,3,H,W]`` in
    world space.
    """

    image: Tensor
    mask: Tensor
    depth: Tensor
    normals: Tensor

    def over(self, background: Tensor) -> Tensor:
        """The picture ``[B,3,H,W]`` over a flat ``background`` ``[B,3]`` or ``[3]``."""
        return self.image + (1 - self.mask) * background.reshape(-1, 3, 1, 1)


@dataclass(frozen=True)
class Surface:
    """What ``P`` rays of each of ``B`` views meet, whatever its paint and light.

    ``points`` and unit ``normals`` ``[B,P,3]``; ``hit`` ``[B,P]``, False where a ray meets nothing; ``depth`` ``[B,P]``
    along the camera's axis; ``openness`` ``[B,P]`` in (0,1], low where the surroundings are close.
    """

    points: Tensor
    normals: Tensor
    hit: Tensor
    depth: Tensor
    openness: Tensor

    def lit(self, colour: Tensor, light: Light) -> Tensor:
        """sRGB ``[B,P,3]``: the albedo ``colour`` ``[B,P,3]`` under sky and lamp, darkened where it is not open."""
        lamp = (self.normals * light.direction[:, None]).sum(-1).clamp_min(0)
        sky = 0.5 + 0.5 * self.normals[..., 1]
        strength = light.strength[:, None]
        shade = ((0.68 + 0.27 * sky) * (1 - strength) + 1.15 * strength * lamp + 0.3 * strength) * self.openness
        return (colour * shade[..., None]).clamp(0, 1)


def random_lights(count: int, generator: torch.Generator) -> Light:
    """Lamps above the horizon, from any side, faint to medium (CPU tensors, drawn from ``generator`` alone)."""
    direction = torch.randn(count, 3, generator=generator)
    direction[:, 1] = direction[:, 1].abs() + 0.8
    return Light(functional.normalize(direction, dim=-1), 0.4 * torch.rand(count, generator=generator))


def studio_light(count: int, device: torch.device | str = "cpu") -> Light:
    """The standard light: a lamp high in front, to the left of the camera in front, of medium strength."""
    direction = functional.normalize(torch.tensor([[-0.35, 0.8, 0.5]], device=device), dim=-1)
    return Light(direction.expand(count, 3), torch.full((count,), 0.25, device=device))


def render_world(
    scene: Scene,
    views: Views,
    size: int,
    *,
    light: Light | None = None,
    supersample: int = 2,
    steps: int = 40,
    distance: Distance = signed_distance,
    colour: Colour = albedo,
) -> Picture:
    """Render object ``b`` of ``scene`` from view ``b``, for every ``b``.

    ``size`` is the picture's side in pixels; each is the mean of ``supersample``² rays. ``distance`` and ``colour`` may
    be compiled.

    Raises:
        ValueError: as many views as objects are needed.
    """
    count = len(views)
    surface = trace_world(scene, views, size * supersample, steps=steps, distance=distance)
    shaded = surface.lit(colour(scene, surface.points), light or studio_light(count, surface.points.device))

    def pooled(values: Tensor, weights: Tensor) -> Tensor:
        side = size * supersample
        image = (values * weights[..., None]).reshape(count, side, side, -1).permute(0, 3, 1, 2)
        return functional.avg_pool2d(image, supersample)

    weight = surface.hit.to(shaded.dtype)
    mask = pooled(torch.ones_like(weight)[..., None], weight)
    inside = mask.clamp_min(1e-6)
    return Picture(
        image=pooled(shaded, weight),
        mask=mask,
        depth=pooled(surface.depth[..., None], weight) / inside,
        normals=functional.normalize(pooled(surface.normals, weight), dim=1),
    )


def trace_world(
    scene: Scene, views: Views, size: int, *, steps: int = 40, distance: Distance = signed_distance
) -> Surface:
    """What the ``size``² pixels of view ``b`` see of object ``b`` of ``scene``, for every ``b``; row by row.

    Raises:
        ValueError: as many views as objects are needed.
    """
    count = len(views)
    if len(scene) != count:
        raise ValueError(f"{len(scene)} objects, but {count} views")
    rays = views.rays(size, size)
    origins, directions = rays.origins.reshape(count, -1, 3), rays.directions.reshape(count, -1, 3)
    travelled, hit = _trace(scene, origins, directions, steps, distance)
    points = origins + travelled[..., None] * directions
    normals = _normals(scene, points, distance)
    depth = travelled * (directions * rays.forward.reshape(count, 1, 3)).sum(-1)
    return Surface(points, normals, hit, depth, _openness(scene, points, normals, distance))


def _trace(scene: Scene, origins: Tensor, directions: Tensor, steps: int, distance: Distance) -> tuple[Tensor, Tensor]:
    """March along the rays; returns the way travelled ``[B,P]`` and which rays hit a surface."""
    # Nothing stands farther from the origin than the corner of the cube [-0.8, 0.8]^3.
    near = -(origins * directions).sum(-1) - 1.4
    travelled = near.clamp_min(0.01)
    far = travelled + 2.8
    for _ in range(steps):
        step = distance(scene, origins + travelled[..., None] * directions)
        travelled = torch.minimum(travelled + 0.95 * step, far)
    remaining = distance(scene, origins + travelled[..., None] * directions)
    return travelled, (remaining < 4e-3) & (travelled < far)


def _normals(scene: Scene, points: Tensor, distance: Distance, width: float = 2e-3) -> Tensor:
    """Unit normals ``[B,P,3]`` by differences at the corners of a tetrahedron."""
    corners = points.new_tensor([[1, -1, -1], [-1, -1, 1], [-1, 1, -1], [1, 1, 1]])
    gradient = sum(corner * distance(scene, points + width * corner)[..., None] for corner in corners)
    return functional.normalize(torch.as_tensor(gradient), dim=-1)


def _openness(scene: Scene, points: Tensor, normals: Tensor, distance: Distance) -> Tensor:
    """How far the surroundings of each point are, near and wide: ``[B,P]`` from 0.6 to 1."""
    near = (distance(scene, points + 0.06 * normals) / 0.06).clamp(0, 1)
    wide = (distance(scene, points + 0.18 * normals) / 0.18).clamp(0, 1)
    return 0.6 + 0.2 * near + 0.2 * wide
