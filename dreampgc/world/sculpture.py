"""What a recipe sculpts with: boxes, balls, cones and rings, each painted or left for the attribute.

Lengths are free: `Sculpture.parts` centres the finished object and scales it into the world's
[-0.8, 0.8]^3. +y is up and the front faces +z.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Vector = tuple[float, float, float]
#: The primitives, in the order in which a `Scene` packs them.
KINDS = ("box", "ball", "cone", "ring")
#: Half of the longest side of a finished object at most, and its reach from the origin at most, in world units.
EXTENT, REACH = 0.8, 1.0
#: For what stands on both sides.
LEFT_RIGHT = (-1, 1)


@dataclass(frozen=True)
class Part:
    """One primitive: ``center``, ``rotation`` (Euler angles x, y, z in degrees), ``size`` and ``rounding``.

    ``size`` is half-extents of a box, radii of a ball, (bottom radius, half-height, top radius) of a
    cone standing on y, (radius, tube radius, 0) of a ring lying in the xz plane. ``paint`` is sRGB, or None where
    the object's attribute (a colour or a material) shows, made darker or lighter by ``tint``. ``owner`` tells the two
    objects of a pair apart: 0 for the upper (or only) one, 1 for the one that carries it.
    """

    kind: str
    center: Vector
    size: Vector
    rotation: Vector = (0.0, 0.0, 0.0)
    rounding: float = 0.0
    paint: Vector | None = None
    tint: float = 1.0
    owner: int = 0

    def matrix(self) -> NDArray[np.float64]:
        """The rotation ``[3,3]`` from the part's frame to the object's: about z, then y, then x."""
        if not any(self.rotation):
            return np.eye(3)
        x, y, z = np.deg2rad(self.rotation)
        about_x = np.array([[1, 0, 0], [0, np.cos(x), -np.sin(x)], [0, np.sin(x), np.cos(x)]])
        about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
        about_z = np.array([[np.cos(z), -np.sin(z), 0], [np.sin(z), np.cos(z), 0], [0, 0, 1]])
        return about_x @ about_y @ about_z

    def reach(self) -> float:
        """The radius of a ball around the part's centre that holds it."""
        a, b, c = self.size
        return {
            "box": np.hypot(np.hypot(a, b), c),
            "ball": max(a, b, c),
            "cone": np.hypot(max(a, c), b),
            "ring": a + b,
        }[self.kind]

    def bounds(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Lower and upper corner ``[3]`` of a box around the part."""
        a, b, c = self.size
        half = {
            "box": (a, b, c),
            "ball": (a, b, c),
            "cone": (max(a, c), b, max(a, c)),
            "ring": (a + b, b, a + b),
        }[self.kind]
        matrix = self.matrix()
        # A ball's extent along an axis is a norm, a box's is a sum: the sum would shrink turned balls' objects.
        reach = np.sqrt((matrix**2) @ np.square(half)) if self.kind == "ball" else np.abs(matrix) @ np.array(half)
        return np.array(self.center) - reach, np.array(self.center) + reach


class Sculpture:
    """An object in the making; ``rng`` decides everything that a seed may vary."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self._parts: list[Part] = []
        self.stand: tuple[Vector, float] | None = None

    def vary(self, low: float, high: float) -> float:
        """A number between ``low`` and ``high``."""
        return self.rng.uniform(low, high)

    def box(self, center: Vector, half: Vector, *, rounding: float = 0.02, **look: Any) -> None:
        """A box with half-extents ``half`` and rounded edges."""
        self._parts.append(Part("box", center, half, rounding=min(rounding, 0.9 * min(half)), **look))

    def ball(self, center: Vector, radii: float | Vector, **look: Any) -> None:
        """A sphere or an ellipsoid."""
        radii = radii if isinstance(radii, tuple) else (radii, radii, radii)
        self._parts.append(Part("ball", center, radii, **look))

    def cone(self, center: Vector, bottom: float, top: float, half_height: float, **look: Any) -> None:
        """A cone or cylinder standing on y, its centre at half its height."""
        self._parts.append(Part("cone", center, (bottom, half_height, top), **look))

    def ring(self, center: Vector, radius: float, tube: float, **look: Any) -> None:
        """A torus lying in the xz plane."""
        self._parts.append(Part("ring", center, (radius, tube, 0.0), **look))

    def carry(self, center: Vector, radius: float) -> None:
        """Another object can stand here, its foot at ``center`` and no wider than a disc of ``radius``."""
        self.stand = center, radius

    def put_on(self, parts: list[Part]) -> None:
        """Stand a finished object where this one can carry it; from then on these parts belong to owner 1."""
        assert self.stand is not None, "this object carries nothing"
        (x, y, z), radius = self.stand
        low, high = bounds_of(parts)
        scale = float(min(2 * radius / max(high[0] - low[0], high[2] - low[2]), 2.4 * radius / (high[1] - low[1])))
        # A little sunk in, so that the two are one solid.
        foot = np.array([x, y - low[1] * scale - 0.02, z])
        self._parts = [replace(part, owner=1) for part in self._parts]
        self._parts += [_moved(part, scale, foot) for part in parts]

    def parts(self) -> list[Part]:
        """All parts, centred on the origin and as large as ``EXTENT`` and ``REACH`` allow."""
        low, high = bounds_of(self._parts)
        middle = (low + high) / 2
        reach = max(np.linalg.norm(p.center - middle) + p.reach() for p in self._parts)
        scale = float(min(2 * EXTENT / (high - low).max(), REACH / reach))
        return [_moved(part, scale, -middle * scale) for part in self._parts]


def bounds_of(parts: list[Part]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lower and upper corner ``[3]`` of a box around all ``parts``."""
    corners = np.array([part.bounds() for part in parts])
    return corners[:, 0].min(axis=0), corners[:, 1].max(axis=0)


def _moved(part: Part, scale: float, offset: NDArray[np.float64]) -> Part:
    """The part scaled about the origin, then moved by ``offset`` ``[3]``."""
    return replace(
        part,
        center=tuple((np.array(part.center) * scale + offset).tolist()),
        size=tuple(s * scale for s in part.size),
        rounding=part.rounding * scale,
    )
