"""Property: animations and grids hold the frames they were given."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence

from dreampgc.errors import InputError
from dreampgc.images import labelled_grid, save_animation, save_image, to_frames


def frames(count: int = 12, height: int = 48, width: int = 64) -> list[np.ndarray]:
    """Flat frames whose red grows and whose blue falls."""
    made = []
    for number in range(count):
        level = 20 * number
        made.append(np.tile(np.array([level, 60, 255 - level], np.uint8), (height, width, 1)))
    return made


def read(path: Path) -> list[np.ndarray]:
    if path.suffix in (".webm", ".mp4"):
        capture, found = cv2.VideoCapture(str(path)), []
        while (answer := capture.read())[0]:
            found.append(cv2.cvtColor(answer[1], cv2.COLOR_BGR2RGB))
        return found
    if path.is_dir():
        return [np.asarray(Image.open(file)) for file in sorted(path.iterdir())]
    return [np.asarray(picture.convert("RGB")) for picture in ImageSequence.Iterator(Image.open(path))]


@pytest.mark.parametrize("name", ["a.webp", "a.gif", "a.webm", "a.mp4", "frames"])
def test_animation_holds_its_frames_in_order(tmp_path: Path, name: str) -> None:
    save_animation(tmp_path / "new" / name, iter(frames()))
    found = read(tmp_path / "new" / name)
    assert len(found) == 12
    for frame, expected in zip(found, frames(), strict=True):
        # Lossy codecs and GIF's palette move flat colours by a few steps.
        assert np.abs(frame.astype(int).mean(axis=(0, 1)) - expected[0, 0]).max() < 8
    assert [path.name for path in (tmp_path / "new").iterdir()] == [name]


@pytest.mark.parametrize("name", ["a.webp", "a.gif"])
def test_animation_repeats_for_ever(tmp_path: Path, name: str) -> None:
    save_animation(tmp_path / name, frames(), rate=20)
    picture = Image.open(tmp_path / name)
    picture.load()
    assert picture.info["loop"] == 0 and picture.info["duration"] == 50


def test_single_frame_and_odd_sizes(tmp_path: Path) -> None:
    for name in ("a.webp", "a.gif", "a.webm", "a.mp4"):
        save_animation(tmp_path / name, frames(1, 47, 61))
        height, width = (48, 62) if name in ("a.webm", "a.mp4") else (47, 61)  # videos have even sides
        assert read(tmp_path / name)[0].shape == (height, width, 3)


def test_failure_in_the_middle_leaves_nothing(tmp_path: Path) -> None:
    def broken():  # noqa: ANN202
        yield frames()[0]
        raise RuntimeError("render failed")

    for name in ("a.webp", "a.webm", "a.mp4", "frames"):
        with pytest.raises(RuntimeError, match="render failed"):
            save_animation(tmp_path / name, broken())
    assert list(tmp_path.iterdir()) == []


def test_bad_requests(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"\.webp, \.webm, \.gif, \.mp4"):
        save_animation(tmp_path / "a.avi", frames())
    with pytest.raises(ValueError, match="without frames"):
        save_animation(tmp_path / "a.webp", [])
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "note.txt").write_text("mine")
    with pytest.raises(InputError, match="not an empty folder"):
        save_animation(tmp_path / "full", frames())
    assert (tmp_path / "full" / "note.txt").read_text() == "mine"


def test_to_frames_rounds_and_clamps() -> None:
    images = torch.tensor([-1.0, 0.0, 0.5, 1.0, 2.0, float("nan")]).expand(1, 3, 1, 6)
    assert to_frames(images)[0, 0, :, 0].tolist() == [0, 0, 128, 255, 255, 0]


def test_grid_places_every_frame_under_its_label(tmp_path: Path) -> None:
    made = frames(5)
    grid = labelled_grid(made, ["short", "x" * 80, "ü → 2", "", "last"], columns=3, gap=4)
    band = 14
    assert grid.shape == (2 * (48 + band + 4) + 4, 3 * (64 + 4) + 4, 3)
    for number, frame in enumerate(made):
        row, column = divmod(number, 3)
        top, left = 4 + row * (48 + band + 4) + band, 4 + column * (64 + 4)
        np.testing.assert_array_equal(grid[top : top + 48, left : left + 64], frame)
        dark = (grid[top - band : top, left : left + 64] < 128).any()
        assert dark == (number != 3)  # the one without a label
    assert (grid[:, :4] == 255).all()  # the long label stays in its column
    save_image(tmp_path / "grid.png", grid)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "grid.png")), grid)
    with pytest.raises(ValueError, match="one label for each"):
        labelled_grid(made, ["a"])
