"""Property, reference and fault: what is cut out is the object, and what cannot be one is refused with a reason."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from dreampgc.errors import InputError, MissingError
from dreampgc.photos.cutting import Way, cut_out, implausible
from dreampgc.photos.reading import Pixels
from dreampgc.photos.segmenting import BLACK, grabcut, without_spots
from tests.photos.staged import Staged, intersection_over_union

PHOTO = Path("photo.jpg")


def opaque(photo: NDArray[Any]) -> Pixels:
    """A photo ``[H,W,3]`` as it is read from a file without transparency."""
    return np.dstack([photo, np.full(photo.shape[:2], 255)]).astype(np.uint8)


def disc(size: int = 120, radius: float = 35, center: tuple[float, float] = (60, 60)) -> NDArray[np.bool_]:
    y, x = np.mgrid[:size, :size]
    return (x - center[0]) ** 2 + (y - center[1]) ** 2 < radius**2


def painted(*layers: tuple[NDArray[np.bool_], tuple[int, int, int]]) -> NDArray[np.uint8]:
    """Flat colours over a pale wall with a sensor's noise."""
    photo = np.full((*layers[0][0].shape, 3), (205, 200, 190), float)
    for mask, colour in layers:
        photo[mask] = colour
    return (photo + np.random.default_rng(0).normal(0, 2, photo.shape)).clip(0, 255).round().astype(np.uint8)


def test_objects_are_found_before_backgrounds_that_are_not_plain(staged: list[Staged]) -> None:
    """Measured: 0.94 on average, median 0.97; worst a penguin whose white belly is as the wall behind it, 0.60."""
    found = [cut_out(opaque(one.photo), "auto", PHOTO, 0)[0][..., 3] >= 128 for one in staged]
    scores = {one.name: intersection_over_union(f, one.mask > 0.5) for f, one in zip(found, staged, strict=True)}
    assert len(scores) == 20
    assert np.mean(list(scores.values())) >= 0.9, scores
    assert sum(score >= 0.85 for score in scores.values()) >= 19, scores


def test_colours_along_the_edge_are_the_objects_own(staged: list[Staged]) -> None:
    before, after = [], []
    for one in staged:
        cut, _ = cut_out(opaque(one.photo), "grabcut", PHOTO, 0)
        edge = (one.mask > 0.05) & (one.mask < 0.95) & (cut[..., 3] > 25)
        before.append(np.abs(one.photo / 255 - one.colour)[edge].mean())
        after.append(np.abs(cut[..., :3] / 255 - one.colour)[edge].mean())
    assert np.mean(after) < 0.3 * np.mean(before)


def test_the_hole_in_a_handle_stays_one(staged: list[Staged]) -> None:
    for one in (one for one in staged if "teapot" in one.name):
        _, gaps = cv2.connectedComponents((one.mask < 0.02).astype(np.uint8), connectivity=4)
        hole = (gaps > 0) & (gaps != gaps[0, 0])
        assert hole.sum() > 20
        alpha = cut_out(opaque(one.photo), "auto", PHOTO, 0)[0][..., 3]
        assert (alpha[hole] < 128).mean() > 0.8, one.name


@pytest.mark.parametrize(
    ("colour", "whole"), [((205, 200, 190), False), ((250, 250, 252), True), ((30, 60, 200), True)]
)
def test_enclosed_spots_belong_to_the_object_unless_the_background_shows(
    colour: tuple[int, int, int], whole: bool
) -> None:
    spot = disc(radius=12)
    photo = painted((disc(), (150, 40, 30)), (spot, colour))
    lab = cv2.cvtColor(photo.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    core = cv2.erode(spot.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    # Whether GrabCut took the spot for the object or left it out.
    for mask in (grabcut(photo, 0), without_spots(disc() & ~spot, np.asarray(lab))):
        assert mask[core].mean() == float(whole)


def test_a_shadow_is_no_object() -> None:
    """Half of the light is missing where it is darkest, over an area as large as the object."""
    ball = disc(size=160, radius=32, center=(80, 70))
    y, x = np.mgrid[:160, :160]
    shadow = np.exp(-((((x - 95) / 40) ** 2 + ((y - 108) / 18) ** 2) ** 2))
    photo = (painted((ball, (40, 90, 170))) * np.where(ball, 1, 1 - 0.5 * shadow)[..., None]).astype(np.uint8)
    alpha = cut_out(opaque(photo), "auto", PHOTO, 0)[0][..., 3]
    assert intersection_over_union(alpha >= 128, ball) > 0.95


def test_less_light_shortens_a_colour_and_does_not_turn_it() -> None:
    """The assumption behind `BLACK`, for linear light as Lab means it."""
    srgb = np.random.default_rng(0).uniform(0.3, 1, (50, 1, 3)).astype(np.float32)
    linear = ((srgb + 0.055) / 1.055) ** 2.4
    dimmed = (1.055 * (0.5 * linear) ** (1 / 2.4) - 0.055).astype(np.float32)
    bright, dim = (cv2.cvtColor(colours, cv2.COLOR_RGB2LAB) + BLACK for colours in (srgb, dimmed))
    # OpenCV's tables are coarse; these colours move by up to 23.
    np.testing.assert_allclose(dim, bright * 0.5 ** (1 / 3), atol=0.5)


def test_the_same_seed_cuts_the_same(staged: list[Staged]) -> None:
    first, again = (cut_out(opaque(staged[0].photo), "auto", PHOTO, 3)[0] for _ in range(2))
    np.testing.assert_array_equal(first, again)


def test_large_photos_are_cut_at_their_own_size() -> None:
    mask = disc(size=1200, radius=300, center=(600, 500))
    cut, _ = cut_out(opaque(painted((mask, (40, 120, 60)))), "auto", PHOTO, 0)
    assert cut.shape == (1200, 1200, 4)
    assert intersection_over_union(cut[..., 3] >= 128, mask) > 0.98


def test_very_large_photos_come_out_smaller() -> None:
    photo = cv2.resize(painted((disc(), (40, 120, 60))), (4400, 2200))
    cut, _ = cut_out(opaque(photo), "auto", PHOTO, 0)
    assert cut.shape == (1024, 2048, 4)
    true = cv2.resize(disc().astype(np.uint8), (2048, 1024)) > 0
    assert intersection_over_union(cut[..., 3] >= 128, true) > 0.97


@pytest.mark.parametrize("size", [(32, 32), (32, 900), (900, 32), (64, 48)])
def test_any_picture_is_cut_or_refused(size: tuple[int, int]) -> None:
    """Noise, stripes and dots of any shape: whatever GrabCut makes of them, no other error."""
    rng = np.random.default_rng(0)
    stripes = np.repeat(rng.integers(0, 256, (1, size[1], 3)), size[0], axis=0)
    photos = [rng.integers(0, 256, (*size, 3)), stripes, stripes[:, ::-1] // 2, np.full((*size, 3), 90)]
    photos[-1][:: size[0] // 2, :: size[1] // 2] = 255
    for photo in photos:
        try:
            cut, _ = cut_out(opaque(photo), "auto", PHOTO, 0)
        except InputError:
            continue
        assert (cut[..., 3] >= 128).mean() > 0.01


def test_alpha_is_used_when_it_says_something() -> None:
    photo = painted((disc(), (150, 40, 30)))
    pixels = opaque(photo)
    pixels[..., 3] = np.where(disc(radius=20), 255, 0)
    for background in ("auto", "alpha"):
        cut, how = cut_out(pixels, background, PHOTO, 0)
        assert how == "alpha"
        np.testing.assert_array_equal(cut, pixels)
    # Rounded corners, as of a window's picture, hide nothing.
    pixels[..., 3] = 255
    pixels[0, 0, 3] = pixels[-1, -1, 3] = 0
    cut, how = cut_out(pixels, "auto", PHOTO, 0)
    assert how == "grabcut" and intersection_over_union(cut[..., 3] >= 128, disc()) > 0.95
    with pytest.raises(InputError, match=r"photo\.jpg has no transparency"):
        cut_out(pixels, "alpha", PHOTO, 0)


def test_grabcut_looks_at_a_transparent_picture_over_white() -> None:
    pixels = opaque(np.zeros((120, 120, 3)))  # black where transparent
    pixels[disc()] = (150, 40, 30, 255)
    pixels[~disc(), 3] = 0
    cut, how = cut_out(pixels, "grabcut", PHOTO, 0)
    assert how == "grabcut" and intersection_over_union(cut[..., 3] >= 128, disc()) > 0.95


def refusal(pixels: Pixels, background: Any = "auto") -> str:
    with pytest.raises(InputError) as caught:
        cut_out(pixels, background, PHOTO, 0)
    assert "\n" not in str(caught.value) and "photo.jpg" in str(caught.value)
    return str(caught.value)


def test_pictures_of_nothing_are_refused() -> None:
    transparent = opaque(painted((disc(), (1, 2, 3))))
    transparent[..., 3] = 0
    assert "transparent all over" in refusal(transparent)
    for colour in (0, 128, 255):
        assert "of one colour all over" in refusal(opaque(np.full((64, 64, 3), colour)))
    wall = painted((disc(radius=0), (0, 0, 0)))
    assert "cannot tell the object" in refusal(opaque(wall))


@pytest.mark.parametrize(
    ("photo", "reason"),
    [
        (painted((disc(radius=4), (150, 40, 30))), "of the picture stand out from"),
        (painted((disc(center=(60, 88)), (150, 40, 30))), "cut off by the picture's lower edge"),
        (painted((disc(center=(60, 110)), (150, 40, 30))), "cut off by the picture's lower edge"),
        (painted((disc(center=(10, 60)), (150, 40, 30))), "cut off by the picture's left edge"),
        (
            painted((disc(radius=25, center=(30, 60)), (150, 40, 30)), (disc(radius=25, center=(92, 60)), (9, 9, 99))),
            "in 2 pieces",
        ),
    ],
)
def test_what_cannot_be_an_object_is_refused_with_what_helps(photo: NDArray[np.uint8], reason: str) -> None:
    said = refusal(opaque(photo))
    assert reason in said
    assert "plainer background" in said and "--set image.background=rembg" in said


def test_plausible_masks() -> None:
    assert implausible(disc()) == ""
    assert implausible(disc(center=(60, 36))) == ""  # touches an edge with a few pixels
    assert implausible(disc(radius=78)).endswith("% of the picture stand out from what its border shows")
    assert implausible(np.zeros((50, 50), bool)).startswith("only 0.0% of the picture stand out")


def fake_rembg(monkeypatch: pytest.MonkeyPatch, remove: Any) -> None:
    module = ModuleType("rembg")
    module.remove = remove  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "rembg", module)


def test_rembg_is_used_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def remove(photo: NDArray[np.uint8], *, only_mask: bool) -> NDArray[np.uint8]:
        assert only_mask and photo.shape == (120, 120, 3)
        return np.where(disc(radius=20), 255, 0).astype(np.uint8)

    fake_rembg(monkeypatch, remove)
    ways: tuple[Way, Way] = ("rembg", "grabcut")
    for way, radius in zip(ways, (20, 35), strict=True):
        cut, how = cut_out(opaque(painted((disc(), (150, 40, 30)))), way, PHOTO, 0)
        assert how == way
        assert intersection_over_union(cut[..., 3] >= 128, disc(radius=radius)) > 0.95


@pytest.mark.parametrize("error", [OSError("no route\nto host"), SystemExit(1), RuntimeError()])
def test_rembg_that_cannot_run_is_something_missing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def remove(photo: NDArray[np.uint8], **_: Any) -> None:
        raise error

    fake_rembg(monkeypatch, remove)
    with pytest.raises(MissingError, match=r"could not run or get its model: .+") as caught:
        cut_out(opaque(painted((disc(), (150, 40, 30)))), "rembg", PHOTO, 0)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("source", [None, "raise SystemExit(1)", "import onnxruntime_is_not_here"])
def test_rembg_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, source: str | None) -> None:
    monkeypatch.delitem(sys.modules, "rembg", raising=False)
    if source is None:
        monkeypatch.setitem(sys.modules, "rembg", None)  # an import that fails, wherever these tests run
    else:
        (tmp_path / "rembg.py").write_text(source)
        monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MissingError, match="pip install 'rembg"):
        cut_out(opaque(painted((disc(), (150, 40, 30)))), "rembg", PHOTO, 0)
