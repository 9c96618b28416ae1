"""Figures."""

from __future__ import annotations

from dreampgc.world.paints import BARK, INK, METAL, ORANGE, RED
from dreampgc.world.sculpture import LEFT_RIGHT, Sculpture


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
        s.cone((0.45 * x, 0.16, 0), 0.04, 0.035, 0.22, rotation=(0, 0, -65 * x), paint=BARK)
    for y in (-0.02, 0.13):
        s.ball((0, y, 0.31), 0.035, paint=INK)


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
        s.box(((width + 0.06) * x, 0.0, 0), (0.07, s.vary(0.26, 0.30), 0.09), rounding=0.03, tint=0.85)
        s.ball(((width + 0.09) * x, -0.32, 0), 0.09, paint=METAL)
        s.box((0.15 * x, -0.50, 0), (0.09, 0.22, 0.11), rounding=0.03, tint=0.85)
        s.box((0.15 * x, -0.74, 0.05), (0.11, 0.05, 0.17), rounding=0.03, paint=METAL)
