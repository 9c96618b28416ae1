"""Plants."""

from __future__ import annotations

from math import cos, radians, sin

from dreampgc.world.paints import BARK, CREAM, SNOW
from dreampgc.world.sculpture import LEFT_RIGHT, Sculpture

LEAF = (0.18, 0.46, 0.16)


def tree(s: Sculpture) -> None:
    trunk = s.vary(0.30, 0.40)
    s.cone((0, -0.25, 0), 0.12, 0.09, trunk, paint=BARK)
    s.ball((0, 0.42, 0), (0.42, s.vary(0.34, 0.42), 0.42))
    for turn in range(4):
        x, z = ((1, 0), (0, 1), (-1, 0), (0, -1))[turn]
        s.ball((0.26 * x, 0.24 + s.vary(-0.04, 0.06), 0.26 * z), s.vary(0.25, 0.30), tint=0.92)


def mushroom(s: Sculpture) -> None:
    cap = s.vary(0.28, 0.36)
    s.cone((0, -0.32, 0), 0.20, 0.15, 0.36, paint=CREAM)
    s.ball((0, 0.12, 0), (0.60, cap, 0.60))
    s.cone((0, 0.02, 0), 0.55, 0.58, 0.03, paint=CREAM)
    for x, z in ((0.0, 0.0), (0.3, 0.2), (-0.3, 0.2), (0.25, -0.28), (-0.25, -0.28), (0.0, 0.42)):
        y = 0.12 + cap * (1 - (x * x + z * z) / 0.36) ** 0.5
        s.ball((x, y, z), (0.09, 0.05, 0.09), paint=SNOW)


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


def flower(s: Sculpture) -> None:
    stem, petal, turn = s.vary(0.42, 0.50), s.vary(0.20, 0.24), s.vary(0, 60)
    s.cone((0, -stem, 0), 0.07, 0.055, stem, paint=LEAF)
    s.ball((0, -2 * stem, 0), (0.26, 0.10, 0.26), paint=BARK)
    s.ball((0, 0.16, 0.08), (0.19, 0.19, 0.13), paint=(0.96, 0.80, 0.20))
    s.ball((0, 0.14, -0.02), (0.12, 0.12, 0.09), paint=LEAF)
    for number in range(6):
        angle = turn + 60 * number
        x, y = cos(radians(angle)), sin(radians(angle))
        s.ball((0.34 * x, 0.16 + 0.34 * y, 0.06), (petal, 0.17, 0.06), rotation=(0, 0, angle))
    for x in LEFT_RIGHT:
        s.ball((0.24 * x, -1.25 * stem, 0), (0.28, 0.055, 0.12), rotation=(0, 0, 35 * x), paint=LEAF)


def pineapple(s: Sculpture) -> None:
    body, leaf = s.vary(0.42, 0.50), s.vary(0.22, 0.28)
    s.ball((0, 0, 0), (0.34, body, 0.34))
    s.cone((0, -body + 0.05, 0), 0.22, 0.26, 0.06, tint=0.75)
    for level in (-0.5, 0.0, 0.5):
        s.ring((0, level * body, 0), 0.33 * (1 - level**2) ** 0.5, 0.04, tint=0.75)
    s.cone((0, body + leaf + 0.08, 0), 0.11, 0.02, leaf + 0.08, paint=LEAF)
    for turn in range(6):
        tilt, angle = 35 + 20 * (turn % 2), 60 * turn
        x, z = sin(radians(angle)), cos(radians(angle))
        out, up = leaf * sin(radians(tilt)), leaf * cos(radians(tilt))
        lean = (tilt * z, 0.0, -tilt * x)
        s.cone((out * x, body + up - 0.03, out * z), 0.10, 0.02, leaf, rotation=lean, paint=LEAF)


def carrot(s: Sculpture) -> None:
    root, girth = s.vary(0.46, 0.56), s.vary(0.27, 0.32)
    s.cone((0, -root, 0), 0.03, girth, root)
    s.ball((0, 0, 0), (girth, 0.14, girth))
    for level in (0.28, 0.62, 1.0):
        s.ring((0, -level * root, 0), girth * (1 - level / 2), 0.04, tint=0.8)
    s.cone((0, 0.32, 0), 0.06, 0.12, 0.24, paint=LEAF)
    s.ball((0, 0.58, 0), (0.13, 0.16, 0.13), paint=LEAF)
    for x, z in ((1, 0), (-1, 0), (0, 1), (0, -1)):
        s.cone((0.14 * x, 0.28, 0.14 * z), 0.05, 0.07, 0.22, rotation=(32 * z, 0, -32 * x), paint=LEAF)
        s.ball((0.27 * x, 0.48, 0.27 * z), (0.12, 0.14, 0.12), paint=LEAF)
