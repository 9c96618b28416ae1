"""Furniture."""

from __future__ import annotations

from math import cos, radians, sin

from dreampgc.world.paints import BARK, INK, METAL, SNOW
from dreampgc.world.sculpture import LEFT_RIGHT, Sculpture


def chair(s: Sculpture) -> None:
    width, leg = s.vary(0.34, 0.42), s.vary(0.30, 0.38)
    s.box((0, 0, 0), (width, 0.05, width))
    s.box((0, 0.50, -width + 0.04), (width, s.vary(0.26, 0.34), 0.05), rounding=0.03)
    for x in LEFT_RIGHT:
        s.box(((width - 0.06) * x, 0.15, -width + 0.04), (0.04, 0.15, 0.04), tint=0.8)
        for z in LEFT_RIGHT:
            s.box(((width - 0.06) * x, -leg, (width - 0.06) * z), (0.05, leg, 0.05), tint=0.8)
    s.carry((0, 0.03, 0.08), 0.44)


def table(s: Sculpture) -> None:
    width, depth, leg = s.vary(0.66, 0.8), s.vary(0.42, 0.52), s.vary(0.34, 0.42)
    s.box((0, 0, 0), (width, 0.06, depth), rounding=0.03)
    for x in LEFT_RIGHT:
        for z in LEFT_RIGHT:
            s.cone(((width - 0.1) * x, -leg, (depth - 0.1) * z), 0.05, 0.07, leg, tint=0.8)
    s.carry((0, 0.04, 0), 0.46)


def lamp(s: Sculpture) -> None:
    pole = s.vary(0.34, 0.42)
    s.cone((0, -pole - 0.30, 0), 0.32, 0.28, 0.05, paint=(0.2, 0.2, 0.22))
    s.cone((0, -0.28, 0), 0.045, 0.045, pole, paint=METAL)
    s.cone((0, 0.28, 0), s.vary(0.44, 0.52), s.vary(0.24, 0.30), 0.28)
    s.ball((0, 0.58, 0), 0.04, paint=METAL)


def bed(s: Sculpture) -> None:
    width, length = s.vary(0.46, 0.56), s.vary(0.74, 0.84)
    s.box((0, -0.12, 0), (width, 0.09, length), tint=0.8)
    s.box((0, 0.04, 0), (width - 0.05, 0.10, length - 0.05), rounding=0.05, paint=SNOW)
    s.box((0, 0.08, 0.22), (width - 0.02, 0.11, length - 0.22), rounding=0.05)
    s.box((0, 0.14, -length), (width + 0.03, s.vary(0.38, 0.46), 0.06), rounding=0.04, tint=0.8)
    s.box((0, 0.0, length), (width + 0.03, 0.24, 0.06), rounding=0.04, tint=0.8)
    for x in LEFT_RIGHT:
        s.ball((0.22 * x, 0.18, 0.24 - length), (0.19, 0.10, 0.15), paint=SNOW)
        for z in LEFT_RIGHT:
            s.cone((width * x, -0.30, length * z), 0.07, 0.07, 0.14, paint=BARK)
    s.carry((0, 0.17, 0.14), 0.46)


def sofa(s: Sculpture) -> None:
    width, back = s.vary(0.58, 0.70), s.vary(0.40, 0.48)
    s.box((0, -0.14, 0), (width, 0.14, 0.36), rounding=0.04, tint=0.85)
    s.box((0, 0.18, -0.30), (width + 0.06, back, 0.13), rounding=0.09)
    for x in LEFT_RIGHT:
        s.box((width * 0.48 * x, 0.04, 0.08), (width * 0.50, 0.11, 0.34), rounding=0.06)
        s.box(((width + 0.06) * x, 0.04, 0.04), (0.12, 0.30, 0.40), rounding=0.06, tint=0.85)
        s.cone(((width + 0.06) * x, 0.32, 0.04), 0.15, 0.15, 0.42, rotation=(90, 0, 0), tint=0.85)
        s.box((0.55 * width * x, 0.30, -0.10), (0.17, 0.17, 0.08), rotation=(-15, 0, 30 * x), rounding=0.06, paint=SNOW)
        for z in LEFT_RIGHT:
            s.cone((width * x, -0.34, 0.06 + 0.28 * z), 0.06, 0.07, 0.09, paint=BARK)
    s.carry((0, 0.12, 0.12), 0.46)


def clock(s: Sculpture) -> None:
    radius, hour = s.vary(0.46, 0.52), s.vary(-160, 160)
    s.cone((0, 0, 0), radius, radius, 0.18, rotation=(90, 0, 0))
    s.cone((0, 0, 0.17), radius * 0.82, radius * 0.82, 0.04, rotation=(90, 0, 0), paint=SNOW)
    s.ring((0, 0, 0.18), radius * 0.92, 0.06, rotation=(90, 0, 0), tint=0.8)
    for angle, reach in ((hour, 0.10), (hour * 12, 0.16)):
        x, y = -sin(radians(angle)), cos(radians(angle))
        s.box((reach * x, reach * y, 0.22), (0.04, reach + 0.03, 0.025), rotation=(0, 0, angle), paint=INK)
    s.cone((0, radius + 0.14, 0), 0.04, 0.04, 0.18, paint=METAL)
    s.ball((0, radius + 0.32, 0), 0.08, paint=METAL)
    for x in LEFT_RIGHT:
        s.ball((0.32 * x, radius + 0.06, 0), (0.20, 0.15, 0.20), rotation=(0, 0, -35 * x), paint=(0.90, 0.72, 0.22))
        s.cone((0.34 * x, -radius - 0.04, 0), 0.05, 0.07, 0.18, rotation=(0, 0, 35 * x), paint=METAL)


def barrel(s: Sculpture) -> None:
    height, belly = s.vary(0.46, 0.54), s.vary(0.50, 0.56)
    rim = belly - 0.09
    s.cone((0, -height / 2, 0), rim, belly, height / 2)
    s.cone((0, height / 2, 0), belly, rim, height / 2)
    s.cone((0, height, 0), rim * 0.86, rim * 0.86, 0.02, tint=0.7)
    for y in (-1, 1):
        s.ring((0, 0.52 * height * y, 0), belly - 0.06, 0.045, paint=METAL)
        s.ring((0, (height - 0.02) * y, 0), rim - 0.02, 0.05, paint=METAL)
    s.cone((0, -0.66 * height, belly), 0.05, 0.05, 0.12, rotation=(90, 0, 0), paint=BARK)
    s.cone((0, -0.66 * height + 0.03, belly + 0.06), 0.045, 0.045, 0.12, paint=BARK)
    s.carry((0, height, 0), 0.44)
