"""Does a run wear what it was asked to? Attributes retrieved from pictures, and how far off the colours are.

A picture becomes a cloud of pixels, each with its colour, how much colours vary around it, and its height. Two
clouds are compared by their sliced Wasserstein distance (Rabin et al. 2011): shapes need not match, and what is a
little blurred, shifted or misplaced is only a little farther away.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn import functional

from dreampgc.metrics.memory import remembered
from dreampgc.metrics.pictures import (
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
from dreampgc.world.paints import ATTRIBUTES
from dreampgc.world.scene import Worn

Floats = NDArray[np.float32]

#: Part of every cache's digest: to be raised when descriptors are made in another way.
FORMAT = 1
#: How many pixels stand for all: in a descriptor, and when colours are matched one to one.
CLOUD, MATCHED = 2048, 256
#: Lightness depends on the light, so it counts less than hue; a picture's height is as long as 30 units of Lab.
LIGHTNESS, HEIGHT = 0.6, 30.0
#: Width in pixels of the square in which colours' variation is taken.
GRAIN = 7
#: Directions of the sliced distance besides the axes, and quantiles along each.
DIRECTIONS, QUANTILES = 24, 16


def pixel_cloud(pictures: RenderOutput) -> Tensor:
    """A row ``[P,6]`` for each pixel of the object: Lab, how much lightness and hue vary around it, height.

    Raises:
        ValueError: the pictures show no object.
    """
    mask = solid_pixels(pictures)
    lab = blurred(lab_colours(pictures), mask, 3)
    first, second = blurred(torch.cat([lab, lab**2], dim=1), mask, GRAIN).split(3, dim=1)
    variance = (second - first**2).clamp_min(0)
    lightness, hue = variance[:, :1].sqrt(), variance[:, 1:].sum(1, keepdim=True).sqrt()
    height = torch.linspace(HEIGHT, 0, mask.shape[2])[:, None].expand_as(mask)
    planes = torch.cat([lab[:, :1] * LIGHTNESS, lab[:, 1:], lightness, hue, height], dim=1)
    return planes.permute(0, 2, 3, 1)[mask[:, 0] > 0]


def descriptor(cloud: Tensor) -> Floats:
    """The quantiles ``[D]`` of a `pixel_cloud` along fixed directions: their mean difference is a distance."""
    sides = cloud.shape[1]
    slanted = torch.randn(DIRECTIONS, sides, generator=torch.Generator().manual_seed(0))
    directions = torch.cat([torch.eye(sides), functional.normalize(slanted, dim=1)])
    along = np.sort((directions @ _spread(cloud, CLOUD).T).numpy(), axis=1)
    return along[:, CLOUD // QUANTILES // 2 :: CLOUD // QUANTILES].flatten()


def _spread(rows: Tensor, count: int) -> Tensor:
    """``count`` rows, evenly spread over all; some twice where there are fewer."""
    return rows[torch.linspace(0, len(rows) - 1, count).round().long()]


def colours(cloud: Tensor) -> Floats:
    """The Lab colours ``[MATCHED,3]`` of pixels spread over the object, from its `pixel_cloud`."""
    return (_spread(cloud, MATCHED)[:, :3] / torch.tensor([LIGHTNESS, 1.0, 1.0])).numpy()


def colour_distance(one: Floats, other: Floats) -> float:
    """The mean ΔE (CIE 1976) of two clouds of colours ``[N,3]`` under the best one-to-one matching of their pixels."""
    differences = np.linalg.norm(one[:, None] - other[None], axis=-1)
    return float(differences[linear_sum_assignment(differences)].mean())


@dataclass(frozen=True)
class Wardrobe:
    """Ground truth of one kind of object in ``W`` paints, ``N`` pictures of each.

    ``descriptors`` ``[W,N,D]`` and ``colours`` ``[W,N,MATCHED,3]``, both float32.
    """

    descriptors: Floats
    colours: Floats

    def distances(self, described: Floats) -> Floats:
        """How far each paint ``[W]`` is from a picture: the mean difference to the most alike of its pictures."""
        return np.abs(self.descriptors - described).mean(axis=-1).min(axis=1)


class AttributeLibrary:
    """Ground truth of every kind in every attribute, made when it is first needed and kept in the folder ``cache``.

    ``samples`` objects with seeds from ``first_seed`` on stand for a class or a pair, each in the studio's and in one
    random light, sharp and blurred. Pictures to be measured are `evaluation_views`, ``size`` pixels wide.
    """

    def __init__(
        self, cache: Path, *, samples: int = 3, first_seed: int = HELD_OUT_SEED, size: int = SIZE, views: int = 10
    ) -> None:
        self.views = evaluation_views()[:views]
        self._cache, self._size, self._seeds = cache, size, range(first_seed, first_seed + samples)
        self._known: dict[tuple[Caption, tuple[Worn, ...]], Wardrobe] = {}
        self._subjects: tuple[Caption, list[Subject]] | None = None

    def retrieve(self, pictures: RenderOutput, asked: Caption, *, base: bool = False) -> list[str]:
        """All attributes, what the object (the one below, with ``base``) looks like most first.

        The other object of a pair wears what the caption says; what it says nothing about is retrieved first.

        Raises:
            ValueError: the pictures show no object, or are not the views or the size that this library is for.
        """
        described = self._describe(pictures)
        worn = _choices(asked, self._other(described, asked, base), base)
        distances = self._wardrobe(asked, worn).distances(described)
        return [ATTRIBUTES[k] for k in np.argsort(distances, kind="stable")]

    def fitted(self, pictures: RenderOutput, asked: Caption) -> Caption:
        """The caption with every attribute that it leaves free set to what the pictures look like most."""
        attribute = asked.attribute or self.retrieve(pictures, asked)[0]
        if asked.base is None:
            return Caption(asked.name, attribute)
        below = Caption(asked.name, attribute, asked.base)
        worn = asked.base.attribute or self.retrieve(pictures, below, base=True)[0]
        return Caption(asked.name, attribute, Caption(asked.base.name, worn))

    def colour_error(self, pictures: RenderOutput, asked: Caption) -> float:
        """`colour_distance` between the pictures' object and the most alike ground truth in the asked attributes.

        Attributes that the caption leaves free are `fitted`. A right object in another shape has an error of about 3;
        differences of 10 are plain to see.

        Raises:
            ValueError: as `retrieve`.
        """
        caption = self.fitted(pictures, asked)
        other = caption.base.attribute if caption.base else None
        worn = _choices(caption, other, base=False)
        truths = self._wardrobe(caption, worn).colours[ATTRIBUTES.index(str(caption.attribute))]
        found = colours(pixel_cloud(pictures))
        return min(colour_distance(found, truth) for truth in truths)

    def _describe(self, pictures: RenderOutput) -> Floats:
        shape = (len(self.views), 3, self._size, self._size)
        if pictures.image.shape != shape:
            raise ValueError(f"the pictures are {tuple(pictures.image.shape)}, the references {shape}")
        return descriptor(pixel_cloud(pictures))

    def _other(self, described: Floats, asked: Caption, base: bool) -> str | None:
        """The attribute of the other object of a pair: as asked, or else what fits best beside what is asked."""
        if asked.base is None:
            return None
        given, this = (asked.attribute, asked.base.attribute) if base else (asked.base.attribute, asked.attribute)
        if given is not None:
            return given
        worn = _choices(asked, this, not base) if this else [(a, a) for a in ATTRIBUTES]
        return ATTRIBUTES[int(self._wardrobe(asked, worn).distances(described).argmin())]

    def _wardrobe(self, asked: Caption, worn: Sequence[Worn]) -> Wardrobe:
        """The ground truth of the asked kind in the paints ``worn``, from memory, from the folder, or made now."""
        kind = Caption(asked.name, base=Caption(asked.base.name) if asked.base else None)
        if (key := (kind, tuple(worn))) not in self._known:
            items = [item_of(kind, seed) for seed in self._seeds]
            settings = (FORMAT, self._size, len(self.views), CLOUD, MATCHED, list(worn))
            arrays = remembered(
                self._cache, f"{kind} paints", fingerprint(items, settings), lambda: self._made(kind, worn)
            )
            self._known[key] = Wardrobe(**arrays)
        return self._known[key]

    def _made(self, kind: Caption, worn: Sequence[Worn]) -> dict[str, Floats]:
        clouds = [[pixel_cloud(pictures) for pictures in self._samples(kind, w)] for w in worn]
        return {
            "descriptors": np.stack([np.stack([descriptor(cloud) for cloud in row]) for row in clouds]),
            "colours": np.stack([np.stack([colours(cloud) for cloud in row]) for row in clouds]),
        }

    def _samples(self, kind: Caption, worn: Worn) -> list[RenderOutput]:
        """Every reference object wearing ``worn``, in both lights, sharp and blurred."""
        if self._subjects is None or self._subjects[0] != kind:
            self._subjects = kind, [Subject(item_of(kind, seed), self.views, self._size) for seed in self._seeds]
        lights = [one_light(seed, len(self.views)) for seed in self._seeds]
        pairs = [(s, light) for s, lamp in zip(self._subjects[1], lights, strict=True) for light in (None, lamp)]
        sharp = [subject.pictures(worn, light) for subject, light in pairs]
        return sharp + [softened(pictures, 3) for pictures in sharp]


def _choices(asked: Caption, other: str | None, base: bool) -> list[Worn]:
    """Every attribute on the object (or on its base), beside the ``other``'s."""
    if asked.base is None:
        return list(ATTRIBUTES)
    assert other is not None, "the other object of a pair wears something"
    return [(other, a) if base else (a, other) for a in ATTRIBUTES]
