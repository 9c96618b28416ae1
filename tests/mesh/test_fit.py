"""Property: textures fitted to what was seen of them."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from dreampgc.mesh.fit import fitted_texture
from dreampgc.types import Texture

SIZE = 16


def textured(image: NDArray[np.uint8]) -> Texture:
    """A texture that nothing is laid around."""
    return Texture(image, np.zeros((3, 2), np.float32), np.array([[0, 1, 2]]))


def looked_up(image: NDArray[np.uint8], places: NDArray[np.float32]) -> NDArray[np.float32]:
    """Bilinear look-ups by definition: every texel is a tent two texels wide."""
    at = places * SIZE - 0.5
    tents = [np.maximum(0, 1 - np.abs(at[:, axis, None] - np.arange(SIZE))) for axis in (0, 1)]
    return np.einsum("pu,pv,vuc->pc", *tents, image / 255).astype(np.float32)


@pytest.fixture
def rng() -> np.random.Generator:
    """The same numbers for every test."""
    return np.random.default_rng(0)


def test_what_was_seen_often_enough_is_found_again(rng: np.random.Generator) -> None:
    wanted = rng.integers(0, 256, (SIZE, SIZE, 3)).astype(np.uint8)
    places = rng.uniform(0.5 / SIZE, 1 - 0.5 / SIZE, (20_000, 2)).astype(np.float32)
    grey = textured(np.full((SIZE, SIZE, 3), 128, np.uint8))
    found = fitted_texture(grey, places, looked_up(wanted, places)).image.astype(int)
    assert np.abs(found - wanted).mean() < 6  # the resistance pulls towards grey; the start is 64 away
    assert np.abs(found - wanted).mean() < 0.1 * np.abs(128 - wanted.astype(int)).mean()


def test_what_agrees_already_and_what_nobody_saw_stays(rng: np.random.Generator) -> None:
    texture = textured(rng.integers(0, 256, (SIZE, SIZE, 3)).astype(np.uint8))
    places = rng.uniform(0.1, 0.9, (500, 2)).astype(np.float32)
    assert np.array_equal(fitted_texture(texture, places, looked_up(texture.image, places)).image, texture.image)
    left = places * [0.4, 1]
    changed = fitted_texture(texture, left.astype(np.float32), np.ones((500, 3), np.float32)).image
    assert np.array_equal(changed[:, SIZE // 2 :], texture.image[:, SIZE // 2 :])
    assert changed[4:12, 3:5].mean() > texture.image[4:12, 3:5].mean() + 50


def test_places_beyond_the_edge_repeat_it() -> None:
    texture = textured(np.zeros((SIZE, SIZE, 3), np.uint8))
    corners = np.array([[0, 0], [1, 0], [0, 1], [1, 1]], np.float32).repeat(50, axis=0)
    image = fitted_texture(texture, corners, np.ones((200, 3), np.float32)).image
    assert (image[[0, 0, -1, -1], [0, -1, 0, -1]] > 250).all()
    assert image.sum() == image[[0, 0, -1, -1], [0, -1, 0, -1]].sum()
