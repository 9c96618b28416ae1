"""Objects of the procedural world, photographed: over backgrounds that are not plain, with the true mask known."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from dreampgc.cameras import fixed_views
from dreampgc.world.render import render_world
from dreampgc.world.scene import Item, make_scene

Floats = NDArray[np.floating[Any]]

#: (class, attribute, seed) and the azimuth that it is seen from.
SITTERS: list[tuple[Item, float]] = [
    (("dog", "brown", 3), 30),
    (("teapot", "blue", 0), 0),
    (("car", "red", 0), 30),
    (("duck", "yellow", 0), 0),
    (("elephant", "turquoise", 1), 30),
    (("penguin", "black", 2), 0),
    (("robot", "orange", 3), 30),
    (("rabbit", "brown", 1), 0),
    (("chair", "wooden", 1), 30),
    (("cactus", "green", 0), 0),
]


@dataclass(frozen=True)
class Staged:
    """A photo ``[S,S,3]`` uint8, the object's true share of each pixel ``[S,S]`` and its own colour ``[S,S,3]``."""

    name: str
    photo: NDArray[np.uint8]
    mask: Floats
    colour: Floats


def _grid(size: int) -> tuple[Floats, Floats]:
    """x to the right and y downward, each ``[S,S]`` in [-1, 1]."""
    x, y = np.meshgrid(np.linspace(-1, 1, size), np.linspace(-1, 1, size))
    return x, y


def _smooth_noise(size: int, width: float, rng: np.random.Generator) -> Floats:
    """``[S,S,1]`` of standard deviation 1, smooth over ``width`` pixels."""
    noise = np.asarray(cv2.GaussianBlur(rng.standard_normal((size, size)), (0, 0), width))
    return (noise / noise.std())[..., None]


def gradient(size: int, mask: Floats, rng: np.random.Generator) -> Floats:
    """A wall that is lit from one side."""
    x, y = _grid(size)
    along = ((0.7 * x + 0.5 * y) / 2.4 + 0.5)[..., None]
    return np.array([0.82, 0.84, 0.88]) * along + np.array([0.52, 0.56, 0.66]) * (1 - along)


def noise(size: int, mask: Floats, rng: np.random.Generator) -> Floats:
    """A rough plaster: blotches and grain."""
    return np.array([0.80, 0.76, 0.70]) + 0.02 * _smooth_noise(size, 5, rng) + 0.03 * _smooth_noise(size, 0.6, rng)


def vignette(size: int, mask: Floats, rng: np.random.Generator) -> Floats:
    """A plain screen through a lens that darkens the corners."""
    x, y = _grid(size)
    return np.array([0.68, 0.78, 0.74]) * (1.05 - 0.22 * (x**2 + y**2))[..., None]


def table(size: int, mask: Floats, rng: np.random.Generator) -> Floats:
    """A table with its edge behind the object, a wall above, and the object's soft shadow on the table."""
    x, y = _grid(size)
    edge = 1 / (1 + np.exp(-(y - 0.05 * x - 0.15) * 60))[..., None]
    wall = np.array([0.86, 0.85, 0.83]) - 0.05 * x[..., None]
    wood = np.array([0.78, 0.70, 0.60]) + 0.012 * _smooth_noise(size, 2.5, rng)
    foot = np.asarray(cv2.GaussianBlur(np.roll(mask, (size // 24, size // 16), (0, 1)), (0, 0), size / 20))[..., None]
    return (wall * (1 - edge) + wood * edge) * (1 - 0.3 * foot * edge)


BACKGROUNDS: list[Callable[[int, Floats, np.random.Generator], Floats]] = [gradient, noise, vignette, table]


def stage(size: int = 96, each: int = 2) -> Iterator[Staged]:
    """Every sitter over ``each`` of the backgrounds in turn, with a sensor's noise."""
    for number, (item, azimuth) in enumerate(SITTERS):
        view = fixed_views([azimuth], elevation=15.0, distance=2.5)
        picture = render_world(make_scene([item]), view, size)
        mask = picture.mask[0, 0].numpy()
        premultiplied = picture.image[0].permute(1, 2, 0).numpy()
        for turn in range(each):
            background = BACKGROUNDS[(number * each + turn) % len(BACKGROUNDS)]
            rng = np.random.default_rng(100 * number + turn)
            behind = background(size, mask, rng)
            seen = premultiplied + (1 - mask[..., None]) * behind + 0.008 * rng.standard_normal(behind.shape)
            photo = (seen.clip(0, 1) * 255).round().astype(np.uint8)
            name = f"{item[1]} {item[0]}, {background.__name__}"
            yield Staged(name, photo, mask, premultiplied / np.maximum(mask, 1e-6)[..., None])


def intersection_over_union(found: NDArray[np.bool_], true: NDArray[np.bool_]) -> float:
    """Of two masks of one shape."""
    return float((found & true).sum() / (found | true).sum())
