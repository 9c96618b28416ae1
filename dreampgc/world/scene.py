"""Batches of objects as tensors: signed distance, albedo and textures at any point.

A `Scene` packs ``B`` objects into slots by kind of primitive, so that a batch of different classes is
evaluated by the same few tensor expressions (and compiles to the same few kernels).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from dreampgc.world.objects import make_object
from dreampgc.world.paints import COLOURS, MATERIALS
from dreampgc.world.sculpture import KINDS, Part

#: Where an unused slot's primitive stands: far outside of the world.
FAR = 100.0


@dataclass(frozen=True)
class Primitives:
    """``n`` primitives of one kind for each of ``B`` objects; rotations lead from world to the part's frame."""

    center: Tensor  # [B,n,3]
    rotation: Tensor  # [B,n,3,3]
    size: Tensor  # [B,n,3]
    rounding: Tensor  # [B,n]


@dataclass(frozen=True)
class Scene:
    """``B`` objects. ``paint`` ``[B,S,3]`` and ``bare`` ``[B,S]`` run over all slots in the order of ``KINDS``.

    Where ``bare`` is 1 the attribute shows and ``paint`` is only a tint: ``base`` ``[B,3]`` is the attribute's colour
    (white for a material), ``material`` ``[B]`` an index into ``MATERIALS`` or -1, and ``phase`` ``[B,3]`` shifts the
    texture (bricks stay where they are).
    """

    boxes: Primitives
    balls: Primitives
    cones: Primitives
    rings: Primitives
    paint: Tensor
    bare: Tensor
    base: Tensor
    material: Tensor
    phase: Tensor

    def __len__(self) -> int:
        return self.material.shape[0]

    def __getitem__(self, index: slice | Tensor) -> Scene:
        """Some of the objects, in the order of ``index``."""
        return self._map(lambda tensor: tensor[index])

    def to(self, device: torch.device | str) -> Scene:
        """The same objects on ``device``."""
        return self._map(lambda tensor: tensor.to(device))

    def wearing(self, attributes: Sequence[str]) -> Scene:
        """The same shapes with other attributes, one for each object.

        Raises:
            KeyError: an unknown attribute.
        """
        base, material = _looks(attributes)
        device = self.material.device
        return replace(self, base=base.to(device), material=material.to(device))

    def _map(self, change: Callable[[Tensor], Tensor]) -> Scene:
        def changed(value: Any) -> Any:
            if isinstance(value, Tensor):
                return change(value)
            return Primitives(*(change(getattr(value, f.name)) for f in fields(value)))

        return Scene(**{f.name: changed(getattr(self, f.name)) for f in fields(self)})


def make_scene(objects: Sequence[tuple[str, str, int]], slots: dict[str, int] | None = None) -> Scene:
    """Pack objects, each a triple (class, attribute, seed).

    ``slots`` fixes the number of slots per kind (for compiled code that wants one shape); left out, they
    are as many as the fullest object needs.

    Raises:
        KeyError: an unknown class or attribute.
        ValueError: an object has more parts of a kind than ``slots`` allows.
    """
    parts = [make_object(name, seed) for name, _, seed in objects]
    slots = slots or needed_slots(parts)
    groups = [[[p for p in one if p.kind == kind] for one in parts] for kind in KINDS]
    boxes, balls, cones, rings = (_pack(group, slots[kind]) for kind, group in zip(KINDS, groups, strict=True))
    coats = [_coat(group, slots[kind]) for kind, group in zip(KINDS, groups, strict=True)]
    paint, bare = (torch.cat(rows, dim=1) for rows in zip(*coats, strict=True))
    phase = [[(seed * k % 997) / 997 * 6.2832 for k in (37, 101, 211)] for _, _, seed in objects]
    base, material = _looks([attribute for _, attribute, _ in objects])
    return Scene(boxes, balls, cones, rings, paint, bare, base, material, torch.tensor(phase))


def needed_slots(objects: Sequence[Sequence[Part]]) -> dict[str, int]:
    """The smallest slot counts that hold every one of ``objects``, at least one of each kind."""
    return {kind: max(1, *(sum(p.kind == kind for p in one) for one in objects)) for kind in KINDS}


def _looks(attributes: Sequence[str]) -> tuple[Tensor, Tensor]:
    """The base colours ``[B,3]`` and the materials' indices ``[B]`` of some attributes."""
    base = [(1.0, 1.0, 1.0) if a in MATERIALS else COLOURS[a] for a in attributes]
    return torch.tensor(base), torch.tensor([MATERIALS.index(a) if a in MATERIALS else -1 for a in attributes])


def _coat(groups: list[list[Part]], slots: int) -> tuple[Tensor, Tensor]:
    """The paint (or tint) ``[B,slots,3]`` and bareness ``[B,slots]`` of the parts of one kind."""
    paint, bare = torch.zeros(len(groups), slots, 3), torch.zeros(len(groups), slots)
    for b, parts in enumerate(groups):
        for n, part in enumerate(parts):
            paint[b, n] = torch.tensor(part.paint or (part.tint,) * 3)
            bare[b, n] = float(part.paint is None)
    return paint, bare


def _pack(groups: list[list[Part]], slots: int) -> Primitives:
    """The primitives of one kind; raises ValueError where an object has more of them than ``slots``."""
    most = max(map(len, groups))
    if most > slots:
        raise ValueError(f"an object has {most} parts of one kind, more than {slots} slots")
    center = torch.full((len(groups), slots, 3), FAR)
    rotation = torch.eye(3).repeat(len(groups), slots, 1, 1)
    size = torch.full((len(groups), slots, 3), 0.1)
    rounding = torch.zeros(len(groups), slots)
    for b, parts in enumerate(groups):
        for n, part in enumerate(parts):
            center[b, n] = torch.tensor(part.center)
            rotation[b, n] = torch.from_numpy(part.matrix().T.copy()).float()
            size[b, n] = torch.tensor(part.size)
            rounding[b, n] = part.rounding
    return Primitives(center, rotation, size, rounding)


def signed_distance(scene: Scene, points: Tensor) -> Tensor:
    """Distance ``[B,P]`` from ``points`` ``[B,P,3]`` to each object's surface, negative inside.

    Exact for boxes, cones and rings; outside an ellipsoid a lower bound, exact at its surface.
    """
    nearest = [kind.amin(-1) for kind in _distances(scene, points)]
    return torch.stack(nearest).amin(0)


def albedo(scene: Scene, points: Tensor) -> Tensor:
    """The sRGB albedo ``[B,P,3]`` of the part nearest to each of ``points`` ``[B,P,3]``."""
    slot = torch.cat(_distances(scene, points), dim=-1).argmin(-1)
    paint = scene.paint.gather(1, slot[..., None].expand(-1, -1, 3))
    bare = scene.bare.gather(1, slot)[..., None]
    attribute = scene.base[:, None] * textures(points, scene.material, scene.phase)
    return paint * (1 - bare + bare * attribute)


def textures(points: Tensor, material: Tensor, phase: Tensor) -> Tensor:
    """The solid texture ``[B,P,3]`` of each object's material at ``points``; white where it has none."""
    x, y, z = points.unbind(-1)
    a, b, c = (p[:, None] for p in phase.unbind(-1))
    swirl = _noise(x, y, z, a, b, c)

    def blend(low: tuple[float, ...], high: tuple[float, ...], share: Tensor) -> Tensor:
        return torch.stack([lo + (hi - lo) * share for lo, hi in zip(low, high, strict=True)], dim=-1)

    rings = 0.5 + 0.5 * torch.sin(34 * torch.sqrt((x - 0.2) ** 2 + (y + 0.6) ** 2 + 1e-6) + 2.2 * swirl + a)
    wooden = blend((0.36, 0.20, 0.09), (0.66, 0.42, 0.22), rings)
    speckle = (0.5 + 0.35 * swirl + 0.3 * _noise(2.6 * x, 2.6 * y, 2.6 * z, c, a, b)).clamp(0, 1)
    stone = blend((0.33, 0.33, 0.34), (0.66, 0.65, 0.62), speckle)
    sheen = 0.5 + 0.5 * torch.sin(5 * y + 3 * x + 2 * z + 1.2 * swirl + b)
    golden = blend((0.66, 0.44, 0.06), (1.0, 0.84, 0.36), sheen)
    row = (y + 2.0) / 0.14
    along = (x + z + 4.0) / 0.30 + 0.5 * torch.remainder(torch.floor(row), 2)
    mortar = ((torch.remainder(row, 1) < 0.18) | (torch.remainder(along, 1) < 0.10)).to(points.dtype)
    brick = blend((0.64, 0.24, 0.17), (0.78, 0.74, 0.68), mortar)
    patterns = torch.stack([torch.ones_like(wooden), wooden, stone, golden, brick])
    chosen = (torch.arange(5, device=points.device)[:, None] == material + 1).to(points.dtype)
    return (patterns * chosen[:, :, None, None]).sum(0)


def _noise(x: Tensor, y: Tensor, z: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """A smooth pattern in about [-1, 1]: a few sines that share no period; the same on every device."""
    low = torch.sin(5.1 * x + 3.3 * y + a) * torch.sin(4.7 * y - 3.9 * z + b)
    high = torch.sin(11.3 * z + 7.1 * x + c) * torch.sin(9.7 * y - 6.1 * x + a)
    return 0.65 * low + 0.45 * high


def _distances(scene: Scene, points: Tensor) -> list[Tensor]:
    """Distances ``[B,P,n]`` to the primitives of each kind, in the order of ``KINDS``."""
    return [
        _box(*_local(scene.boxes, points)),
        _ball(*_local(scene.balls, points)),
        _cone(*_local(scene.cones, points)),
        _ring(*_local(scene.rings, points)),
    ]


Coordinates = tuple[Tensor, Tensor, Tensor]


def _local(primitives: Primitives, points: Tensor) -> tuple[Coordinates, Coordinates, Tensor]:
    """Points in each primitive's frame, and its size, by components, so that a compiler fuses it all."""
    offset = points[:, :, None, :] - primitives.center[:, None]
    x, y, z = offset.unbind(-1)
    rows = primitives.rotation[:, None].unbind(-2)
    local = tuple(r[..., 0] * x + r[..., 1] * y + r[..., 2] * z for r in rows)
    a, b, c = primitives.size[:, None].unbind(-1)
    return (local[0], local[1], local[2]), (a, b, c), primitives.rounding[:, None]


def _norm(*components: Tensor) -> Tensor:
    return torch.sqrt(sum((c * c for c in components), torch.full((), 1e-12, device=components[0].device)))


def _box(p: Coordinates, half: Coordinates, rounding: Tensor) -> Tensor:
    q = [x.abs() - (h - rounding) for x, h in zip(p, half, strict=True)]
    outside = _norm(*(v.clamp_min(0) for v in q))
    inside = torch.maximum(q[0], torch.maximum(q[1], q[2])).clamp_max(0)
    return outside + inside - rounding


def _ball(p: Coordinates, radii: Coordinates, rounding: Tensor) -> Tensor:
    k0 = _norm(*(x / r for x, r in zip(p, radii, strict=True)))
    k1 = _norm(*(x / (r * r) for x, r in zip(p, radii, strict=True)))
    return k0 * (k0 - 1) / k1 - rounding


def _cone(p: Coordinates, size: Coordinates, rounding: Tensor) -> Tensor:
    bottom, height, top = size
    radial, y = _norm(p[0], p[2]), p[1]
    cap_x = radial - torch.minimum(radial, torch.where(y < 0, bottom, top))
    cap_y = y.abs() - height
    slope_x, slope_y = top - bottom, 2 * height
    along = ((top - radial) * slope_x + (height - y) * slope_y) / (slope_x**2 + slope_y**2)
    along = along.clamp(0, 1)
    side_x, side_y = radial - top + slope_x * along, y - height + slope_y * along
    sign = torch.where((side_x < 0) & (cap_y < 0), -1.0, 1.0)
    squared = torch.minimum(cap_x**2 + cap_y**2, side_x**2 + side_y**2)
    return sign * torch.sqrt(squared + 1e-12) - rounding


def _ring(p: Coordinates, size: Coordinates, rounding: Tensor) -> Tensor:
    radius, tube, _ = size
    return _norm(_norm(p[0], p[2]) - radius, p[1]) - tube - rounding
