"""Vehicles."""

from __future__ import annotations

from dreampgc.world.paints import BARK, CREAM, GLASS, LIGHT, METAL, RED, SNOW, TIRE
from dreampgc.world.sculpture import LEFT_RIGHT, Sculpture


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
    s.carry((0, height + 0.28, -0.08), 0.36)


def airplane(s: Sculpture) -> None:
    length, span = s.vary(0.66, 0.76), s.vary(0.70, 0.82)
    s.ball((0, 0, 0), (0.15, 0.15, length))
    s.box((0, 0, 0.05), (span, 0.03, 0.16), rounding=0.025)
    s.box((0, 0.06, -length + 0.10), (0.30, 0.025, 0.09), rounding=0.02)
    s.box((0, 0.22, -length + 0.10), (0.025, 0.18, 0.10), rounding=0.02, paint=RED)
    s.ball((0, 0.10, 0.34), (0.09, 0.09, 0.18), paint=GLASS)
    for x in LEFT_RIGHT:
        s.cone((0.36 * x, -0.08, 0.12), 0.07, 0.07, 0.14, rotation=(90, 0, 0), paint=METAL)


def boat(s: Sculpture) -> None:
    length, mast = s.vary(0.60, 0.70), s.vary(0.46, 0.54)
    s.ball((0, -0.10, 0), (0.28, 0.26, length))
    s.box((0, 0.10, 0), (0.27, 0.05, length * 0.92), rounding=0.04, paint=(0.62, 0.44, 0.26))
    s.box((0, 0.20, -0.26), (0.15, 0.10, 0.18), rounding=0.02, paint=SNOW)
    s.cone((0, 0.10 + mast, 0.06), 0.035, 0.03, mast, paint=BARK)
    s.box((0, 0.16 + mast, -0.16), (0.015, mast * 0.75, 0.20), rounding=0.01, paint=CREAM)
    s.box((0, 0.06 + 2 * mast, -0.05), (0.012, 0.05, 0.10), rounding=0.01, paint=RED)


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


def bus(s: Sculpture) -> None:
    length, height = s.vary(0.84, 0.94), s.vary(0.32, 0.38)
    s.box((0, 0, 0), (0.33, height, length), rounding=0.07)
    s.box((0, height * 0.35, length), (0.28, height * 0.42, 0.03), paint=GLASS)
    s.box((0, height * 0.45, -length), (0.24, height * 0.28, 0.03), paint=GLASS)
    s.box((0, height * 0.76, length - 0.02), (0.42, 0.04, 0.035), paint=TIRE)
    s.box((0, height, -0.10), (0.31, 0.06, length * 0.7), rounding=0.04, paint=SNOW)
    for z in (-1, 0, 1):
        s.box((0, height * 0.35, (0.54 * z - 0.06) * length), (0.355, height * 0.36, 0.19), paint=GLASS)
    for x in LEFT_RIGHT:
        s.ball((0.22 * x, -height * 0.5, length), (0.07, 0.07, 0.04), paint=LIGHT)
        s.box((0.41 * x, height * 0.40, length - 0.02), (0.045, 0.12, 0.04), paint=TIRE)
        for z in LEFT_RIGHT:
            s.cone((0.30 * x, -height, 0.58 * z * length), 0.16, 0.16, 0.07, rotation=(0, 0, 90), paint=TIRE)
    s.carry((0, height + 0.04, -0.10), 0.37)


def truck(s: Sculpture) -> None:
    length, cab = s.vary(0.80, 0.92), s.vary(0.34, 0.40)
    s.box((0, 0, 0), (0.30, 0.08, length), rounding=0.03, paint=METAL)
    s.box((0, cab, length - 0.22), (0.36, cab, 0.26), rounding=0.06)
    s.box((0, cab * 1.35, length + 0.04), (0.30, cab * 0.36, 0.03), paint=GLASS)
    s.box((0, cab * 0.55, length + 0.04), (0.20, cab * 0.20, 0.03), paint=METAL)
    s.box((0, cab * 1.35, length - 0.20), (0.38, cab * 0.32, 0.16), paint=GLASS)
    s.box((0, 0.10, -0.26), (0.40, 0.07, length - 0.26))
    s.box((0, 0.22, 0.08 - length), (0.40, 0.11, 0.05))
    for x in LEFT_RIGHT:
        s.box((0.38 * x, 0.22, -0.26), (0.05, 0.11, length - 0.26))
        s.ball((0.27 * x, 0.08, length + 0.04), (0.07, 0.07, 0.05), paint=LIGHT)
        for z in (0.62, -0.28, -0.72):
            s.cone((0.30 * x, -0.08, z * length), 0.18, 0.18, 0.09, rotation=(0, 0, 90), paint=TIRE)
    s.carry((0, 0.15, -0.28), 0.45)


def train(s: Sculpture) -> None:
    boiler, chimney = s.vary(0.23, 0.27), s.vary(0.14, 0.20)
    s.box((0, -0.20, 0.0), (0.28, 0.07, 0.80), paint=TIRE)
    s.cone((0, 0.12, 0.24), boiler, boiler, 0.52, rotation=(90, 0, 0))
    s.cone((0, 0.12, 0.76), boiler * 0.85, boiler * 0.8, 0.05, rotation=(90, 0, 0), paint=METAL)
    s.ball((0, 0.12, 0.80), (0.08, 0.08, 0.06), paint=LIGHT)
    s.box((0, 0.24, -0.52), (0.34, 0.42, 0.28), rounding=0.03)
    s.box((0, 0.40, -0.52), (0.36, 0.15, 0.16), paint=GLASS)
    s.box((0, 0.68, -0.52), (0.42, 0.05, 0.38), rounding=0.03, paint=RED)
    s.cone((0, 0.34 + chimney, 0.56), 0.08, 0.12, chimney + 0.06, paint=TIRE)
    s.cone((0, 0.34 + 2 * chimney, 0.56), 0.16, 0.16, 0.05, paint=RED)
    s.ball((0, 0.36, 0.10), (0.12, 0.15, 0.12), paint=(0.90, 0.72, 0.22))
    s.box((0, -0.32, 0.84), (0.30, 0.06, 0.16), rotation=(35, 0, 0), paint=RED)
    for x in LEFT_RIGHT:
        for z in (-0.56, -0.08, 0.40):
            s.cone((0.28 * x, -0.28, z), 0.20, 0.20, 0.06, rotation=(0, 0, 90), tint=0.7)


def helicopter(s: Sculpture) -> None:
    boom, blade, turn = s.vary(0.30, 0.38), s.vary(0.54, 0.62), s.vary(20, 70)
    s.ball((0, 0, 0.10), (0.33, 0.35, 0.46))
    s.ball((0, 0.06, 0.28), (0.29, 0.25, 0.33), paint=GLASS)
    s.cone((0, 0.06, -0.28 - boom), 0.13, 0.06, boom + 0.06, rotation=(-90, 0, 0))
    s.box((0, 0.20, -0.30 - 2 * boom), (0.04, 0.20, 0.10), rotation=(-20, 0, 0), paint=RED)
    s.cone((0, 0.40, 0.08), 0.07, 0.07, 0.14, paint=METAL)
    for quarter in (0, 90):
        s.box((0, 0.52, 0.08), (blade, 0.045, 0.09), rotation=(0, turn + quarter, 0), paint=TIRE)
    s.cone((0.07, 0.10, -0.30 - 2 * boom), 0.14, 0.14, 0.035, rotation=(0, 0, 90), paint=METAL)
    for x in LEFT_RIGHT:
        s.cone((0.24 * x, -0.44, 0.10), 0.055, 0.055, 0.44, rotation=(90, 0, 0), paint=METAL)
        for z in LEFT_RIGHT:
            s.cone((0.20 * x, -0.32, 0.10 + 0.20 * z), 0.05, 0.05, 0.15, rotation=(0, 0, 15 * x), paint=METAL)
