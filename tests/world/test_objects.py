"""Property: recipes, colours, captions, and what is held out."""

from __future__ import annotations

import numpy as np
import pytest

from dreampgc.world.objects import ATTRIBUTES, CLASSES, caption, is_held_out, make_object
from dreampgc.world.paints import COLOURS, MATERIALS
from dreampgc.world.sculpture import EXTENT, KINDS, REACH

#: Training seeds and held-out ones.
SEEDS = (0, 1, 299, 1_000_000, 1_000_007)


@pytest.mark.parametrize("name", CLASSES)
def test_every_recipe_fills_the_world_and_stays_inside(name: str) -> None:
    for seed in SEEDS:
        bounds = np.array([part.bounds() for part in make_object(name, seed)])
        low, high = bounds[:, 0].min(axis=0), bounds[:, 1].max(axis=0)
        np.testing.assert_allclose(low, -high, atol=1e-9)  # centred
        assert high.max() <= EXTENT + 1e-9
        reach = max(np.linalg.norm(part.center) + part.reach() for part in make_object(name, seed))
        assert high.max() == pytest.approx(EXTENT) or reach == pytest.approx(REACH)


@pytest.mark.parametrize("name", CLASSES)
def test_a_seed_decides_the_object(name: str) -> None:
    assert make_object(name, 3) == make_object(name, 3)
    assert len({tuple(make_object(name, seed)) for seed in range(8)}) == 8


@pytest.mark.parametrize("name", CLASSES)
def test_parts_are_sound_and_some_take_the_attribute(name: str) -> None:
    parts = make_object(name, 0)
    assert any(part.paint is None for part in parts)
    for part in parts:
        assert part.kind in KINDS
        assert 0 <= part.rounding <= min(part.size) or part.rounding == 0
        assert all(0 <= channel <= 1 for channel in part.paint or ())
        assert 0 < part.tint <= 1


def test_there_are_enough_classes_colours_and_materials() -> None:
    assert len(CLASSES) >= 16
    assert len(COLOURS) >= 10
    assert len(MATERIALS) >= 4
    assert len(set(ATTRIBUTES)) == len(COLOURS) + len(MATERIALS)


def test_an_unknown_class_is_an_error() -> None:
    with pytest.raises(KeyError, match="unicorn"):
        make_object("unicorn", 0)


def test_a_tenth_of_the_pairs_is_held_out_evenly_and_the_demo_is_trained() -> None:
    held = {(name, attribute) for name in CLASSES for attribute in ATTRIBUTES if is_held_out(name, attribute)}
    assert len(held) / (len(CLASSES) * len(ATTRIBUTES)) == pytest.approx(0.1, abs=0.02)
    assert not is_held_out("car", "wooden")
    for position, known in ((0, CLASSES), (1, ATTRIBUTES)):  # no word is held out wholly, or in most pairs
        counts = [sum(pair[position] == word for pair in held) for word in known]
        assert max(counts) <= 0.2 * len(held)


@pytest.mark.parametrize(
    ("name", "attribute", "text"),
    [
        ("car", "wooden", "a wooden car"),
        ("airplane", None, "an airplane"),
        ("airplane", "red", "a red airplane"),
        ("duck", "orange", "an orange duck"),
    ],
)
def test_captions(name: str, attribute: str | None, text: str) -> None:
    assert caption(name, attribute) == text
