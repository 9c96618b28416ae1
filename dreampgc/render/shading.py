"""Light on a surface: normals of a density field and Lambertian reflection."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from dreampgc.cameras import Views
from dreampgc.transfer import draw

Shading = Literal["albedo", "lambertian", "textureless", "normals"]

#: Corners of a tetrahedron: the least number of samples that gives a gradient, biased towards no axis.
_TETRAHEDRON = ((1.0, -1.0, -1.0), (-1.0, -1.0, 1.0), (-1.0, 1.0, -1.0), (1.0, 1.0, 1.0))


def needs_normals(shading: Shading) -> bool:
    """Whether ``shading`` depends on the surface's orientation.

    Raises:
        ValueError: ``shading`` is not one of the four names.
    """
    if shading not in ("albedo", "lambertian", "textureless", "normals"):
        raise ValueError(f"unknown shading {shading!r}: choose albedo, lambertian, textureless or normals")
    return shading != "albedo"


def density_normals(density: Callable[[Tensor], Tensor], positions: Tensor, offset: float = 0.02) -> Tensor:
    """Outward normals ``[N,3]``, the normalised negative gradient of ``density`` at ``positions`` ``[N,3]``.

    By finite differences at distance ``offset`` (world units): four evaluations a point, differentiable in
    whatever ``density`` is differentiable in. Zero where the density is constant.
    """
    corners = _corners(positions.device).to(positions.dtype)
    around = positions + (offset / 3**0.5) * corners[:, None, :]
    values = density(around.reshape(-1, 3)).view(4, -1)
    gradient = values.T @ corners * (3**0.5 / (4 * offset))
    return -gradient * torch.rsqrt(gradient.square().sum(-1, keepdim=True) + 1e-12)


@functools.cache
def _corners(device: torch.device) -> Tensor:
    return torch.tensor(_TETRAHEDRON, device=device)  # kept, because a copy to the device would halt every step


def shade(albedo: Tensor, normals: Tensor, light: Tensor, ambient: Tensor, shading: Shading) -> Tensor:
    """Colour ``[N,C]``: ``albedo * (ambient + (1 - ambient) * max(n.l, 0))``; "textureless" takes white for albedo.

    ``light`` ``[N,3]`` unit vectors towards the light, ``ambient`` ``[N,1]`` in [0,1]. "normals" gives ``(n + 1) / 2``.
    """
    if shading == "normals":
        return normals * 0.5 + 0.5
    lit = ambient + (1 - ambient) * (normals * light).sum(-1, keepdim=True).clamp_min(0)
    return lit.expand_as(albedo) if shading == "textureless" else albedo * lit


def sample_lights(views: Views, generator: torch.Generator, spread: float = 0.4) -> Tensor:
    """Random unit directions ``[B,3]`` towards a light near each camera, off its axis by about ``spread`` radians."""
    towards_camera = -views.axes()[2]
    noise = draw(lambda: torch.randn(len(views), 3, generator=generator), towards_camera.device)
    return functional.normalize(towards_camera + spread * noise, dim=-1)
