"""Property: recipes, attributes, captions, and what is held out."""

from __future__ import annotations

from collections import Counter
from itertools import product
from typing import cast

import numpy as np
import pytest
import torch
from scipy import ndimage

from dreampgc.world.objects import ATTRIBUTES, CARRIERS, CLASSES, Caption, make_object
from dreampgc.world.paints import COLOURS, MATERIALS
from dreampgc.world.scene import Item, Pair, make_scene, signed_distance
from dreampgc.world.sculpture import EXTENT, KINDS, REACH, Part, bounds_of

#: Training seeds and held-out ones.
SEEDS = (0, 1, 299, 1_000_000, 1_000_007)
SINGLES = [Caption(name, attribute) for name, attribute in product(CLASSES, ATTRIBUTES)]
PAIRS = [Caption(name, None, Caption(base)) for name, base in product(CLASSES, CARRIERS)]


def fills_the_world(parts: list[Part]) -> bool:
    """Whether ``parts`` are centred, inside the world, and touch one of its two limits."""
    low, high = bounds_of(parts)
    reach = max(np.linalg.norm(part.center) + part.reach() for part in parts)
    inside = high.max() <= EXTENT + 1e-9 and reach <= REACH + 1e-9
    touching = high.max() == pytest.approx(EXTENT) or reach == pytest.approx(REACH)
    return bool(inside and touching and np.allclose(low, -high, atol=1e-9))


def solids(item: Item | Pair, side: int = 56) -> int:
    """How many solids a grid of ``side``³ points sees in an object or a pair, joined even at a corner."""
    axis = torch.linspace(-0.85, 0.85, side)
    points = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), dim=-1).reshape(1, -1, 3)
    inside = (signed_distance(make_scene([item]), points) < 0).reshape(side, side, side)
    _, count = cast(tuple[object, int], ndimage.label(inside.numpy(), structure=np.ones((3, 3, 3))))
    return count


@pytest.mark.parametrize("name", CLASSES)
def test_every_recipe_fills_the_world_and_stays_inside(name: str) -> None:
    assert all(fills_the_world(make_object(name, seed)) for seed in SEEDS)


@pytest.mark.parametrize("name", CLASSES)
def test_a_seed_decides_the_object(name: str) -> None:
    assert make_object(name, 3) == make_object(name, 3)
    assert len({tuple(make_object(name, seed)) for seed in range(8)}) == 8


@pytest.mark.parametrize("name", CLASSES)
def test_parts_are_sound_and_some_take_the_attribute(name: str) -> None:
    parts = make_object(name, 0)
    assert 4 <= len(parts) <= 18
    assert any(part.paint is None for part in parts)
    for part in parts:
        assert part.kind in KINDS
        assert part.owner == 0
        assert 0 <= part.rounding <= min(part.size) or part.rounding == 0
        assert all(0 <= channel <= 1 for channel in part.paint or ())
        assert 0 < part.tint <= 1


@pytest.mark.parametrize("name", CLASSES)
def test_an_object_is_one_solid(name: str) -> None:
    assert solids((name, "red", 0)) == 1


@pytest.mark.parametrize("base", CARRIERS)
def test_a_pair_is_one_solid_though_a_table_stands_on_its_corners(base: str) -> None:
    assert solids((("table", "red", 1), (base, "blue", 2))) == 1


@pytest.mark.parametrize("base", CARRIERS)
def test_a_pair_fills_the_world_and_its_parts_know_their_owner(base: str) -> None:
    for name in CLASSES:
        parts = make_object(name, 1, (base, 2))
        assert fills_the_world(parts)
        upper, lower = ([part for part in parts if part.owner == owner] for owner in (0, 1))
        for ours, own in ((upper, make_object(name, 1)), (lower, make_object(base, 2))):
            assert [(part.kind, part.paint) for part in ours] == [(part.kind, part.paint) for part in own]
        assert bounds_of(upper)[0][1] > bounds_of(lower)[0][1]


@pytest.mark.parametrize("base", CARRIERS)
def test_an_upper_object_is_large_enough_to_be_seen(base: str) -> None:
    """Flat ones are as wide as the base lets them; the others take two fifths of the height."""
    shares: list[float] = []
    for name in CLASSES:
        parts = make_object(name, 0, (base, 0))
        low, high = bounds_of([part for part in parts if part.owner == 0])
        shares.append(float((high - low)[1] / np.ptp(bounds_of(parts), axis=0)[1]))
        assert (high - low).max() > 0.3 * 2 * EXTENT
    assert np.median(shares) > 0.4


def test_there_are_enough_classes_attributes_and_carriers() -> None:
    assert len(CLASSES) >= 40
    assert len(COLOURS) >= 12
    assert len(MATERIALS) >= 8
    assert len(CARRIERS) >= 8
    assert len(set(ATTRIBUTES)) == len(COLOURS) + len(MATERIALS)
    assert not set(ATTRIBUTES) & set(CLASSES)


def test_an_unknown_class_or_a_base_that_carries_nothing_is_an_error() -> None:
    with pytest.raises(KeyError, match="unicorn"):
        make_object("unicorn", 0)
    with pytest.raises(ValueError, match="nothing can stand on a rocket"):
        make_object("dog", 0, ("rocket", 0))


@pytest.mark.parametrize(
    ("caption", "text"),
    [
        (Caption("car", "wooden"), "a wooden car"),
        (Caption("airplane"), "an airplane"),
        (Caption("airplane", "red"), "a red airplane"),
        (Caption("duck", "orange"), "an orange duck"),
        (Caption("castle", "golden", Caption("elephant")), "a golden castle on an elephant"),
        (Caption("castle", None, Caption("car", "red")), "a castle on a red car"),
    ],
)
def test_captions(caption: Caption, text: str) -> None:
    assert str(caption) == text


@pytest.mark.parametrize("name", CLASSES)
def test_a_caption_is_read_back_as_it_was_written(name: str) -> None:
    bases = [None, *(Caption(base, attribute) for base in CARRIERS for attribute in (None, "orange", "knitted"))]
    for attribute, base in product((None, "orange", "wooden"), bases):
        caption = Caption(name, attribute, base)
        assert Caption.parse(str(caption)) == caption
        assert Caption.parse(f"  {caption} ".upper()) == caption


@pytest.mark.parametrize("text", ["", "car", "a unicorn", "a shiny car", "a red wooden car", "a red", "a dog on a sky"])
def test_other_words_are_no_caption(text: str) -> None:
    with pytest.raises(ValueError, match="procedural world"):
        Caption.parse(text)


@pytest.mark.parametrize("captions", [SINGLES, PAIRS], ids=["singles", "pairs"])
def test_a_tenth_is_held_out_and_every_word_is_trained(captions: list[Caption]) -> None:
    held = [caption for caption in captions if caption.held_out]
    assert len(held) / len(captions) == pytest.approx(0.1, abs=0.02)
    seen = Counter(word for caption in captions for word in words(caption))
    hidden = Counter(word for caption in held for word in words(caption))
    assert all(hidden[word] < 0.5 * seen[word] for word in seen)


def words(caption: Caption) -> set[str]:
    """What is asked for, and in or on what."""
    return {f"{caption.name}", f"on {caption.base.name}" if caption.base else f"in {caption.attribute}"}


def test_the_demo_is_trained_and_a_pair_is_held_out_with_either_of_its_halves() -> None:
    assert not Caption("car", "wooden").held_out
    assert not any(Caption(name).held_out for name in CLASSES)
    assert not Caption("dog", None, Caption("table")).held_out
    for attribute in ATTRIBUTES:
        upper, lower = Caption("dog", attribute), Caption("table", attribute)
        assert Caption("dog", attribute, Caption("table")).held_out == upper.held_out
        assert Caption("dog", None, lower).held_out == lower.held_out
