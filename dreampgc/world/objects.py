"""Objects by class, attribute and seed, single or one on another; what they are called, and what is held out."""

from __future__ import annotations

import random
import re
import zlib
from dataclasses import dataclass

from dreampgc.world.paints import ATTRIBUTES
from dreampgc.world.recipes import CLASSES
from dreampgc.world.sculpture import Part, Sculpture

#: Objects with this seed and above are never trained on.
HELD_OUT_SEED = 1_000_000


def _sculpt(name: str, seed: int) -> Sculpture:
    sculpture = Sculpture(random.Random(f"{name}-{seed}"))
    CLASSES[name](sculpture)
    return sculpture


#: Classes on which another object can stand.
CARRIERS = tuple(name for name in CLASSES if _sculpt(name, 0).stand is not None)


def make_object(name: str, seed: int, base: tuple[str, int] | None = None) -> list[Part]:
    """The parts of object number ``seed`` of class ``name``, in [-0.8, 0.8]^3; on a ``base`` (class, seed) if given.

    Raises:
        KeyError: there is no such class.
        ValueError: the base's class carries nothing.
    """
    sculpture = _sculpt(name, seed)
    if base is None:
        return sculpture.parts()
    if base[0] in CLASSES and base[0] not in CARRIERS:
        raise ValueError(f"nothing can stand on a {base[0]}: choose one of {', '.join(CARRIERS)}")
    carrier = _sculpt(*base)
    carrier.put_on(sculpture.parts())
    return carrier.parts()


@dataclass(frozen=True)
class Caption:
    """What is asked for: a class, perhaps in an attribute, perhaps on a base: "a wooden castle on a red car"."""

    name: str
    attribute: str | None = None
    base: Caption | None = None

    def __str__(self) -> str:
        words = f"{self.attribute} {self.name}" if self.attribute else self.name
        single = f"{'an' if words[0] in 'aeiou' else 'a'} {words}"
        return f"{single} on {self.base}" if self.base else single

    @property
    def held_out(self) -> bool:
        """Whether no prior is ever trained on this: a tenth of all (class, attribute) pairs and of all
        (class, base class) pairs, to measure what priors generalise."""
        pairs = [f"{self.attribute} {self.name}"] if self.attribute else []
        pairs += [f"{self.name} on {self.base.name}"] if self.base else []
        return any(zlib.crc32(pair.encode()) % 10 == 0 for pair in pairs) or bool(self.base and self.base.held_out)

    @classmethod
    def parse(cls, text: str) -> Caption:
        """The caption that ``text`` spells.

        Raises:
            ValueError: it is not one of a known class, attribute and base.
        """
        upper, _, lower = text.strip().lower().partition(" on ")
        found = re.fullmatch(r"an? (?:(\w+) )?(\w+)", upper)
        if not found or found[2] not in CLASSES or found[1] not in (None, *ATTRIBUTES):
            raise ValueError(f"{text!r} is not an object of the procedural world")
        return cls(found[2], found[1], cls.parse(lower) if lower else None)
