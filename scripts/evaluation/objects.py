"""Held-out objects of the procedural world: a picture to make each of, and the truth to compare what was made with."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from dreampgc.cameras import Views, fixed_views
from dreampgc.metrics.memory import Arrays, remembered
from dreampgc.metrics.pictures import fingerprint
from dreampgc.metrics.solids import PLACED_SIDE, SIDE, Solid, object_solid
from dreampgc.photos import Photo, save_photo
from dreampgc.world.objects import CLASSES, HELD_OUT_SEED, Caption
from dreampgc.world.paints import ATTRIBUTES
from dreampgc.world.render import Picture, render_world
from dreampgc.world.scene import Item, make_scene

#: Pictures are taken from azimuth 0, from an elevation in this range (degrees) and, like all views, from this far away.
ELEVATIONS = (0.0, 40.0)
DISTANCE, FOV = 2.4, 45.0
#: Pixels along each side of the picture.
PICTURE = 256
#: The views that are compared: azimuths and elevations. Unseen are those at least this far from the picture's camera.
AZIMUTHS, RISES = tuple(45.0 * k for k in range(8)), (0.0, 30.0)
APART = 30.0
#: Which of them are shown: from behind on the left, and from the right.
SHOWN = ((135.0, 30.0), (270.0, 30.0))
#: One in so many objects wears an attribute that no prior ever saw on its class.
HELD_OUT_EVERY = 4
#: Sphere tracing with this many steps leaves few cracks where rays only just touch a surface.
STEPS = 128
#: How many views are traced at once, and part of every cache's digest.
CHUNK, FORMAT = 4, 1


@dataclass(frozen=True)
class HeldOut:
    """Object ``number`` of an evaluation: its caption, its seed in the world, and the picture's elevation (degrees)."""

    number: int
    caption: Caption
    seed: int
    elevation: float

    @property
    def slug(self) -> str:
        """A name for files."""
        return f"{self.number:02d}-{self.caption.attribute}-{self.caption.name}"

    @property
    def item(self) -> Item:
        """The object as scenes are made of it."""
        assert self.caption.attribute is not None, "every object wears something"
        return self.caption.name, self.caption.attribute, self.seed

    def views(self) -> Views:
        """The picture's camera, then all views that are compared."""
        rings = [(0.0, self.elevation), *((azimuth, rise) for rise in RISES for azimuth in AZIMUTHS)]
        azimuth, elevation = torch.tensor(rings, dtype=torch.float32).T
        return Views(azimuth, elevation, torch.full_like(azimuth, DISTANCE), torch.full_like(azimuth, FOV))

    def unseen(self) -> Tensor:
        """Which of `views` the picture does not show, bool ``[V]``."""
        directions = self.views().positions() / DISTANCE
        return (directions @ directions[0]).clamp(-1, 1).acos().rad2deg() > APART - 1e-3


def draw_objects(count: int, seed: int = 0) -> list[HeldOut]:
    """The first ``count`` objects that ``seed`` draws, with seeds that no prior is trained on.

    Classes take turns, and so do attributes as far as that is possible; one in `HELD_OUT_EVERY` is a combination of
    both that is held out, or the next one whose class has any.
    """
    rng = random.Random(seed)
    names, attributes = (rng.sample(list(known), len(known)) for known in (CLASSES, ATTRIBUTES))
    worn = Counter[str]()
    objects: list[HeldOut] = []
    for number in range(count):
        name = names[number % len(names)]
        wanted = HELD_OUT_EVERY * sum(one.caption.held_out for one in objects) <= number
        ranks = {a: (Caption(name, a).held_out != wanted, worn[a]) for a in attributes}
        attribute = min(attributes, key=ranks.__getitem__)
        worn[attribute] += 1
        elevation = round(rng.uniform(*ELEVATIONS), 1)
        objects.append(HeldOut(number, Caption(name, attribute), HELD_OUT_SEED + rng.randrange(100_000), elevation))
    return objects


def save_reference(subject: HeldOut, path: Path) -> None:
    """Write the picture of ``subject`` as RGBA PNG: an input for ``dreampgc image`` with ``image.framing=keep``."""
    [picture] = _rendered(subject, fixed_views([0.0], elevation=subject.elevation, distance=DISTANCE, fov=FOV), PICTURE)
    straight = picture.image / picture.mask.clamp_min(1e-6)
    save_photo(Photo(torch.cat([straight, picture.mask], dim=1)[0], "alpha"), path)


@dataclass(frozen=True)
class Truth:
    """What an object is: pictures ``image`` ``[V,3,S,S]`` over white and ``mask`` ``[V,S,S]`` (bool) of its views.

    ``unseen`` ``[V]`` says which views count as unseen. The solids are those of `dreampgc.metrics.solids`.
    """

    views: Views
    unseen: Tensor
    image: Tensor
    mask: Tensor
    aligned: Solid
    placed: Solid

    @classmethod
    def of(cls, subject: HeldOut, cache: Path, size: int) -> Truth:
        """The truth about ``subject`` in pictures of ``size`` pixels; made once, and kept in the folder ``cache``."""
        settings = FORMAT, STEPS, size, SIDE, PLACED_SIDE, subject.views().together().tolist()
        made_of = fingerprint([subject.item], settings)
        arrays = remembered(cache, f"{subject.caption} {subject.seed}", made_of, lambda: _made(subject, size))
        image, mask = (torch.from_numpy(arrays[name]) for name in ("image", "mask"))
        solids = (arrays["aligned"], arrays["placed"])
        return cls(subject.views(), subject.unseen(), image.float() / 255, mask, *solids)

    @property
    def shown(self) -> Tensor:
        """The numbers of the views that contact sheets show, ``[2]``."""
        pairs = list(zip(self.views.azimuth.tolist(), self.views.elevation.tolist(), strict=True))
        return torch.tensor([pairs.index(pair, 1) for pair in SHOWN])


def _made(subject: HeldOut, size: int) -> Arrays:
    pictures = list(_rendered(subject, subject.views(), size))
    image = torch.cat([picture.over(torch.ones(3)) for picture in pictures])
    name, _, seed = subject.item
    return {
        "image": (255 * image).round().byte().numpy(),
        "mask": torch.cat([picture.mask[:, 0] > 0.5 for picture in pictures]).numpy(),
        "aligned": object_solid(name, seed),
        "placed": object_solid(name, seed, side=PLACED_SIDE, aligned=False),
    }


def _rendered(subject: HeldOut, views: Views, size: int) -> Iterator[Picture]:
    """The object from ``views``, a few at a time, on the GPU if there is one, else on the CPU; pictures on the CPU."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    scene = make_scene([subject.item]).to(device)
    for start in range(0, len(views), CHUNK):
        part = views[start : start + CHUNK].to(device)
        copies = scene[torch.zeros(len(part), dtype=torch.long, device=device)]
        seen = render_world(copies, part, size, steps=STEPS)
        yield Picture(*(tensor.cpu() for tensor in vars(seen).values()))
