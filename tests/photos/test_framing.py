"""Property: the object stands in the middle of its square, at its size, in its colours."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from dreampgc.errors import InputError
from dreampgc.photos.framing import framed
from dreampgc.photos.reading import Pixels

PATH = Path("a.png")
COLOUR = (200, 100, 50)


def rectangle(height: int, width: int, left: int, top: int, right: int, bottom: int) -> Pixels:
    """A flat rectangle on transparent green."""
    pixels = np.zeros((height, width, 4), np.uint8)
    pixels[..., 1] = 255
    pixels[top:bottom, left:right] = (*COLOUR, 255)
    return pixels


def extent(alpha: NDArray[np.float32]) -> tuple[float, float, float, float]:
    """Middle and size along x and y of what is there, in shares of the square, as light would be gathered."""
    columns, rows = alpha.max(axis=0), alpha.max(axis=1)
    middle = [(line * (np.arange(len(line)) + 0.5)).sum() / line.sum() / len(line) for line in (columns, rows)]
    return (*middle, columns.sum() / len(columns), rows.sum() / len(rows))


@given(
    left=st.integers(0, 60),
    top=st.integers(0, 60),
    width=st.integers(16, 60),
    height=st.integers(16, 60),
    margin=st.floats(0, 0.6),
    size=st.integers(32, 160),
)
def test_fit_centres_the_object_and_sets_its_longer_side(
    left: int, top: int, width: int, height: int, margin: float, size: int
) -> None:
    pixels = rectangle(130, 121, left, top, left + width, top + height)
    rgba = framed(pixels, size, "fit", margin, PATH)
    assert rgba.shape == (4, size, size) and rgba.dtype == np.float32
    x, y, across, down = extent(rgba[3])
    # Half a pixel either way: margins and sizes are no whole numbers of pixels.
    assert abs(x - 0.5) < 0.6 / size and abs(y - 0.5) < 0.6 / size
    scale = (1 - margin) / max(width, height)
    assert abs(across - width * scale) < 1.2 / size and abs(down - height * scale) < 1.2 / size
    there = rgba[3] > 1 / 255
    np.testing.assert_allclose(rgba[:3, there].T, np.broadcast_to(np.divide(COLOUR, 255), (there.sum(), 3)), atol=1e-4)
    assert (rgba[:3, rgba[3] == 0] == 0).all()


def test_keep_at_the_same_size_changes_nothing() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 40, 4), dtype=np.uint8)
    rgba = framed(pixels, 40, "keep", 0.2, PATH).transpose(1, 2, 0)
    visible = pixels[..., 3] > 0
    np.testing.assert_allclose(rgba[visible], pixels[visible] / 255, atol=1e-5)


@pytest.mark.parametrize("tall", [False, True])
def test_keep_pads_to_a_square(tall: bool) -> None:
    pixels = np.full((40, 80, 4), 255, np.uint8)
    alpha = framed(pixels.swapaxes(0, 1) if tall else pixels, 40, "keep", 0.2, PATH)[3]
    alpha = alpha.T if tall else alpha
    # The filter reaches a pixel further than what is covered.
    np.testing.assert_allclose(alpha[11:29], 1, atol=1e-6)
    assert (alpha[:9] == 0).all() and (alpha[31:] == 0).all() and alpha.mean() == pytest.approx(0.5)


def test_shrinking_averages_what_is_covered() -> None:
    pixels = np.zeros((128, 128, 4), np.uint8)
    pixels[::2, ::2] = (255, 0, 0, 255)
    pixels[1::2, 1::2] = (0, 0, 255, 255)
    pixels[::2, 1::2] = (0, 255, 0, 0)  # transparent: its green is never seen
    rgba = framed(pixels, 16, "keep", 0.2, PATH)
    np.testing.assert_allclose(rgba[3], 0.5, atol=0.01)
    np.testing.assert_allclose(rgba[:3].mean(axis=(1, 2)), [0.5, 0, 0.5], atol=0.02)


@pytest.mark.parametrize("framing", ["fit", "keep"])
def test_a_large_picture_is_framed_as_a_small_one(framing: Literal["fit", "keep"]) -> None:
    """Reduced by whole numbers first, in the square or beside it: the same within a hundredth, in the mean."""
    small = rectangle(96, 160, 3, 20, 75, 66)
    large = np.repeat(np.repeat(small, 13, axis=0), 13, axis=1)
    expected, found = (framed(pixels, 40, framing, 0.2, PATH) for pixels in (small, large))
    assert np.abs(found - expected).mean() < 0.01
    np.testing.assert_allclose(extent(found[3]), extent(expected[3]), atol=0.01)


def test_a_long_strip_needs_little_memory() -> None:
    strip = np.full((32, 400_000, 4), 255, np.uint8)  # its square would have 160 gigapixels
    rgba = framed(strip, 64, "keep", 0.2, PATH)
    assert rgba[3, :31].max() == rgba[3, 33:].max() == 0 < rgba[3, 31:33].max()


def test_a_tiny_object_is_refused() -> None:
    with pytest.raises(InputError, match=r"a\.png has only 15 pixels"):
        framed(rectangle(100, 100, 10, 10, 20, 25), 64, "fit", 0.2, PATH)
    framed(rectangle(100, 100, 10, 10, 20, 25), 64, "keep", 0.2, PATH)
