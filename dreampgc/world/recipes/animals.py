"""Animals."""

from __future__ import annotations

from dreampgc.world.paints import CREAM, DOOR, INK, ORANGE, RED, SNOW
from dreampgc.world.sculpture import LEFT_RIGHT, Sculpture

ROSE, SKIN = (0.93, 0.50, 0.56), (0.46, 0.60, 0.28)


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


def duck(s: Sculpture) -> None:
    s.ball((0, -0.1, 0), (0.36, s.vary(0.28, 0.32), s.vary(0.48, 0.54)))
    s.ball((0, 0.36, 0.30), s.vary(0.23, 0.26))
    s.ball((0, 0.31, 0.60), (0.13, 0.05, 0.14), paint=ORANGE)
    s.cone((0, 0.10, -0.50), 0.16, 0.02, 0.16, rotation=(-50, 0, 0))
    for x in LEFT_RIGHT:
        s.ball((0.11 * x, 0.44, 0.48), 0.045, paint=INK)
        s.ball((0.34 * x, -0.02, -0.06), (0.08, 0.17, 0.30), tint=0.82)


def cat(s: Sculpture) -> None:
    belly, ear = s.vary(0.27, 0.32), s.vary(0.14, 0.18)
    s.ball((0, -0.24, -0.06), (belly, 0.42, 0.32))
    s.ball((0, -0.14, 0.14), (0.17, 0.30, 0.16), paint=SNOW)
    s.ball((0, 0.30, 0.10), (0.30, 0.25, 0.25))
    s.ball((0, 0.23, 0.32), (0.11, 0.08, 0.07), paint=SNOW)
    s.ball((0, 0.27, 0.39), 0.04, paint=ROSE)
    s.cone((0.04, -0.46, -0.44), 0.07, 0.07, 0.16, rotation=(-60, 0, 0), tint=0.75)
    s.cone((0.06, -0.14, -0.60), 0.07, 0.06, 0.30, rotation=(-8, 0, -6), tint=0.75)
    s.ball((0.09, 0.17, -0.64), 0.075, paint=SNOW)
    for x in LEFT_RIGHT:
        s.cone((0.18 * x, 0.50 + ear / 2, 0.08), 0.12, 0.02, ear, rotation=(0, 0, -16 * x), tint=0.75)
        s.ball((0.12 * x, 0.35, 0.31), (0.05, 0.06, 0.04), paint=(0.20, 0.55, 0.20))
        s.cone((0.11 * x, -0.40, 0.22), 0.075, 0.07, 0.24)
        s.ball((0.11 * x, -0.62, 0.27), (0.09, 0.06, 0.12), paint=SNOW)
        s.ball((0.24 * x, -0.46, -0.02), (0.14, 0.20, 0.26), tint=0.9)


def rabbit(s: Sculpture) -> None:
    length, ear = s.vary(0.40, 0.46), s.vary(0.30, 0.38)
    s.ball((0, 0, 0), (0.30, 0.30, length))
    s.ball((0, 0.24, length), (0.21, 0.21, 0.23))
    s.ball((0, 0.20, length + 0.22), 0.05, paint=ROSE)
    s.ball((0, 0.06, -length - 0.05), 0.14, paint=SNOW)
    for x in LEFT_RIGHT:
        s.ball((0.11 * x, 0.42 + ear, length - 0.06), (0.085, ear, 0.055), rotation=(0, 0, -8 * x))
        s.ball((0.11 * x, 0.40 + ear, length - 0.02), (0.045, ear * 0.8, 0.04), rotation=(0, 0, -8 * x), paint=ROSE)
        s.ball((0.15 * x, 0.30, length + 0.15), 0.045, paint=INK)
        s.ball((0.23 * x, -0.12, -0.16), (0.13, 0.19, 0.22), tint=0.85)
        s.cone((0.23 * x, -0.28, 0.0), 0.08, 0.075, 0.22, rotation=(90, 0, 0), tint=0.85)
        s.cone((0.13 * x, -0.24, length - 0.08), 0.085, 0.08, 0.12, tint=0.85)


def pig(s: Sculpture) -> None:
    girth, length = s.vary(0.36, 0.41), s.vary(0.48, 0.55)
    s.ball((0, 0, 0), (girth, girth, length))
    s.ball((0, 0.10, length), (0.26, 0.25, 0.22))
    s.cone((0, 0.06, length + 0.22), 0.13, 0.12, 0.08, rotation=(90, 0, 0), tint=0.8)
    s.ring((0, 0.14, -length - 0.03), 0.08, 0.042, rotation=(0, 0, 70), tint=0.8)
    for x in LEFT_RIGHT:
        s.ball((0.05 * x, 0.06, length + 0.30), (0.03, 0.045, 0.03), paint=INK)
        s.ball((0.12 * x, 0.20, length + 0.16), 0.045, paint=INK)
        s.cone((0.18 * x, 0.34, length - 0.02), 0.11, 0.03, 0.11, rotation=(30, 0, -25 * x), tint=0.8)
        for z in LEFT_RIGHT:
            s.cone((0.18 * x, -girth - 0.03, 0.55 * z * length), 0.09, 0.11, 0.16, tint=0.9)
            s.ball((0.18 * x, -girth - 0.16, 0.55 * z * length), (0.11, 0.06, 0.11), paint=DOOR)


def elephant(s: Sculpture) -> None:
    girth, ear = s.vary(0.36, 0.40), s.vary(0.28, 0.33)
    s.ball((0, 0, -0.06), (girth, 0.36, 0.52))
    s.ball((0, 0.22, 0.46), (0.25, 0.27, 0.25))
    s.cone((0, 0.02, 0.72), 0.085, 0.12, 0.20, rotation=(-20, 0, 0))
    s.cone((0, -0.28, 0.78), 0.07, 0.085, 0.18)
    s.ball((0, -0.46, 0.82), (0.075, 0.075, 0.12))
    s.cone((0, -0.06, -0.60), 0.04, 0.05, 0.18, rotation=(15, 0, 0), tint=0.8)
    s.box((0, 0.36, -0.14), (0.33, 0.06, 0.34), rounding=0.04, paint=RED)
    for x in LEFT_RIGHT:
        s.ball(((0.20 + ear / 2) * x, 0.24, 0.36), (ear, ear * 1.1, 0.06), rotation=(0, 25 * x, 0), tint=0.8)
        s.ball((0.14 * x, 0.32, 0.66), 0.045, paint=INK)
        s.cone((0.15 * x, 0.0, 0.74), 0.05, 0.045, 0.17, rotation=(110, 0, 0), paint=SNOW)
        for z in LEFT_RIGHT:
            s.cone((0.20 * x, -0.37, 0.30 * z - 0.06), 0.14, 0.14, 0.20, tint=0.9)
    s.carry((0, 0.40, -0.14), 0.39)


def penguin(s: Sculpture) -> None:
    height, belly = s.vary(0.54, 0.62), s.vary(0.34, 0.38)
    s.ball((0, 0, 0), (belly, height, 0.32))
    s.ball((0, -0.06, 0.09), (belly * 0.78, height * 0.82, 0.27), paint=SNOW)
    s.ball((0, height + 0.02, 0.04), (0.25, 0.24, 0.24))
    s.cone((0, height - 0.01, 0.32), 0.09, 0.02, 0.12, rotation=(90, 0, 0), paint=ORANGE)
    s.cone((0, -height * 0.85, -0.26), 0.13, 0.05, 0.14, rotation=(-110, 0, 0))
    for x in LEFT_RIGHT:
        s.ball((0.10 * x, height + 0.07, 0.24), (0.065, 0.07, 0.04), paint=SNOW)
        s.ball((0.10 * x, height + 0.07, 0.28), 0.035, paint=INK)
        s.ball(((belly + 0.05) * x, 0.0, 0), (0.07, 0.36, 0.15), rotation=(0, 0, 18 * x), tint=0.8)
        s.ball((0.15 * x, -height - 0.01, 0.14), (0.13, 0.06, 0.22), rotation=(0, 15 * x, 0), paint=ORANGE)


def turtle(s: Sculpture) -> None:
    dome, width = s.vary(0.32, 0.40), s.vary(0.50, 0.56)
    s.ball((0, 0, 0), (width, dome, 0.60))
    s.cone((0, dome / 2, 0), width, 0.40, dome / 2 - 0.02)
    s.ball((0, dome - 0.04, 0), (0.40, 0.08, 0.40), tint=0.85)
    s.cone((0, -0.06, 0), width + 0.05, width + 0.02, 0.06, tint=0.7)
    s.ball((0, -0.14, 0), (width * 0.85, 0.12, 0.52), paint=CREAM)
    s.cone((0, 0.04, 0.62), 0.11, 0.10, 0.18, rotation=(55, 0, 0), paint=SKIN)
    s.ball((0, 0.18, 0.78), (0.16, 0.15, 0.19), paint=SKIN)
    s.cone((0, -0.10, -0.66), 0.08, 0.02, 0.14, rotation=(-100, 0, 0), paint=SKIN)
    for x in LEFT_RIGHT:
        s.ball((0.11 * x, 0.24, 0.90), 0.045, paint=INK)
        for z in LEFT_RIGHT:
            s.ball((0.42 * x, -0.16, 0.42 * z), (0.14, 0.10, 0.22), rotation=(0, 45 * x * z, 0), paint=SKIN)
            s.cone((0.46 * x, -0.24, 0.46 * z), 0.11, 0.11, 0.08, paint=SKIN)
    s.carry((0, dome - 0.04, 0), 0.40)


def fish(s: Sculpture) -> None:
    height, length = s.vary(0.36, 0.44), s.vary(0.54, 0.62)
    s.ball((0, 0, 0), (0.22, height, length))
    s.ball((0, -0.03, length - 0.01), (0.08, 0.05, 0.05), paint=ROSE)
    s.ball((0, height, -0.06), (0.06, 0.20, 0.30), rotation=(-15, 0, 0), tint=0.7)
    s.ball((0, -height, -0.10), (0.055, 0.14, 0.16), rotation=(20, 0, 0), tint=0.7)
    for y in (-1, 1):
        s.ball((0, 0.17 * y, -length - 0.14), (0.06, 0.13, 0.30), rotation=(42 * y, 0, 0), tint=0.7)
    for x in LEFT_RIGHT:
        s.ball((0.15 * x, 0.09, length * 0.62), (0.07, 0.09, 0.09), paint=SNOW)
        s.ball((0.20 * x, 0.09, length * 0.66), 0.05, paint=INK)
        s.ball((0.26 * x, -0.06, 0.02), (0.05, 0.11, 0.20), rotation=(-20, -35 * x, 0), tint=0.7)
