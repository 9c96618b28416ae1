#!/usr/bin/env python3
"""Make the example pictures of `dreampgc image`: two cut out, one that looks like a photo.

python scripts/make_examples.py --output examples

All show objects of the procedural world that no prior is trained on, from cameras as `dreampgc image` assumes them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from dreampgc.cameras import Views, fixed_views
from dreampgc.images import to_frames
from dreampgc.world.objects import HELD_OUT_SEED
from dreampgc.world.render import Light, Picture, render_world, studio_light
from dreampgc.world.scene import Scene, make_scene, signed_distance

#: Sphere tracing with this many steps leaves few cracks where rays only just touch a surface.
STEPS = 128
#: How far behind the object's middle the wall stands.
WALL = 1.9


def taken(name: str, attribute: str, seed: int, elevation: float, size: int) -> tuple[Scene, Views, Picture]:
    """An object, the camera 30 degrees to its side, and what that sees of it alone."""
    scene = make_scene([(name, attribute, HELD_OUT_SEED + seed)])
    views = fixed_views([30.0], elevation=elevation)
    return scene, views, render_world(scene, views, size, steps=STEPS)


def cut_out(picture: Picture) -> Image.Image:
    """The object with its alpha."""
    straight = picture.image / picture.mask.clamp_min(1e-6)
    return Image.fromarray(to_frames(torch.cat([straight, picture.mask], dim=1))[0])


def photographed(scene: Scene, views: Views, picture: Picture, generator: torch.Generator) -> Image.Image:
    """The object on a wooden table before a wall, with its shadow, through a lens that is darker at its corners."""
    size = picture.mask.shape[-1]
    rays = views.rays(size, size)
    along = picture.depth[0, 0, ..., None] / (rays.directions * rays.forward).sum(-1, keepdim=True)[0]
    points = rays.origins[0] + along * rays.directions[0]
    table = points[picture.mask[0, 0] > 0.99][:, 1].min().item()  # where its lowest visible point stands
    behind = _surroundings(scene, views, table, size, generator)
    line = torch.linspace(-1, 1, size)
    vignette = 1 - 0.13 * (line[:, None].square() + line.square())
    seen = (picture.image + (1 - picture.mask) * behind) * vignette
    return Image.fromarray(to_frames(seen + 0.006 * torch.randn(seen.shape, generator=generator))[0])


def _surroundings(scene: Scene, views: Views, table: float, size: int, generator: torch.Generator) -> Tensor:
    """Table and wall without the object, ``[1,3,S,S]``."""
    rays = views.rays(size, size)
    origin, directions = rays.origins[0, 0, 0], rays.directions[0]
    away = functional.normalize(rays.forward[0, 0, 0] * torch.tensor([1.0, 0.0, 1.0]), dim=0)
    to_wall = (WALL - origin @ away) / (directions @ away)
    down = directions[..., 1]
    to_table = torch.where(down < 0, (table - origin[1]) / down.clamp_max(-1e-4), torch.inf)
    points = origin + torch.minimum(to_table, to_wall)[..., None] * directions
    height = (points[..., 1:2] - table).clamp_min(0)
    wall = torch.tensor([0.80, 0.82, 0.84]) - height * torch.tensor([0.06, 0.05, 0.03])
    wall = wall * (0.90 + 0.10 * (height / 0.15).clamp_max(1))  # the corner is a little darker
    wood = torch.tensor([0.70, 0.57, 0.44]) * (1 + 0.10 * _grain(points, generator)[..., None])
    lit = _light_on(scene, points.reshape(1, -1, 3), studio_light(1)).reshape(size, size, 1)
    return torch.where((to_table < to_wall)[..., None], wood * lit, wall).permute(2, 0, 1)[None]


def _grain(points: Tensor, generator: torch.Generator) -> Tensor:
    """Streaks along x on a table, about in [-1, 1], at points ``[...,3]``."""
    noise = torch.randn(1, 1, 48, 12, generator=generator)
    where = torch.stack([points[..., 0] / 8, points[..., 2] / 4], dim=-1)
    streaks = functional.grid_sample(noise, where[None], mode="bicubic", padding_mode="reflection", align_corners=False)
    return streaks[0, 0] / 2


def _light_on(scene: Scene, points: Tensor, light: Light) -> Tensor:
    """How bright points ``[1,P,3]`` of a table are beside an object: a soft shadow, darkest where it touches."""
    towards = light.direction[:, None]
    free = torch.ones(points.shape[:2])
    way = torch.full_like(free, 0.02)
    for _ in range(32):
        distance = signed_distance(scene, points + way[..., None] * towards)
        free = torch.minimum(free, (4 * distance / way).clamp(0, 1))  # the lamp is wide: a near miss takes some light
        way = way + distance.clamp(0.02, 0.2)
    near = (signed_distance(scene, points) / 0.25).clamp(0, 1).sqrt()
    return (0.62 + 0.38 * free) * (0.60 + 0.40 * near)


def main() -> None:
    """Render and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("examples"))
    parser.add_argument("--size", type=int, default=512)
    arguments = parser.parse_args()
    folder, size = arguments.output, arguments.size
    folder.mkdir(parents=True, exist_ok=True)
    photo = photographed(*taken("car", "red", 0, 15.0, size), torch.Generator().manual_seed(0))
    photo.save(folder / "car.jpg", quality=90)
    cut_out(taken("dog", "orange", 1, 15.0, size)[2]).save(folder / "dog.png", optimize=True)
    cut_out(taken("teapot", "turquoise", 0, 20.0, size)[2]).save(folder / "teapot.png", optimize=True)


if __name__ == "__main__":
    main()
