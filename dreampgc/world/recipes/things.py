"""Tools and other things."""

from __future__ import annotations

from math import cos, radians, sin

from dreampgc.world.paints import BARK, CREAM, INK, METAL, RED
from dreampgc.world.sculpture import LEFT_RIGHT, Sculpture

TOY_BLUE = (0.16, 0.30, 0.62)


def hammer(s: Sculpture) -> None:
    handle, head = s.vary(0.48, 0.56), s.vary(0.17, 0.20)
    s.cone((0, -0.30, 0), 0.10, 0.085, handle, tint=0.75)
    s.cone((0, -0.18 - handle, 0), 0.13, 0.11, 0.18, paint=TOY_BLUE)
    top = handle - 0.22
    s.box((-0.02, top, 0), (0.16, head, head), rounding=0.04)
    s.cone((-0.24, top, 0), head * 0.72, head * 0.72, 0.14, rotation=(0, 0, 90))
    s.cone((-0.40, top, 0), head * 1.15, head * 1.15, 0.10, rotation=(0, 0, 90), paint=METAL)
    for z in LEFT_RIGHT:
        s.box((0.26, top + 0.02, 0.10 * z), (0.18, 0.06, 0.05), rotation=(0, -10 * z, -15), rounding=0.03)
        s.box((0.48, top - 0.08, 0.15 * z), (0.13, 0.05, 0.05), rotation=(0, -10 * z, -40), rounding=0.03)


def guitar(s: Sculpture) -> None:
    belly, neck = s.vary(0.36, 0.41), s.vary(0.34, 0.42)
    s.cone((0, -0.46, 0), belly, belly, 0.16, rotation=(90, 0, 0))
    s.cone((0, -0.04, 0), belly * 0.74, belly * 0.74, 0.16, rotation=(90, 0, 0))
    s.cone((0, -0.18, 0.14), 0.13, 0.13, 0.04, rotation=(90, 0, 0), paint=INK)
    s.box((0, -0.58, 0.16), (0.17, 0.05, 0.05), paint=BARK)
    s.box((0, 0.16 + neck, 0.13), (0.07, neck, 0.055), paint=BARK)
    s.box((0, -0.20, 0.19), (0.035, 0.38, 0.02), paint=CREAM)
    s.box((0, 0.30 + 2 * neck, 0.10), (0.13, 0.17, 0.06), rounding=0.03, tint=0.7)
    for x in LEFT_RIGHT:
        for y in (0.20, 0.38):
            s.ball((0.17 * x, y + 2 * neck, 0.10), 0.055, paint=METAL)


def crown(s: Sculpture) -> None:
    radius, height, points = s.vary(0.48, 0.54), s.vary(0.16, 0.20), 5
    s.cone((0, 0, 0), radius, radius * 1.08, height)
    s.ring((0, -height, 0), radius, 0.08, tint=0.75)
    s.ball((0, height, 0), (radius * 0.9, 0.30, radius * 0.9), paint=(0.55, 0.10, 0.24))
    for point in range(points):
        angle = 360 * point / points
        x, z = radius * sin(radians(angle)), radius * cos(radians(angle))
        s.cone((x, height + 0.20, z), 0.19, 0.03, 0.26)
        s.ball((1.04 * x, height + 0.48, 1.04 * z), 0.09, paint=CREAM)
        s.ball((1.05 * x, 0.02, 1.05 * z), 0.09, paint=RED if point % 2 == 0 else TOY_BLUE)
