"""What no camera can see: the inside of an object, and what a field left empty there.

Score distillation shapes only what cameras look at. Behind an opaque shell a field stays a sponge, open where no
camera looks in from, such as from below. A user expects a solid.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

Volume = NDArray[np.float32]

#: Nodes along each side of the volume in which light is traced.
SIDE = 64
#: Cameras look from this many azimuths, and from this many elevations.
AZIMUTHS, ELEVATIONS = 10, 4
#: The traced cube is larger than the volume by this factor, so that a turned one still covers the object.
MARGIN = 1.2


@torch.no_grad()
def best_light(density: Volume, bound: float, elevation: tuple[float, float]) -> Volume:
    """The largest share of light ``[R,R,R]`` in [0,1] that reaches a camera from each node of ``density`` ``[R,R,R]``.

    Cameras look from all azimuths and from elevations in the range ``elevation`` (degrees), from far away.
    ``density`` is per world unit, sampled at the nodes of a grid over ``[-bound, bound]^3``.
    """
    fine = torch.from_numpy(density)[None, None]
    coarse = functional.interpolate(fine, (SIDE,) * 3, mode="trilinear", align_corners=True)
    least = torch.ones(1, 1, SIDE, SIDE, SIDE)
    low, high = (math.radians(angle) for angle in elevation)
    for tilt in np.linspace(low, high, ELEVATIONS):
        for turn in np.arange(AZIMUTHS) * (2 * math.pi / AZIMUTHS):
            least = torch.minimum(least, _lost_light(coarse, bound, _camera_axes(float(turn), float(tilt))))
    lost = functional.interpolate(least, density.shape, mode="trilinear", align_corners=True)
    return (1 - lost)[0, 0].numpy()


def _camera_axes(azimuth: float, elevation: float) -> Tensor:
    """Right, up and the direction to the camera, the rows of ``[3,3]``; angles in radians."""
    back = [math.cos(elevation) * math.sin(azimuth), math.sin(elevation), math.cos(elevation) * math.cos(azimuth)]
    right = torch.tensor([math.cos(azimuth), 0.0, -math.sin(azimuth)])
    to_camera = torch.tensor(back)
    return torch.stack([right, torch.linalg.cross(to_camera, right), to_camera])


def _lost_light(coarse: Tensor, bound: float, axes: Tensor) -> Tensor:
    """The share of light that is lost between each node of ``coarse`` ``[1,1,S,S,S]`` and a camera far away."""
    nodes = torch.linspace(-1, 1, SIDE)
    cube = torch.stack(torch.meshgrid(nodes, nodes, nodes, indexing="ij"), dim=-1)
    # grid_sample names the last index first.
    turned = functional.grid_sample(coarse, (MARGIN * cube @ axes).flip(-1)[None], align_corners=True)
    step = 2 * bound * MARGIN / (SIDE - 1)
    depth = (turned.flip(-1).cumsum(-1).flip(-1) - turned / 2) * step
    back = (cube @ axes.T / MARGIN).flip(-1)[None]
    return functional.grid_sample(-torch.expm1(-depth), back, align_corners=True)
