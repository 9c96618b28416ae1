"""The object recipes, the colours and the materials. To add a class, write one function of this shape:

    @recipe
    def snowman(s: Sculpture) -> None:
        s.ball((0, 0.0, 0), 0.45)
        s.ball((0, 0.6, 0), 0.3)
        s.cone((0, 0.6, 0.4), 0.06, 0.0, 0.12, rotation=(90, 0, 0), paint=ORANGE)

What has no ``paint`` takes the object's attribute. ``s.vary`` makes one seed's object differ from another's.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from math import cos, radians, sin

from dreampgc.world.paints import (
    ATTRIBUTES,
    BARK,
    CREAM,
    DOOR,
    GLASS,
    INK,
    LIGHT,
    METAL,
    ORANGE,
    RED,
    SNOW,
    TIRE,
)
from dreampgc.world.sculpture import Part, Sculpture

#: Objects with this seed and above are never trained on.
HELD_OUT_SEED = 1_000_000

CLASSES: dict[str, Callable[[Sculpture], None]] = {}
LEFT_RIGHT = (-1, 1)


def recipe(function: Callable[[Sculpture], None]) -> Callable[[Sculpture], None]:
    """Make ``function`` the recipe of the class that bears its name."""
    CLASSES[function.__name__] = function
    return function


def make_object(name: str, seed: int) -> list[Part]:
    """The parts of object number ``seed`` of class ``name``, in [-0.8, 0.8]^3.

    Raises:
        KeyError: there is no class ``name``.
    """
    sculpture = Sculpture(random.Random(f"{name}-{seed}"))
    CLASSES[name](sculpture)
    return sculpture.parts()


def is_held_out(name: str, attribute: str) -> bool:
    """Whether no prior is ever trained on this pair: a tenth of all pairs, to measure what priors generalise."""
    return (7 * list(CLASSES).index(name) + 3 * ATTRIBUTES.index(attribute) + 1) % 10 == 0


def caption(name: str, attribute: str | None = None) -> str:
    """The object in words: "a wooden car", "an airplane"."""
    words = f"{attribute} {name}" if attribute else name
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


@recipe
def car(s: Sculpture) -> None:
    length, height = s.vary(0.74, 0.86), s.vary(0.12, 0.15)
    s.box((0, 0, 0), (0.36, height, length), rounding=0.07)
    s.box((0, height + 0.12, -0.08), (0.30, 0.13, s.vary(0.38, 0.46)), rounding=0.06, paint=GLASS)
    s.box((0, height + 0.26, -0.08), (0.30, 0.04, s.vary(0.36, 0.42)), rounding=0.03)
    for x in LEFT_RIGHT:
        s.ball((0.23 * x, 0.02, length), (0.07, 0.07, 0.04), paint=LIGHT)
        s.box((0.25 * x, 0.02, -length), (0.06, 0.04, 0.02), paint=RED)
        for z in LEFT_RIGHT:
            s.cone((0.34 * x, -height, 0.5 * z * length / 0.8), 0.17, 0.17, 0.07, rotation=(0, 0, 90), paint=TIRE)
            s.cone((0.36 * x, -height, 0.5 * z * length / 0.8), 0.08, 0.08, 0.07, rotation=(0, 0, 90), paint=METAL)


@recipe
def chair(s: Sculpture) -> None:
    width, leg = s.vary(0.34, 0.42), s.vary(0.30, 0.38)
    s.box((0, 0, 0), (width, 0.05, width))
    s.box((0, 0.50, -width + 0.04), (width, s.vary(0.26, 0.34), 0.05), rounding=0.03)
    for x in LEFT_RIGHT:
        s.box(((width - 0.06) * x, 0.15, -width + 0.04), (0.04, 0.15, 0.04), tint=0.8)
        for z in LEFT_RIGHT:
            s.box(((width - 0.06) * x, -leg, (width - 0.06) * z), (0.05, leg, 0.05), tint=0.8)


@recipe
def table(s: Sculpture) -> None:
    width, depth, leg = s.vary(0.66, 0.8), s.vary(0.42, 0.52), s.vary(0.34, 0.42)
    s.box((0, 0, 0), (width, 0.06, depth), rounding=0.03)
    for x in LEFT_RIGHT:
        for z in LEFT_RIGHT:
            s.cone(((width - 0.1) * x, -leg, (depth - 0.1) * z), 0.05, 0.07, leg, tint=0.8)


@recipe
def mug(s: Sculpture) -> None:
    height, radius = s.vary(0.40, 0.50), s.vary(0.36, 0.42)
    s.cone((0, 0, 0), radius * s.vary(0.88, 1.0), radius, height)
    s.cone((0, height, 0), radius * 0.84, radius * 0.84, 0.012, paint=(0.28, 0.16, 0.09))
    s.ring((0, height, 0), radius * 0.93, 0.04)
    s.ring((radius + 0.06, 0, 0), s.vary(0.20, 0.25), 0.055, rotation=(90, 0, 0))


@recipe
def house(s: Sculpture) -> None:
    width, depth, height = s.vary(0.46, 0.56), s.vary(0.44, 0.54), s.vary(0.32, 0.40)
    s.box((0, 0, 0), (width, height, depth))
    for x in LEFT_RIGHT:
        s.box((0.33 * x, height + 0.20, 0), (0.46, 0.04, depth + 0.08), rotation=(0, 0, -42 * x), paint=RED)
        s.box((0.28 * x, 0.06, depth), (0.10, 0.11, 0.02), paint=GLASS)
        s.box((width * x, 0.02, 0), (0.02, 0.12, 0.16), paint=GLASS)
    s.box((0, height, 0), (width * 0.62, 0.20, depth - 0.02), tint=0.95)
    s.box((0, -height + 0.2, depth), (0.10, 0.20, 0.025), paint=DOOR)
    s.box((0.26, height + 0.42, -0.2), (0.07, 0.20, 0.07), paint=(0.45, 0.25, 0.2))


@recipe
def tree(s: Sculpture) -> None:
    trunk = s.vary(0.30, 0.40)
    s.cone((0, -0.25, 0), 0.12, 0.09, trunk, paint=BARK)
    s.ball((0, 0.42, 0), (0.42, s.vary(0.34, 0.42), 0.42))
    for turn in range(4):
        x, z = ((1, 0), (0, 1), (-1, 0), (0, -1))[turn]
        s.ball((0.26 * x, 0.24 + s.vary(-0.04, 0.06), 0.26 * z), s.vary(0.25, 0.30), tint=0.92)


@recipe
def snowman(s: Sculpture) -> None:
    head = s.vary(0.21, 0.24)
    s.ball((0, -0.5, 0), s.vary(0.40, 0.45))
    s.ball((0, 0.05, 0), s.vary(0.29, 0.33))
    s.ball((0, 0.48, 0), head)
    s.cone((0, 0.48, head + 0.08), 0.055, 0.005, 0.13, rotation=(90, 0, 0), paint=ORANGE)
    s.cone((0, 0.66, 0), 0.25, 0.25, 0.025, paint=INK)
    s.cone((0, 0.82, 0), 0.16, 0.17, 0.15, paint=INK)
    s.ring((0, 0.29, 0), 0.20, 0.05, paint=RED)
    for x in LEFT_RIGHT:
        s.ball((0.09 * x, 0.56, head * 0.88), 0.04, paint=INK)
        s.cone((0.45 * x, 0.16, 0), 0.025, 0.025, 0.22, rotation=(0, 0, -65 * x), paint=BARK)
    for y in (-0.02, 0.13):
        s.ball((0, y, 0.31), 0.035, paint=INK)


@recipe
def rocket(s: Sculpture) -> None:
    body, radius = s.vary(0.42, 0.50), s.vary(0.19, 0.23)
    s.cone((0, 0, 0), radius * 1.05, radius, body)
    s.cone((0, body + 0.19, 0), radius, 0.0, 0.19, paint=RED)
    s.cone((0, -body - 0.06, 0), radius * 0.8, radius * 0.6, 0.06, paint=METAL)
    s.ball((0, 0.18, radius * 0.95), (0.09, 0.09, 0.05), paint=GLASS)
    s.ring((0, 0.18, radius * 0.97), 0.09, 0.025, rotation=(90, 0, 0), paint=METAL)
    for turn in range(4):
        angle = 45 + 90 * turn
        x, z = ((1, 1), (1, -1), (-1, -1), (-1, 1))[turn]
        reach = (radius + 0.08) * 0.7071
        s.box((x * reach, -body + 0.1, z * reach), (0.025, 0.19, 0.13), rotation=(0, angle, 0), paint=RED)


@recipe
def mushroom(s: Sculpture) -> None:
    cap = s.vary(0.28, 0.36)
    s.cone((0, -0.32, 0), 0.20, 0.15, 0.36, paint=CREAM)
    s.ball((0, 0.12, 0), (0.60, cap, 0.60))
    s.cone((0, 0.02, 0), 0.55, 0.58, 0.03, paint=CREAM)
    for x, z in ((0.0, 0.0), (0.3, 0.2), (-0.3, 0.2), (0.25, -0.28), (-0.25, -0.28), (0.0, 0.42)):
        y = 0.12 + cap * (1 - (x * x + z * z) / 0.36) ** 0.5
        s.ball((x, y, z), (0.09, 0.05, 0.09), paint=SNOW)


@recipe
def robot(s: Sculpture) -> None:
    width = s.vary(0.27, 0.33)
    s.box((0, 0, 0), (width, 0.30, 0.20), rounding=0.04)
    s.box((0, 0.52, 0), (0.20, 0.17, 0.17), rounding=0.04)
    s.cone((0, 0.33, 0), 0.08, 0.08, 0.05, paint=METAL)
    s.cone((0, 0.77, 0), 0.02, 0.02, 0.09, paint=METAL)
    s.ball((0, 0.89, 0), 0.05, paint=RED)
    s.box((0, 0.04, 0.20), (0.15, 0.11, 0.02), paint=(0.2, 0.22, 0.25))
    s.box((0, 0.42, 0.17), (0.10, 0.02, 0.015), paint=INK)
    for x in LEFT_RIGHT:
        s.ball((0.09 * x, 0.56, 0.17), 0.055, paint=(0.25, 0.85, 0.95))
        s.box(((width + 0.09) * x, 0.0, 0), (0.07, s.vary(0.26, 0.30), 0.09), rounding=0.03, tint=0.85)
        s.ball(((width + 0.09) * x, -0.32, 0), 0.09, paint=METAL)
        s.box((0.15 * x, -0.50, 0), (0.09, 0.22, 0.11), rounding=0.03, tint=0.85)
        s.box((0.15 * x, -0.74, 0.05), (0.11, 0.05, 0.17), rounding=0.03, paint=METAL)


@recipe
def dog(s: Sculpture) -> None:
    length, leg = s.vary(0.36, 0.44), s.vary(0.20, 0.25)
    s.ball((0, 0, 0), (0.22, 0.22, length))
    s.cone((0, 0.20, length * 0.9), 0.16, 0.13, 0.18, rotation=(25, 0, 0))
    s.ball((0, 0.42, length + 0.10), (0.20, 0.19, 0.21))
    s.ball((0, 0.36, length + 0.32), (0.10, 0.09, 0.16))
    s.ball((0, 0.40, length + 0.47), 0.05, paint=INK)
    s.cone((0, 0.24, -length - 0.04), 0.06, 0.03, 0.20, rotation=(-35, 0, 0))
    for x in LEFT_RIGHT:
        s.ball((0.09 * x, 0.49, length + 0.26), 0.04, paint=INK)
        s.ball((0.20 * x, 0.42, length + 0.02), (0.05, 0.19, 0.10), tint=0.7)
        for z in LEFT_RIGHT:
            s.cone((0.13 * x, -leg - 0.06, z * length * 0.66), 0.075, 0.09, leg, tint=0.9)


@recipe
def airplane(s: Sculpture) -> None:
    length, span = s.vary(0.66, 0.76), s.vary(0.70, 0.82)
    s.ball((0, 0, 0), (0.15, 0.15, length))
    s.box((0, 0, 0.05), (span, 0.03, 0.16), rounding=0.025)
    s.box((0, 0.06, -length + 0.10), (0.30, 0.025, 0.09), rounding=0.02)
    s.box((0, 0.22, -length + 0.10), (0.025, 0.18, 0.10), rounding=0.02, paint=RED)
    s.ball((0, 0.10, 0.34), (0.09, 0.09, 0.18), paint=GLASS)
    for x in LEFT_RIGHT:
        s.cone((0.36 * x, -0.08, 0.12), 0.07, 0.07, 0.14, rotation=(90, 0, 0), paint=METAL)


@recipe
def boat(s: Sculpture) -> None:
    length, mast = s.vary(0.60, 0.70), s.vary(0.46, 0.54)
    s.ball((0, -0.10, 0), (0.28, 0.26, length))
    s.box((0, 0.10, 0), (0.27, 0.05, length * 0.92), rounding=0.04, paint=(0.62, 0.44, 0.26))
    s.box((0, 0.20, -0.26), (0.15, 0.10, 0.18), rounding=0.02, paint=SNOW)
    s.cone((0, 0.10 + mast, 0.06), 0.035, 0.03, mast, paint=BARK)
    s.box((0, 0.16 + mast, -0.16), (0.015, mast * 0.75, 0.20), rounding=0.01, paint=CREAM)
    s.box((0, 0.06 + 2 * mast, -0.05), (0.012, 0.05, 0.10), rounding=0.01, paint=RED)


@recipe
def lamp(s: Sculpture) -> None:
    pole = s.vary(0.34, 0.42)
    s.cone((0, -pole - 0.30, 0), 0.32, 0.28, 0.05, paint=(0.2, 0.2, 0.22))
    s.cone((0, -0.28, 0), 0.045, 0.045, pole, paint=METAL)
    s.cone((0, 0.28, 0), s.vary(0.44, 0.52), s.vary(0.24, 0.30), 0.28)
    s.ball((0, 0.58, 0), 0.04, paint=METAL)


@recipe
def castle(s: Sculpture) -> None:
    wall, tower = s.vary(0.26, 0.32), s.vary(0.42, 0.50)
    s.box((0, -0.1, 0), (0.50, wall, 0.50))
    s.box((0, 0.26, 0), (0.26, 0.36, 0.26))
    s.box((0, -0.20, 0.50), (0.13, 0.20, 0.03), paint=DOOR)
    s.cone((0, 0.80, 0), 0.38, 0.0, 0.20, paint=RED)
    for x in LEFT_RIGHT:
        s.box((0.26 * x, wall - 0.06, 0.50), (0.09, 0.06, 0.04))
        for z in LEFT_RIGHT:
            s.cone((0.52 * x, tower - 0.4, 0.52 * z), 0.17, 0.16, tower)
            s.cone((0.52 * x, 2 * tower - 0.22, 0.52 * z), 0.22, 0.0, 0.18, paint=RED)


@recipe
def duck(s: Sculpture) -> None:
    s.ball((0, -0.1, 0), (0.36, s.vary(0.28, 0.32), s.vary(0.48, 0.54)))
    s.ball((0, 0.36, 0.30), s.vary(0.23, 0.26))
    s.ball((0, 0.31, 0.60), (0.13, 0.05, 0.14), paint=ORANGE)
    s.cone((0, 0.10, -0.50), 0.16, 0.02, 0.16, rotation=(-50, 0, 0))
    for x in LEFT_RIGHT:
        s.ball((0.11 * x, 0.44, 0.48), 0.045, paint=INK)
        s.ball((0.34 * x, -0.02, -0.06), (0.08, 0.17, 0.30), tint=0.82)


@recipe
def teapot(s: Sculpture) -> None:
    s.ball((0, 0, 0), (0.44, s.vary(0.34, 0.40), 0.44))
    s.cone((0, -0.32, 0), 0.28, 0.26, 0.05, tint=0.8)
    s.ball((0, 0.33, 0), (0.24, 0.07, 0.24), tint=0.85)
    s.ball((0, 0.44, 0), 0.065, tint=0.7)
    s.cone((0.52, 0.08, 0), 0.12, 0.06, 0.24, rotation=(0, 0, -48))
    s.ring((-0.48, 0.03, 0), s.vary(0.20, 0.24), 0.05, rotation=(90, 0, 0))


@recipe
def cactus(s: Sculpture) -> None:
    body = s.vary(0.48, 0.58)
    s.cone((0, -0.72, 0), 0.22, 0.30, 0.18, paint=(0.70, 0.36, 0.20))
    s.ring((0, -0.54, 0), 0.30, 0.045, paint=(0.62, 0.30, 0.16))
    s.cone((0, -0.05, 0), 0.17, 0.16, body)
    s.ball((0, body - 0.05, 0), 0.16)
    for x, y in ((-1, s.vary(-0.1, 0.0)), (1, s.vary(0.08, 0.18))):
        s.cone((0.24 * x, y, 0), 0.09, 0.09, 0.14, rotation=(0, 0, 90))
        s.cone((0.38 * x, y + 0.14, 0), 0.09, 0.085, 0.16)
        s.ball((0.38 * x, y + 0.30, 0), 0.085)
        s.ball((0.38 * x, y, 0), 0.09)
    s.ball((0, body + 0.12, 0), (0.08, 0.05, 0.08), paint=(0.95, 0.45, 0.65))


@recipe
def cake(s: Sculpture) -> None:
    bottom, top = s.vary(0.22, 0.27), s.vary(0.17, 0.21)
    s.cone((0, -0.5, 0), 0.70, 0.72, 0.03, paint=SNOW)
    s.cone((0, bottom - 0.47, 0), 0.56, 0.56, bottom)
    s.ring((0, 2 * bottom - 0.47, 0), 0.53, 0.06, paint=CREAM)
    s.cone((0, 2 * bottom + top - 0.47, 0), 0.36, 0.36, top)
    s.ring((0, 2 * bottom + 2 * top - 0.47, 0), 0.33, 0.05, paint=CREAM)
    for x, z in ((0.16, 0.16), (-0.16, 0.16), (0.16, -0.16), (-0.16, -0.16)):
        y = 2 * bottom + 2 * top - 0.47
        s.cone((x, y + 0.12, z), 0.03, 0.03, 0.13, paint=(0.45, 0.75, 0.95))
        s.ball((x, y + 0.29, z), (0.035, 0.06, 0.035), paint=LIGHT)


@recipe
def windmill(s: Sculpture) -> None:
    tower, blade = s.vary(0.50, 0.58), s.vary(0.26, 0.30)
    s.cone((0, -0.2, 0), 0.36, 0.22, tower)
    s.cone((0, tower - 0.06, 0), 0.27, 0.0, 0.15, paint=RED)
    s.box((0, -0.02 - tower, 0.33), (0.10, 0.18, 0.05), rotation=(-15, 0, 0), paint=DOOR)
    hub = tower - 0.28
    s.cone((0, hub, 0.30), 0.05, 0.05, 0.14, rotation=(90, 0, 0), paint=BARK)
    turn = s.vary(25, 65)
    for quarter in range(4):
        angle = turn + 90 * quarter
        x, y = cos(radians(angle)), sin(radians(angle))
        s.box((0.32 * x, hub + 0.32 * y, 0.40), (blade, 0.075, 0.02), rotation=(0, 0, angle), paint=CREAM)
