"""Cameras: where a view is taken from, and its rays.

Angles in degrees: azimuth 0 is in front (camera on +z) and grows towards +x, elevation 0 is the
horizon, positive above; distance in world units from the origin, which every camera looks at; the
field of view is vertical.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from dreampgc.transfer import upload
from dreampgc.types import Rays


@dataclass(frozen=True)
class Views:
    """A batch of ``B`` cameras: ``azimuth``, ``elevation``, ``distance``, ``fov``, each ``[B]`` float32."""

    azimuth: Tensor
    elevation: Tensor
    distance: Tensor
    fov: Tensor

    def __len__(self) -> int:
        return self.azimuth.shape[0]

    def __getitem__(self, index: slice | Tensor) -> Views:
        return Views(self.azimuth[index], self.elevation[index], self.distance[index], self.fov[index])

    def to(self, device: torch.device | str) -> Views:
        """The same cameras on ``device``; the host does not wait for it."""
        return Views(*upload(self.together(), device).unbind())

    def together(self) -> Tensor:
        """All numbers as one tensor ``[4,B]``, in the order of the fields."""
        return torch.stack([self.azimuth, self.elevation, self.distance, self.fov])

    def positions(self) -> Tensor:
        """Camera centres ``[B,3]`` in world space."""
        azimuth, elevation = torch.deg2rad(self.azimuth), torch.deg2rad(self.elevation)
        unit = torch.stack([elevation.cos() * azimuth.sin(), elevation.sin(), elevation.cos() * azimuth.cos()], dim=-1)
        return unit * self.distance[:, None]

    def magnification(self) -> float:
        """How large all views together show things: the area of a unit square at the origin, in pictures."""
        return float((0.5 / (self.distance * torch.tan(torch.deg2rad(self.fov) / 2))).square().sum())

    def axes(self) -> tuple[Tensor, Tensor, Tensor]:
        """Unit vectors right, up and forward of each camera, each ``[B,3]``; exact at the poles too."""
        azimuth = torch.deg2rad(self.azimuth)
        forward = functional.normalize(-self.positions(), dim=-1)
        right = torch.stack([azimuth.cos(), torch.zeros_like(azimuth), -azimuth.sin()], dim=-1)
        return right, torch.linalg.cross(right, forward), forward

    def project(self, points: Tensor) -> Tensor:
        """Where each camera sees ``points`` ``[N,3]`` in front of it: ``[B,N,2]``, rightwards and downwards.

        A square picture reaches from -1 to 1.
        """
        right, up, forward = self.axes()
        offsets = points[None] - self.positions()[:, None]
        across, down, depth = (offsets @ torch.stack([right, -up, forward], dim=-1)).unbind(-1)
        tangent = torch.tan(torch.deg2rad(self.fov) / 2)[:, None]
        return torch.stack([across, down], dim=-1) / (tangent * depth)[..., None]

    def rays(self, height: int, width: int) -> Rays:
        """Rays through the pixel centres, origins and directions ``[B,H,W,3]``; row 0 is the top of the image."""
        right, up, forward = self.axes()
        device = self.azimuth.device
        rows = 1 - (torch.arange(height, device=device) + 0.5) * (2 / height)
        columns = ((torch.arange(width, device=device) + 0.5) * (2 / width) - 1) * (width / height)
        tangent = torch.tan(torch.deg2rad(self.fov) / 2)[:, None, None, None]
        across = columns[None, None, :, None] * right[:, None, None, :]
        upward = rows[None, :, None, None] * up[:, None, None, :]
        directions = functional.normalize(forward[:, None, None, :] + tangent * (across + upward), dim=-1)
        origins = self.positions()[:, None, None, :].expand_as(directions)
        return Rays(origins, directions, forward[:, None, None, :])


def sample_views(
    count: int,
    generator: torch.Generator,
    *,
    elevation: tuple[float, float],
    distance: tuple[float, float],
    fov: tuple[float, float],
    stratified: bool = True,
) -> Views:
    """``count`` random cameras, uniform in every range (CPU tensors, drawn from ``generator`` alone).

    With ``stratified`` the azimuths of one batch fall into ``count`` equal sectors, so that a batch sees
    the object from all around.
    """
    uniform = torch.rand(4, count, generator=generator)
    offset = torch.rand(1, generator=generator)
    sector = torch.arange(count) if stratified else torch.zeros(count)
    width = count if stratified else 1
    azimuth = ((sector + uniform[0]) / width + offset) % 1 * 360

    def between(low_high: tuple[float, float], u: Tensor) -> Tensor:
        return low_high[0] + (low_high[1] - low_high[0]) * u

    return Views(azimuth, between(elevation, uniform[1]), between(distance, uniform[2]), between(fov, uniform[3]))


def orbit_views(count: int, *, elevation: float = 15.0, distance: float = 2.4, fov: float = 45.0) -> Views:
    """``count`` cameras evenly around the object, starting in front."""
    azimuth = torch.arange(count, dtype=torch.float32) * (360.0 / count)
    return fixed_views(azimuth.tolist(), elevation=elevation, distance=distance, fov=fov)


def fixed_views(
    azimuths: Sequence[float], *, elevation: float = 15.0, distance: float = 2.4, fov: float = 45.0
) -> Views:
    """One camera for each azimuth in degrees, the rest shared."""
    azimuth = torch.tensor(azimuths, dtype=torch.float32)
    return Views(azimuth, *(torch.full_like(azimuth, value) for value in (elevation, distance, fov)))
