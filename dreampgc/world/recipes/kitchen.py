"""Food and what it is served in."""

from __future__ import annotations

from math import cos, radians, sin

from dreampgc.world.paints import CREAM, LIGHT, RED, SNOW
from dreampgc.world.sculpture import Sculpture

CHEESE, WAFFLE = (0.98, 0.76, 0.20), (0.80, 0.58, 0.30)


def mug(s: Sculpture) -> None:
    height, radius = s.vary(0.40, 0.50), s.vary(0.36, 0.42)
    s.cone((0, 0, 0), radius * s.vary(0.88, 1.0), radius, height)
    s.cone((0, height, 0), radius * 0.84, radius * 0.84, 0.012, paint=(0.28, 0.16, 0.09))
    s.ring((0, height, 0), radius * 0.93, 0.04)
    s.ring((radius + 0.06, 0, 0), s.vary(0.20, 0.25), 0.055, rotation=(90, 0, 0))


def teapot(s: Sculpture) -> None:
    s.ball((0, 0, 0), (0.44, s.vary(0.34, 0.40), 0.44))
    s.cone((0, -0.32, 0), 0.28, 0.26, 0.05, tint=0.8)
    s.ball((0, 0.33, 0), (0.24, 0.07, 0.24), tint=0.85)
    s.ball((0, 0.44, 0), 0.065, tint=0.7)
    s.cone((0.52, 0.08, 0), 0.12, 0.06, 0.24, rotation=(0, 0, -48))
    s.ring((-0.48, 0.03, 0), s.vary(0.20, 0.24), 0.05, rotation=(90, 0, 0))


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


def hamburger(s: Sculpture) -> None:
    radius, dome = s.vary(0.56, 0.62), s.vary(0.38, 0.46)
    s.cone((0, -0.34, 0), radius * 0.86, radius, 0.15)
    s.cone((0, -0.13, 0), radius * 1.06, radius * 1.06, 0.08, paint=(0.34, 0.18, 0.10))
    s.box((0, -0.05, 0), (radius * 0.80, 0.04, radius * 0.80), rotation=(0, s.vary(30, 60), 0), paint=CHEESE)
    s.cone((0, 0.02, 0), radius * 0.94, radius * 0.94, 0.05, paint=RED)
    s.ball((0, 0.10, 0), (radius, dome, radius))
    for turn in range(6):
        angle = radians(60 * turn + 20)
        s.ball((0.54 * sin(angle), 0.06, 0.54 * cos(angle)), (0.17, 0.06, 0.17), paint=(0.42, 0.70, 0.20))
    for x, z in ((0.0, 0.05), (0.26, 0.20), (-0.26, 0.20), (0.22, -0.24), (-0.22, -0.24)):
        y = 0.10 + dome * (1 - (x * x + z * z) / radius**2) ** 0.5
        s.ball((x, y, z), (0.05, 0.04, 0.07), paint=CREAM)


def icecream(s: Sculpture) -> None:
    cone, scoop = s.vary(0.36, 0.44), s.vary(0.34, 0.38)
    s.cone((0, -cone, 0), 0.05, 0.31, cone, paint=WAFFLE)
    s.ring((0, 0.0, 0), 0.29, 0.07, paint=WAFFLE)
    s.ball((0, 0.16, 0), (scoop, scoop * 0.9, scoop))
    s.ring((0, 0.07, 0), scoop - 0.05, 0.085)
    s.ball((0, 0.55, 0), scoop * 0.85, tint=0.9)
    s.ball((0.0, 0.88, 0.04), 0.10, paint=RED)
    s.cone((-0.24, 0.76, -0.06), 0.06, 0.06, 0.30, rotation=(-8, 0, 22), paint=(0.55, 0.32, 0.16))
    for x, y, z in ((0.22, 0.26, 0.24), (-0.18, 0.22, 0.29), (0.08, 0.60, 0.28), (-0.21, 0.52, 0.21)):
        s.ball((x, y, z), 0.045, paint=LIGHT)
