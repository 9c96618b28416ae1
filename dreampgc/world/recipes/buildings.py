"""Buildings."""

from __future__ import annotations

from math import cos, radians, sin

from dreampgc.world.paints import BARK, CREAM, DOOR, GLASS, LIGHT, RED, SNOW
from dreampgc.world.sculpture import LEFT_RIGHT, Sculpture


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


def lighthouse(s: Sculpture) -> None:
    tower, lean = s.vary(0.62, 0.74), s.vary(0.14, 0.17)
    s.ball((0, -tower, 0), (0.50, 0.18, 0.46), paint=(0.42, 0.40, 0.38))
    s.cone((0, 0, 0), 0.28, lean, tower)
    s.cone((0, -0.36 * tower, 0), 0.275, 0.245, 0.12, paint=SNOW)
    s.cone((0, 0.30 * tower, 0), 0.24, 0.205, 0.12, paint=SNOW)
    s.cone((0, tower + 0.03, 0), 0.27, 0.27, 0.045, tint=0.7)
    s.cone((0, tower + 0.18, 0), 0.15, 0.15, 0.13, paint=LIGHT)
    s.cone((0, tower + 0.42, 0), 0.23, 0.0, 0.13, paint=RED)
    s.box((0.34, -tower + 0.22, 0), (0.16, 0.16, 0.17), tint=0.9)
    for z in LEFT_RIGHT:
        s.box((0.34, -tower + 0.42, 0.10 * z), (0.20, 0.04, 0.16), rotation=(35 * z, 0, 0), paint=RED)
    s.box((0, -tower + 0.26, 0.27), (0.09, 0.15, 0.04), paint=DOOR)


def tent(s: Sculpture) -> None:
    depth, slope = s.vary(0.56, 0.68), s.vary(29, 34)
    rise, reach = cos(radians(slope)), sin(radians(slope))
    s.box((0, -0.60 * rise, 0), (1.25 * reach, 0.05, depth + 0.05), paint=(0.40, 0.50, 0.26))
    for low, high in ((-0.60, -0.25), (-0.25, 0.05), (0.05, 0.35)):
        middle, half = (high + low) / 2, (high - low) / 2
        s.box((0, middle * rise, -0.05), (reach * (0.52 - high), half * rise, depth - 0.09), rounding=0, paint=DOOR)
    s.cone((0, 0.58 * rise, 0), 0.05, 0.05, depth + 0.10, rotation=(90, 0, 0), paint=BARK)
    for z in (-depth - 0.05, depth + 0.05):
        s.cone((0, 0, z), 0.045, 0.045, 0.60 * rise, paint=BARK)
    for x in LEFT_RIGHT:
        s.box((0.56 * reach * x, 0, 0), (0.06, 0.60, depth), rotation=(0, 0, slope * x))
        s.box((0.90 * reach * x, -0.30 * rise, depth), (0.06, 0.28, 0.13), rotation=(0, -30 * x, slope * x), tint=0.8)


def church(s: Sculpture) -> None:
    nave, tower, spire = s.vary(0.46, 0.56), s.vary(0.46, 0.54), s.vary(0.24, 0.30)
    s.box((0, -0.30, -0.20), (0.32, 0.26, nave))
    s.box((0, -0.04, -0.20), (0.20, 0.16, nave - 0.02), tint=0.95)
    s.box((0, tower - 0.56, nave - 0.16), (0.20, tower, 0.20))
    s.cone((0, 2 * tower - 0.56 + spire, nave - 0.16), 0.29, 0.0, spire, paint=RED)
    s.box((0, -0.36, nave + 0.04), (0.10, 0.20, 0.03), paint=DOOR)
    s.ball((0, 0.02, nave + 0.04), (0.10, 0.10, 0.03), paint=GLASS)
    top = 2 * tower + 2 * spire - 0.50
    s.box((0, top, nave - 0.16), (0.04, 0.15, 0.04), paint=(0.90, 0.72, 0.22))
    s.box((0, top + 0.04, nave - 0.16), (0.11, 0.04, 0.04), paint=(0.90, 0.72, 0.22))
    for z in (-0.50, -0.02):
        s.box((0, -0.28, z), (0.345, 0.14, 0.09), paint=GLASS)
    for x in LEFT_RIGHT:
        s.box((0.22 * x, 0.06, -0.24), (0.32, 0.045, nave + 0.02), rotation=(0, 0, -45 * x), paint=RED)
