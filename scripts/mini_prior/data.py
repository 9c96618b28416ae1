"""Training pictures of the procedural world, kept on the device as bytes."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.fx.experimental import _config as symbolic_shapes  # torch has this switch nowhere else

from dreampgc.cameras import sample_views
from dreampgc.world.objects import CARRIERS, CLASSES, HELD_OUT_SEED, Caption
from dreampgc.world.paints import ATTRIBUTES
from dreampgc.world.render import Distance, Light, random_lights, render_world
from dreampgc.world.scene import (
    Item,
    Pair,
    Scene,
    albedo,
    make_scene,
    needed_slots,
    sculpt,
    signed_distance,
    upper_and_base,
)

ELEVATION, DISTANCE, FOV = (-15.0, 75.0), (2.1, 2.7), (40.0, 50.0)
NAMES = list(CLASSES)
#: What stands for "no base" in `Dataset.objects`.
NONE = -1


@dataclass(frozen=True)
class Dataset:
    """``N`` pictures: ``rgba`` ``[N,4,S,S]`` uint8 (colour over black, mask), what they show and from where.

    ``objects`` ``[N,4]`` are class and attribute of the upper (or only) object, then of its base or `NONE`, as indices
    into ``NAMES`` and ``ATTRIBUTES``; ``azimuth`` and ``elevation`` ``[N]`` are in degrees, ``distance`` ``[N]`` in
    world units. Each ``views`` pictures in a row are a group: one object, one paint and one light, from several sides.
    """

    rgba: Tensor
    objects: Tensor
    azimuth: Tensor
    elevation: Tensor
    distance: Tensor
    views: int = 1

    def __len__(self) -> int:
        return self.rgba.shape[0]

    def over(self, index: Tensor, background: Tensor) -> Tensor:
        """Pictures ``index`` over ``background`` ``[n,3]``: ``[n,3,S,S]`` float32 in [0,1]."""
        rgba = self.rgba[index].float() / 255
        return rgba[:, :3] + (1 - rgba[:, 3:]) * background[:, :, None, None]

    def over_white(self, index: Tensor) -> Tensor:
        """Pictures ``index`` over white as bytes, ``[n,3,S,S]`` uint8: exact, for no colour is above its mask."""
        rgba = self.rgba[index]
        return rgba[:, :3] + (255 - rgba[:, 3:])

    def save(self, path: Path) -> None:
        """Write everything into one file, whole or not at all."""
        temporary = path.with_suffix(".tmp")
        tensors = {name: tensor.cpu() for name, tensor in self._tensors().items()}
        torch.save({**tensors, "views": self.views}, temporary)
        temporary.replace(path)

    @classmethod
    def load(cls, path: Path, device: str) -> Dataset:
        """Read what `save` wrote."""
        return cls(**torch.load(path, map_location=device, weights_only=True, mmap=True))

    @classmethod
    def joined(cls, parts: Sequence[Dataset]) -> Dataset:
        """All pictures of some data sets, whose groups are of one size.

        Raises:
            ValueError: they are not.
        """
        if len({part.views for part in parts}) != 1:
            raise ValueError(f"groups of {' and '.join(str(part.views) for part in parts)} views do not join")
        tensors = [part._tensors() for part in parts]
        return cls(**{name: torch.cat([each[name] for each in tensors]) for name in tensors[0]}, views=parts[0].views)

    def _tensors(self) -> dict[str, Tensor]:
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != "views"}


def random_backgrounds(count: int, generator: torch.Generator, device: torch.device | str) -> Tensor:
    """White half of the time, else a random flat colour, ``[count,3]``."""
    colour = torch.rand(count, 3, generator=generator, device=device)
    white = torch.rand(count, 1, generator=generator, device=device) < 0.5
    return torch.where(white, torch.ones_like(colour), colour)


def draw_shapes(rng: random.Random, shapes: int, *, first: int, held_out: bool) -> list[Item | Pair]:
    """``shapes`` seeds from ``first`` on of each class, in red, and as many pairs again as a third of that.

    Unless ``held_out``, no pair of classes that is held out.
    """
    singles: list[Item | Pair] = [(name, "red", first + k) for name in NAMES for k in range(shapes)]
    bases = [(n, b) for n in NAMES for b in CARRIERS if held_out or not Caption(n, base=Caption(b)).held_out]
    pairs: list[Item | Pair] = []
    for _ in range(-(-len(singles) // 3)):
        name, base = rng.choice(bases)
        pairs.append(((name, "red", first + rng.randrange(shapes)), (base, "red", first + rng.randrange(shapes))))
    return singles + pairs


def draw_attributes(rng: random.Random, item: Item | Pair, *, held_out: bool) -> tuple[str, str]:
    """Attributes for the upper object and the base; unless ``held_out``, none that is held out with its class."""
    upper, base = upper_and_base(item)
    names = upper[0], (base or upper)[0]
    allowed = [[a for a in ATTRIBUTES if held_out or not Caption(name, a).held_out] for name in names]
    return rng.choice(allowed[0]), rng.choice(allowed[1])


def render_dataset(
    count: int,
    size: int,
    device: str,
    *,
    seed: int,
    held_out: bool = False,
    shapes: int = 300,
    views: int = 1,
    distance: tuple[float, float] = DISTANCE,
    fov: tuple[float, float] = FOV,
    chunk: int = 64,
) -> Dataset:
    """Render ``count`` pictures of random objects from random cameras, a quarter of them pairs, in groups of ``views``.

    Training data has seeds below ``HELD_OUT_SEED`` and nothing that `Caption.held_out` names; with ``held_out``, seeds
    above and anything. ``shapes`` is the number of different shapes of each class; cameras are uniform in the ranges
    ``distance`` (world units) and ``fov`` (degrees).

    Raises:
        ValueError: ``count`` is no multiple of ``views``.
    """
    if count % views:
        raise ValueError(f"{count} pictures are no whole groups of {views}")
    rng, generator = random.Random(seed), torch.Generator().manual_seed(seed)
    items = draw_shapes(rng, shapes, first=HELD_OUT_SEED if held_out else 0, held_out=held_out)
    shown = sorted(rng.randrange(len(items)) for _ in range(count // views))
    worn = [draw_attributes(rng, items[k], held_out=held_out) for k in shown]
    cameras = sample_views(count, generator, elevation=ELEVATION, distance=distance, fov=fov, stratified=False)
    lamps = random_lights(count // views, generator)
    rgba = torch.empty(count, 4, size, size, dtype=torch.uint8, device=device)
    shape, colour = signed_distance, albedo
    if device == "cuda" and count > 4096:
        shape, colour = compiled_once(shape), compiled_once(colour)
    for scene, pictures in _batches(items, shown, views):
        for start in range(0, len(pictures), chunk):
            # The last chunk overlaps the one before it, so that compiled code sees one batch size.
            low = max(0, min(start, len(pictures) - chunk))
            part = torch.tensor([number for number, _ in pictures[low : low + chunk]])
            rows = torch.tensor([row for _, row in pictures[low : low + chunk]])
            look = part // views
            objects = scene[rows].wearing([worn[k] for k in look.tolist()]).to(device)
            light = Light(lamps.direction[look].to(device), lamps.strength[look].to(device))
            picture = render_world(
                objects, cameras[part].to(device), size, light=light, steps=32, distance=shape, colour=colour
            )
            rgba[part.to(device)] = (torch.cat([picture.image, picture.mask], dim=1) * 255 + 0.5).to(torch.uint8)
    objects = torch.tensor([_numbers(items[k], w) for k, w in zip(shown, worn, strict=True)])
    told = (objects.repeat_interleave(views, dim=0), cameras.azimuth, cameras.elevation, cameras.distance)
    return Dataset(rgba, *(tensor.to(device) for tensor in told), views=views)


def compiled_once(function: Distance, backend: Any = "inductor") -> Distance:
    """``function`` compiled for scenes with any numbers of slots and points.

    The compiler takes sizes that happen to be equal for one and the same, and would start again, half a minute each
    time, whenever they differ.
    """
    compiled = torch.compile(function, dynamic=True, backend=backend)

    def call(scene: Scene, points: Tensor) -> Tensor:
        with symbolic_shapes.patch(use_duck_shape=False):
            return compiled(scene, points)

    return call


def _batches(
    items: list[Item | Pair], shown: list[int], views: int, batches: int = 96
) -> Iterator[tuple[Scene, list[tuple[int, int]]]]:
    """Scenes of objects that need about as many slots, each with its pictures: (number of the picture, row)."""
    pictures: dict[int, list[int]] = {}
    for look, k in enumerate(shown):
        pictures.setdefault(k, []).extend(range(look * views, (look + 1) * views))
    parts = {k: sculpt(items[k]) for k in pictures}
    order = sorted(parts, key=lambda k: len(parts[k]))
    share = -(-len(order) // batches)
    for start in range(0, len(order), share):
        batch = order[start : start + share]
        # At least two: compilers treat a single one as another program.
        slots = {kind: max(2, number) for kind, number in needed_slots([parts[k] for k in batch]).items()}
        rows = [(number, row) for row, k in enumerate(batch) for number in pictures[k]]
        yield make_scene([items[k] for k in batch], slots), rows


def _numbers(item: Item | Pair, worn: tuple[str, str]) -> list[int]:
    """A row of `Dataset.objects`."""
    upper, base = upper_and_base(item)
    row = [NAMES.index(upper[0]), ATTRIBUTES.index(worn[0])]
    return row + ([NAMES.index(base[0]), ATTRIBUTES.index(worn[1])] if base else [NONE, NONE])
