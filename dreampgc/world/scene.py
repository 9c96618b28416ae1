"""Batches of objects as tensors: signed distance and albedo at any point.

A `Scene` packs ``B`` objects into slots by kind of primitive, so that a batch of different classes is
evaluated by the same few tensor expressions (and compiles to the same few kernels). An object is a triple
(class, attribute, seed), or a pair of such triples: the upper one and the base that it stands on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, cast

import torch
from torch import Tensor

from dreampgc.world.objects import make_object
from dreampgc.world.paints import COLOURS, MATERIALS
from dreampgc.world.sculpture import KINDS, Part
from dreampgc.world.textures import textures

#: (class, attribute, seed), a pair of them (upper, base), and the attribute or attributes that one wears.
Item = tuple[str, str, int]
Pair = tuple[Item, Item]
Worn = str | tuple[str, str]
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
    """``B`` objects. ``paint`` ``[B,S,3]``, ``bare`` and ``owner`` ``[B,S]`` run over all slots, by ``KINDS``.

    Where ``bare`` is 1 the owner's attribute shows and ``paint`` is only a tint. For the upper (or only) object, owner
    0, and its base, owner 1: ``base`` ``[B,2,3]`` is the attribute's colour (white for a material), ``material``
    ``[B,2]`` an index into ``MATERIALS`` or -1, and ``phase`` ``[B,2,3]`` shifts the texture (bricks and checks stay).
    """

    boxes: Primitives
    balls: Primitives
    cones: Primitives
    rings: Primitives
    paint: Tensor
    bare: Tensor
    owner: Tensor
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

    def wearing(self, attributes: Sequence[Worn]) -> Scene:
        """The same shapes with other attributes, one for each object or two (upper, base) for each pair.

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


def make_scene(objects: Sequence[Item | Pair], slots: dict[str, int] | None = None) -> Scene:
    """Pack objects, each a triple (class, attribute, seed) or a pair of them (upper, base).

    ``slots`` fixes the number of slots per kind (for compiled code that wants one shape); left out, they
    are as many as the fullest object needs.

    Raises:
        KeyError: an unknown class or attribute.
        ValueError: an object has more parts of a kind than ``slots`` allows, or a base carries nothing.
    """
    parts = [sculpt(item) for item in objects]
    # A single object twice: no part belongs to the second.
    pairs = [(upper, base or upper) for upper, base in map(upper_and_base, objects)]
    slots = slots or needed_slots(parts)
    groups = [[[p for p in one if p.kind == kind] for one in parts] for kind in KINDS]
    boxes, balls, cones, rings = (_pack(group, slots[kind]) for kind, group in zip(KINDS, groups, strict=True))
    coats = [_coat(group, slots[kind]) for kind, group in zip(KINDS, groups, strict=True)]
    paint, bare, owner = (torch.cat(rows, dim=1) for rows in zip(*coats, strict=True))
    phase = [[[(seed * k % 997) / 997 * 6.2832 for k in (37, 101, 211)] for _, _, seed in pair] for pair in pairs]
    base, material = _looks([(upper[1], under[1]) for upper, under in pairs])
    return Scene(boxes, balls, cones, rings, paint, bare, owner, base, material, torch.tensor(phase))


def upper_and_base(item: Item | Pair) -> tuple[Item, Item | None]:
    """The two objects of a pair; a single object and None."""
    return cast(Pair, item) if isinstance(item[0], tuple) else (cast(Item, item), None)


def sculpt(item: Item | Pair) -> list[Part]:
    """The parts of an object or of a pair. Raises as `make_object` does."""
    (name, _, seed), base = upper_and_base(item)
    return make_object(name, seed, (base[0], base[2]) if base else None)


def needed_slots(objects: Sequence[Sequence[Part]]) -> dict[str, int]:
    """The smallest slot counts that hold every one of ``objects``, at least one of each kind."""
    return {kind: max(1, *(sum(p.kind == kind for p in one) for one in objects)) for kind in KINDS}


def _looks(worn: Sequence[Worn]) -> tuple[Tensor, Tensor]:
    """The base colours ``[B,2,3]`` and the materials' indices ``[B,2]`` of what the objects wear."""
    pairs = [(w, w) if isinstance(w, str) else w for w in worn]
    base = [[(1.0, 1.0, 1.0) if a in MATERIALS else COLOURS[a] for a in pair] for pair in pairs]
    material = [[MATERIALS.index(a) if a in MATERIALS else -1 for a in pair] for pair in pairs]
    return torch.tensor(base), torch.tensor(material)


def _coat(groups: list[list[Part]], slots: int) -> tuple[Tensor, Tensor, Tensor]:
    """The paint (or tint) ``[B,slots,3]``, bareness and owners ``[B,slots]`` of the parts of one kind."""
    paint, bare = torch.zeros(len(groups), slots, 3), torch.zeros(len(groups), slots)
    owner = torch.zeros(len(groups), slots, dtype=torch.long)
    for b, parts in enumerate(groups):
        for n, part in enumerate(parts):
            paint[b, n] = torch.tensor(part.paint or (part.tint,) * 3)
            bare[b, n] = float(part.paint is None)
            owner[b, n] = part.owner
    return paint, bare, owner


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
    nearest = [kind.amin(1) for kind in _distances(scene, points)]
    return torch.stack(nearest).amin(0)


def albedo(scene: Scene, points: Tensor) -> Tensor:
    """The sRGB albedo ``[B,P,3]`` of the part nearest to each of ``points`` ``[B,P,3]``."""
    slot = nearest_slot(scene, points)
    paint = _pick(scene.paint, slot)
    bare = scene.bare.gather(1, slot)[..., None]
    whose = scene.owner.gather(1, slot)
    pattern = textures(points, scene.material.gather(1, whose), _pick(scene.phase, whose))
    return paint * (1 - bare + bare * _pick(scene.base, whose) * pattern)


def owner(scene: Scene, points: Tensor) -> Tensor:
    """To which object of a pair each of ``points`` ``[B,P,3]`` is nearest, ``[B,P]``: 0 the upper one, 1 the base."""
    return scene.owner.gather(1, nearest_slot(scene, points))


def nearest_slot(scene: Scene, points: Tensor) -> Tensor:
    """The slot ``[B,P]`` of the part that is nearest to each of ``points`` ``[B,P,3]``."""
    return torch.cat(_distances(scene, points), dim=1).argmin(1)


def _pick(table: Tensor, index: Tensor) -> Tensor:
    """Rows ``[B,P,3]`` of a table ``[B,n,3]`` by index ``[B,P]``."""
    return table.gather(1, index[..., None].expand(-1, -1, 3))


def _distances(scene: Scene, points: Tensor) -> list[Tensor]:
    """Distances ``[B,n,P]`` to the primitives of each kind, in the order of ``KINDS``."""
    return [
        _box(*_local(scene.boxes, points)),
        _ball(*_local(scene.balls, points)),
        _cone(*_local(scene.cones, points)),
        _ring(*_local(scene.rings, points)),
    ]


Coordinates = tuple[Tensor, Tensor, Tensor]


def _local(primitives: Primitives, points: Tensor) -> tuple[Coordinates, Coordinates, Tensor]:
    """Points ``[B,n,P]`` in each primitive's frame, and its size ``[B,n,1]``, by components.

    A compiler fuses it all, and neighbouring threads work on neighbouring points.
    """
    offset = points[:, None] - primitives.center[:, :, None]
    x, y, z = offset.unbind(-1)
    rows = primitives.rotation[:, :, None].unbind(-2)
    local = tuple(r[..., 0] * x + r[..., 1] * y + r[..., 2] * z for r in rows)
    a, b, c = primitives.size[:, :, None].unbind(-1)
    return (local[0], local[1], local[2]), (a, b, c), primitives.rounding[..., None]


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
