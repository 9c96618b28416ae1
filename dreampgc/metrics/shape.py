"""Which kind of object a solid looks like, and how near it comes to the ground truth of the kind it should be.

Solids are those of `metrics.solids`: meshes and ground truth are compared by the same means, without colours. A
*kind* is a `Caption` without attributes: "a castle", or "a castle on a car".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from dreampgc.metrics.memory import Arrays, remembered
from dreampgc.metrics.solids import SIDE, Floats, Solid, balanced, matched, object_solid, surface_points
from dreampgc.world.objects import CARRIERS, CLASSES, HELD_OUT_SEED, Caption, make_object

Descriptor = NDArray[np.uint8]

#: Pixels along each side of a descriptor's maps.
PIXELS = 32
#: Surface points from which distances are taken; they are taken to all.
PROBES = 4096
#: Part of every cache's digest: to be raised when solids or descriptors are made in another way.
FORMAT = 1


def projections(solid: Solid) -> Iterator[Solid]:
    """The solid seen along five lines, first index along the line: x, y, z, and the diagonals between x and z.

    A diagonal one is turned by 45 degrees about y and shrunk by sqrt(2), so that it fits into the lattice.
    """
    for axis in range(3):
        yield np.moveaxis(solid, axis, 0)
    side = len(solid)
    # On the shrunken lattice, a turn by 45 degrees leads from (x, z) to (x + z, z - x): no root remains.
    one, other = np.indices((side, side))
    x, z = one + other - side // 2, other - one + side // 2
    within = (x >= 0) & (x < side) & (z >= 0) & (z < side)
    turned = (solid[x % side, :, z % side] & within[..., None]).swapaxes(1, 2)
    yield turned
    yield turned.swapaxes(0, 2)


def silhouettes(solid: Solid) -> NDArray[np.bool_]:
    """The shadow ``[5,S,S]`` of a solid along each of its `projections`."""
    return np.stack([view.any(axis=0) for view in projections(solid)])


def nearness(solid: Solid) -> NDArray[np.float32]:
    """How near to the eye a solid is, ``[10,S,S]``: 1 at the lattice's front, 0 at its back and where nothing is.

    Each of the `projections` is seen from both of its ends.
    """
    views = [view for along in projections(solid) for view in (along, along[::-1])]
    return np.stack([(1 - view.argmax(axis=0) / len(solid)) * view.any(axis=0) for view in views]).astype(np.float32)


def descriptor(solid: Solid) -> Descriptor:
    """What a solid looks like from ten sides, as it is and `balanced`: maps ``[2,15,PIXELS,PIXELS]`` in 0 ... 255.

    The maps are the five silhouettes and the ten of `nearness`.

    Raises:
        ValueError: the solid's side is not a multiple of ``PIXELS``.
    """
    if len(solid) % PIXELS:
        raise ValueError(f"a described solid needs a side that is a multiple of {PIXELS}, not {len(solid)}")
    maps = np.stack([np.concatenate([silhouettes(s), nearness(s)]) for s in (solid, balanced(solid))])
    pooled = maps.reshape(2, -1, PIXELS, len(solid) // PIXELS, PIXELS, len(solid) // PIXELS).mean(axis=(3, 5))
    return np.round(255 * pooled).astype(np.uint8)


def volume_iou(one: Solid, other: Solid) -> float:
    """The volume that two solids share, as a share of what either fills."""
    return float(np.count_nonzero(one & other) / np.count_nonzero(one | other))


def chamfer_distance(one: Floats, other: Floats) -> float:
    """The mean distance from the points ``[N,3]`` of either set to the nearest of the other's, mean of both ways.

    Distances are taken from ``PROBES`` points, evenly chosen.
    """

    def way(start: Floats, to: Floats) -> float:
        probes = start[:: -(-len(start) // PROBES)]
        return KDTree(to, balanced_tree=False).query(probes)[0].mean()

    return float(way(one, other) + way(other, one)) / 2


def coverage(solid: Solid, truth: Solid) -> float:
    """The share of the truth's silhouette that the solid covers, in the worst of the five: 0 if a side is missing."""
    pairs = zip(silhouettes(solid), silhouettes(truth), strict=True)
    return float(min(np.count_nonzero(seen & true) / np.count_nonzero(true) for seen, true in pairs))


@dataclass(frozen=True)
class Shape:
    """How a solid compares with another one that is right; with several, each time with the one that suits best.

    ``chamfer`` is in the lattice's units: where solids are aligned, the longest side of a bounding box is 2.
    """

    iou: float
    chamfer: float
    coverage: float


@dataclass(frozen=True)
class References:
    """The ground truth of one kind: bits of ``n`` solids ``[n,S*S*S/8]``, and their descriptors ``[n,2,15,P,P]``."""

    bits: NDArray[np.uint8]
    descriptors: Descriptor

    def solids(self) -> Iterator[Solid]:
        """The solids, one at a time."""
        for bits in self.bits:
            side = round((8 * len(bits)) ** (1 / 3))
            yield np.unpackbits(bits).reshape(side, side, side).astype(np.bool_)

    def distance(self, described: Descriptor) -> float:
        """The mean absolute difference to the nearest reference, as they are or both balanced, in 0 ... 255."""
        difference = np.abs(self.descriptors.astype(np.int16) - described)
        return float(difference.mean(axis=(2, 3, 4)).min())


class ShapeLibrary:
    """Ground truth of every kind, made when it is first needed and kept in the folder ``cache``.

    ``samples`` objects stand for a class, ``pair_samples`` for a pair, with seeds from ``first_seed`` on. What recipes
    make is part of a cache file's name, so that the file of a changed recipe is never read.
    """

    def __init__(
        self,
        cache: Path,
        classes: Sequence[str] = tuple(CLASSES),
        *,
        samples: int = 32,
        pair_samples: int = 8,
        first_seed: int = HELD_OUT_SEED,
        side: int = SIDE,
    ) -> None:
        self.cache, self.classes, self.side = cache, tuple(classes), side
        self._samples, self._pair_samples, self._first_seed = samples, pair_samples, first_seed
        self._known: dict[Caption, References] = {}

    def retrieve(self, solid: Solid, asked: Caption | None = None) -> list[Caption]:
        """All `candidates`, what ``solid`` looks like most first; top-1 is right where that is ``kind_of(asked)``."""
        described = descriptor(solid)
        distances = {kind: self.references(kind).distance(described) for kind in self.candidates(asked)}
        return sorted(distances, key=distances.__getitem__)

    def candidates(self, asked: Caption | None = None) -> list[Caption]:
        """What a solid may be taken for: every class; for a pair, every class on its base and it on every carrier.

        For a pair, the two objects alone are candidates too: leaving one of them out is a likely failure.
        """
        if asked is None or asked.base is None:
            return [Caption(name) for name in self.classes]
        upper, base = Caption(asked.name), Caption(asked.base.name)
        on_base = [Caption(name, base=base) for name in self.classes]
        on_others = [Caption(asked.name, base=Caption(name)) for name in CARRIERS if name != base.name]
        return [*on_base, *on_others, upper, base]

    def measure(self, solid: Solid, asked: Caption) -> Shape:
        """IoU, Chamfer distance and coverage against the references of the kind that was asked for.

        For each of them, the aligned ``solid`` stays as it is or is `matched`, whichever has the better IoU.
        """
        compared = [compare_aligned(solid, truth) for truth in self.references(kind_of(asked)).solids()]
        return Shape(
            iou=max(one.iou for one in compared),
            chamfer=min(one.chamfer for one in compared),
            coverage=max(one.coverage for one in compared),
        )

    def references(self, kind: Caption) -> References:
        """The ground truth of ``kind``, from memory, from the cache's folder, or made now."""
        if kind not in self._known:
            self._known[kind] = self._read_or_make(kind)
        return self._known[kind]

    def _read_or_make(self, kind: Caption) -> References:
        seeds = range(self._first_seed, self._first_seed + (self._pair_samples if kind.base else self._samples))
        objects = [(kind.name, seed, (kind.base.name, seed) if kind.base else None) for seed in seeds]
        made_of = FORMAT, self.side, PIXELS, [make_object(*one) for one in objects]

        def make() -> Arrays:
            solids = [object_solid(*one, side=self.side) for one in objects]
            return {
                "bits": np.stack([np.packbits(solid) for solid in solids]),
                "descriptors": np.stack([descriptor(solid) for solid in solids]),
            }

        return References(**remembered(self.cache, str(kind), made_of, make))


def compare_aligned(solid: Solid, truth: Solid) -> Shape:
    """`compare` of aligned solids: by their bounding boxes or by their mass, whichever gives the better IoU."""
    return compare(max(solid, matched(solid, truth), key=lambda one: volume_iou(one, truth)), truth)


def compare(solid: Solid, truth: Solid) -> Shape:
    """How a solid compares with ``truth``, both on one lattice and left where they are."""
    return Shape(
        iou=volume_iou(solid, truth),
        chamfer=chamfer_distance(surface_points(solid), surface_points(truth)),
        coverage=coverage(solid, truth),
    )


def kind_of(caption: Caption) -> Caption:
    """The caption without its attributes."""
    return Caption(caption.name, base=kind_of(caption.base) if caption.base else None)
