"""Training pictures of the procedural world, kept on the device as bytes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from dreampgc.cameras import sample_views
from dreampgc.world.objects import ATTRIBUTES, CLASSES, HELD_OUT_SEED, is_held_out, make_object
from dreampgc.world.render import Light, render_world
from dreampgc.world.scene import Scene, make_scene, needed_slots, signed_distance

ELEVATION, DISTANCE, FOV = (-15.0, 75.0), (2.1, 2.7), (40.0, 50.0)


@dataclass(frozen=True)
class Dataset:
    """``N`` pictures: ``rgba`` ``[N,4,S,S]`` uint8 (colour over black, mask), what they show and from where.

    ``name`` and ``attribute`` are indices ``[N]`` into ``CLASSES`` and ``ATTRIBUTES``; angles in degrees ``[N]``.
    """

    rgba: Tensor
    name: Tensor
    attribute: Tensor
    azimuth: Tensor
    elevation: Tensor

    def __len__(self) -> int:
        return self.rgba.shape[0]

    def over(self, index: Tensor, background: Tensor) -> Tensor:
        """Pictures ``index`` over ``background`` ``[n,3]``: ``[n,3,S,S]`` float32 in [0,1]."""
        rgba = self.rgba[index].float() / 255
        return rgba[:, :3] + (1 - rgba[:, 3:]) * background[:, :, None, None]


def random_backgrounds(count: int, generator: torch.Generator, device: torch.device | str) -> Tensor:
    """White half of the time, else a random flat colour, ``[count,3]``."""
    colour = torch.rand(count, 3, generator=generator, device=device)
    white = torch.rand(count, 1, generator=generator, device=device) < 0.5
    return torch.where(white, torch.ones_like(colour), colour)


def render_dataset(
    count: int, size: int, device: str, *, seed: int, held_out: bool = False, shapes: int = 300, chunk: int = 64
) -> Dataset:
    """Render ``count`` pictures of random objects from random views.

    Training data has seeds below ``HELD_OUT_SEED`` and no held-out pair; with ``held_out``, seeds above and any
    pair. ``shapes`` is the number of different shapes of each class.
    """
    generator = torch.Generator().manual_seed(seed)
    first = HELD_OUT_SEED if held_out else 0
    names = list(CLASSES)
    shape_list = [(name, ATTRIBUTES[0], first + k) for name in names for k in range(shapes)]
    slots = needed_slots([make_object(name, k) for name, _, k in shape_list])
    scene = make_scene(shape_list, slots).to(device)
    pairs = [(n, a) for n in range(len(names)) for a in range(len(ATTRIBUTES))]
    pairs = [p for p in pairs if held_out or not is_held_out(names[p[0]], ATTRIBUTES[p[1]])]
    pair = torch.tensor(pairs)[torch.randint(len(pairs), (count,), generator=generator)]
    shape = pair[:, 0] * shapes + torch.randint(shapes, (count,), generator=generator)
    views = sample_views(count, generator, elevation=ELEVATION, distance=DISTANCE, fov=FOV, stratified=False)
    lamps = _random_lights(count, generator)
    rgba = torch.empty(count, 4, size, size, dtype=torch.uint8, device=device)
    distance = torch.compile(signed_distance, dynamic=False) if device == "cuda" else signed_distance
    for start in range(0, count, chunk):
        # The last chunk overlaps the one before it, so that compiled code sees one shape.
        part = slice(max(0, min(start, count - chunk)), min(start + chunk, count))
        worn = [ATTRIBUTES[a] for a in pair[part, 1].tolist()]
        objects: Scene = scene[shape[part].to(device)].wearing(worn)
        light = Light(lamps.direction[part].to(device), lamps.strength[part].to(device))
        picture = render_world(objects, views[part].to(device), size, light=light, steps=32, distance=distance)
        rgba[part] = (torch.cat([picture.image, picture.mask], dim=1) * 255 + 0.5).to(torch.uint8)
    return Dataset(
        rgba, pair[:, 0].to(device), pair[:, 1].to(device), views.azimuth.to(device), views.elevation.to(device)
    )


def _random_lights(count: int, generator: torch.Generator) -> Light:
    """Lamps above the horizon, from any side, faint to medium."""
    direction = torch.randn(count, 3, generator=generator)
    direction[:, 1] = direction[:, 1].abs() + 0.8
    return Light(functional.normalize(direction, dim=-1), 0.4 * torch.rand(count, generator=generator))
