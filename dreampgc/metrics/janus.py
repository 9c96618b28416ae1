"""Does an object show its front from more than one side? The failure is named after Janus, who had two faces.

The pictures of an object's four quarters (azimuth 0, 90, 180, 270) are compared with those of ground truth. A quarter
looks like the front when the ground truth's front is nearer to it, by a margin, than its other three sides. An object
is a Janus if more than one quarter does.

Not every class can be judged: a cake has no front, and a chair's back is seen from its front. A caption is judged
only if ground truth of its own kind passes for what it is, and ground truth doubled on purpose for a Janus.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from dreampgc.metrics.memory import remembered
from dreampgc.metrics.pictures import (
    QUARTERS,
    SIZE,
    Subject,
    blurred,
    evaluation_views,
    fingerprint,
    item_of,
    lab_colours,
    one_light,
    softened,
    solid_pixels,
)
from dreampgc.types import RenderOutput
from dreampgc.world.objects import HELD_OUT_SEED, Caption

Floats = NDArray[np.float32]

#: Part of every cache's digest: to be raised when faces are made in another way.
FORMAT = 1
#: A quarter is a front if the ground truth's front is nearer than this share of the next nearest side's distance.
MARGIN = 0.95
#: Side in pixels to which the pictures of quarters are brought.
SIDE = 32
#: Details are what differs from the mean over a square of ``DETAIL`` pixels; they may be misplaced by ``TOLERANCE``.
DETAIL, TOLERANCE = 11, 7
#: What weighs as much as one: details of depth (world units) and Lab, depth itself, and the outline.
DEPTH_DETAIL, COLOUR_DETAIL, DEPTH, OUTLINE = 1 / 8, 20.0, 1 / 1.6, 1 / 0.3


def quarters(pictures: RenderOutput) -> RenderOutput:
    """The front, left, back and right pictures among those of `evaluation_views`."""
    pick = list(QUARTERS)
    return RenderOutput(pictures.image[pick], pictures.opacity[pick], pictures.depth[pick], None, {})


def faces(pictures: RenderOutput) -> Floats:
    """What tells the sides of an object apart, ``[4,10,SIDE,SIDE]``, centred and at one scale for all four.

    Details of depth and colour, with their sign and without, so that a small shift of an eye matters little; the
    depth, and the outline. The object's plain colour and a smooth shade leave no trace.

    Raises:
        ValueError: the pictures show no object.
    """
    mask = solid_pixels(pictures)
    planes = torch.cat([pictures.depth / DEPTH_DETAIL, lab_colours(pictures) / COLOUR_DETAIL], dim=1)
    details = planes - blurred(planes, mask, DETAIL)
    tolerant = blurred(torch.cat([details, details.abs()], dim=1), mask, TOLERANCE)
    area = mask.sum((1, 2, 3), keepdim=True).clamp_min(1)
    depth = pictures.depth - (pictures.depth * mask).sum((1, 2, 3), keepdim=True) / area
    return _centred(torch.cat([tolerant, depth / DEPTH, torch.ones_like(mask) / OUTLINE], dim=1) * mask, mask).numpy()


def _centred(planes: Tensor, mask: Tensor) -> Tensor:
    """``planes`` ``[V,C,H,W]`` cut to squares around the masks' centres, as wide as the widest mask needs."""
    side = mask.shape[-1]
    found = [one.nonzero() for one in mask[:, 0]]
    empty = torch.full((2,), side // 2)
    boxes = [(f.amin(0), f.amax(0)) if len(f) else (empty, empty) for f in found]
    half = max((high - low).max().item() / 2 + 1 for low, high in boxes)
    steps = torch.linspace(-half, half, SIDE)
    rows, columns = (torch.stack([(b[0] + b[1])[k] / 2 + steps for b in boxes]) for k in range(2))
    grid = torch.stack([columns[:, None].expand(-1, SIDE, -1), rows[..., None].expand(-1, -1, SIDE)], dim=-1)
    return functional.grid_sample(planes, (2 * grid + 1) / side - 1, align_corners=False)


def fronts(seen: Floats, truths: Floats) -> list[bool]:
    """Which of four quarters (`faces` ``[4,C,S,S]``) look like the front of ground truth ``[N,4,C,S,S]``."""
    distances = np.stack([np.abs(seen[:, None] - truth[None]).mean(axis=(2, 3, 4)) for truth in truths]).min(axis=0)
    return (distances[:, 0] < MARGIN * distances[:, 1:].min(axis=1)).tolist()


@dataclass(frozen=True)
class Truths:
    """`faces` of ground truth ``[N,L,4,C,S,S]`` and of the same objects doubled, in ``L`` lights."""

    right: Floats
    doubled: Floats

    @property
    def telling(self) -> bool:
        """Whether, judged by the others, each right object has its one front in front, and each doubled one has two."""
        for number, (right, doubled) in enumerate(zip(self.right, self.doubled, strict=True)):
            others = np.delete(self.right, number, axis=0).reshape(-1, *right.shape[1:])
            if any(fronts(seen, others) != [True, False, False, False] for seen in right):
                return False
            if any(sum(fronts(seen, others)) < 2 for seen in doubled):
                return False
        return True


class FrontLibrary:
    """The fronts of ground truth of every kind, made when first needed and kept in the folder ``cache``.

    ``samples`` objects with seeds from ``first_seed`` on stand for a class or a pair, sharp in the studio's light and
    blurred in a random one. Captions name their attributes: `AttributeLibrary.fitted` fills in what a prompt leaves.
    """

    def __init__(self, cache: Path, *, samples: int = 4, first_seed: int = HELD_OUT_SEED, size: int = SIZE) -> None:
        self.views = evaluation_views()[torch.tensor(QUARTERS)]
        self._cache, self._size, self._seeds = cache, size, range(first_seed, first_seed + samples)
        self._known: dict[Caption, Truths] = {}

    def can_judge(self, asked: Caption) -> bool:
        """Whether objects of this kind have a front that tells, see `Truths.telling`."""
        return self._truths(asked).telling

    def is_janus(self, pictures: RenderOutput, asked: Caption) -> bool:
        """Whether the object in four `quarters` shows the front of what was asked for more than once.

        Raises:
            ValueError: the pictures show no object.
        """
        truths = self._truths(asked).right
        return sum(fronts(faces(pictures), truths.reshape(-1, *truths.shape[2:]))) > 1

    def _truths(self, asked: Caption) -> Truths:
        if asked not in self._known:
            items = [item_of(asked, seed) for seed in self._seeds]
            settings = (FORMAT, self._size)
            arrays = remembered(self._cache, f"{asked} fronts", fingerprint(items, settings), lambda: self._made(asked))
            self._known[asked] = Truths(**arrays)
        return self._known[asked]

    def _made(self, asked: Caption) -> dict[str, Floats]:
        def seen(doubled: bool) -> Floats:
            return np.stack([self._faces(asked, seed, doubled) for seed in self._seeds])

        return {"right": seen(False), "doubled": seen(True)}

    def _faces(self, asked: Caption, seed: int, doubled: bool) -> Floats:
        subject = Subject(item_of(asked, seed), self.views, self._size, doubled=doubled)
        dim = softened(subject.pictures(light=one_light(seed, len(self.views))), 1)
        return np.stack([faces(subject.pictures()), faces(dim)])
