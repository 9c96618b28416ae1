"""The materials: solid textures, the same on every device."""

from __future__ import annotations

import torch
from torch import Tensor

from dreampgc.world.paints import MATERIALS
from dreampgc.world.sculpture import Vector


def textures(points: Tensor, material: Tensor, phase: Tensor) -> Tensor:
    """The solid texture ``[B,P,3]`` of ``material`` ``[B,P]`` at ``points``; white where there is none (-1).

    ``phase`` ``[B,P,3]`` shifts the natural patterns.
    """
    x, y, z = points.unbind(-1)
    a, b, c = phase.unbind(-1)
    swirl = _noise(x, y, z, a, b, c)

    rings = 0.5 + 0.5 * torch.sin(34 * torch.sqrt((x - 0.2) ** 2 + (y + 0.6) ** 2 + 1e-6) + 2.2 * swirl + a)
    speckle = (0.5 + 0.35 * swirl + 0.3 * _noise(2.6 * x, 2.6 * y, 2.6 * z, c, a, b)).clamp(0, 1)
    sheen = 0.5 + 0.5 * torch.sin(5 * y + 3 * x + 2 * z + 1.2 * swirl + b)
    row = (y + 2.0) / 0.14
    along = (x + z + 4.0) / 0.30 + 0.5 * torch.remainder(torch.floor(row), 2)
    mortar = ((torch.remainder(row, 1) < 0.18) | (torch.remainder(along, 1) < 0.10)).to(points.dtype)
    veins = (torch.sin(5 * x - 6 * y + 4 * z + 2.6 * swirl + a).abs() * 2.2).clamp(0, 1)
    zigzag = (torch.remainder((x + z + 4.0) / 0.16, 1) - 0.5).abs()
    stitches = (0.5 + 1.6 * torch.sin(6.2832 * ((y + 2.0) / 0.17 + zigzag))).clamp(0, 1)
    glint = (0.5 + 0.5 * torch.sin(11 * y + 1.3 * x - 1.1 * z + 0.8 * swirl + c)) ** 2
    # The shift keeps the borders of cells off the faces of objects that are centred on the origin.
    cells = sum(torch.floor((p + 2.063) / 0.21) for p in (x, y, z))
    patterns = {
        "wooden": _blend((0.36, 0.20, 0.09), (0.66, 0.42, 0.22), rings),
        "stone": _blend((0.33, 0.33, 0.34), (0.66, 0.65, 0.62), speckle),
        "golden": _blend((0.66, 0.44, 0.06), (1.0, 0.84, 0.36), sheen),
        "brick": _blend((0.64, 0.24, 0.17), (0.78, 0.74, 0.68), mortar),
        "marble": _blend((0.38, 0.44, 0.46), (0.97, 0.95, 0.91), veins),
        "knitted": _blend((0.74, 0.15, 0.24), (0.96, 0.89, 0.78), stitches),
        "metal": _blend((0.26, 0.32, 0.40), (0.88, 0.93, 0.98), glint),
        "checkered": _blend((0.09, 0.09, 0.10), (0.95, 0.95, 0.95), torch.remainder(torch.as_tensor(cells), 2)),
    }
    plain = torch.ones_like(points)
    for number, name in enumerate(MATERIALS):
        plain = torch.where((material == number)[..., None], patterns[name], plain)
    return plain


def _blend(low: Vector, high: Vector, share: Tensor) -> Tensor:
    """A colour ``[...,3]`` between ``low`` and ``high``, by ``share`` ``[...]`` of the second."""
    return torch.stack([lo + (hi - lo) * share for lo, hi in zip(low, high, strict=True)], dim=-1)


def _noise(x: Tensor, y: Tensor, z: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """A smooth pattern in about [-1, 1]: a few sines that share no period; the same on every device."""
    low = torch.sin(5.1 * x + 3.3 * y + a) * torch.sin(4.7 * y - 3.9 * z + b)
    high = torch.sin(11.3 * z + 7.1 * x + c) * torch.sin(9.7 * y - 6.1 * x + a)
    return 0.65 * low + 0.45 * high
