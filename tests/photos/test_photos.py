"""Integration: from files to photos and back, and the example pictures."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from dreampgc.errors import InputError
from dreampgc.photos import Photo, load_photo, save_photo

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize(("name", "how"), [("dog.png", "alpha"), ("teapot.png", "alpha"), ("car.jpg", "grabcut")])
def test_examples_are_ready_to_use(name: str, how: str) -> None:
    assert (EXAMPLES / name).stat().st_size < 200_000
    with Image.open(EXAMPLES / name) as image:
        assert image.size == (512, 512)
    photo = load_photo(EXAMPLES / name, 64)
    assert photo.how == how
    assert photo.rgba.shape == (4, 64, 64) and photo.rgba.dtype == torch.float32
    assert photo.rgba.min() >= 0 and photo.rgba.max() <= 1
    there = photo.rgba[3] > 0.5
    rows, columns = there.any(dim=1).sum().item(), there.any(dim=0).sum().item()
    assert abs(max(rows, columns) - 0.8 * 64) <= 2  # four fifths of the square
    assert 0.2 < there.float().mean() < 0.5


def test_the_car_is_cut_out_without_its_shadow() -> None:
    """Beside its front wheel the table is dark with shadow; the car itself is red, blue, black and pale."""
    photo = load_photo(EXAMPLES / "car.jpg", 128, framing="keep")
    red, green, blue = photo.rgba[:3, photo.rgba[3] > 0.5]
    wooden = (red > green + 0.05) & (green > blue + 0.03) & (red < 0.6) & (red < 2.2 * blue)
    assert wooden.float().mean() < 0.01


def test_a_saved_photo_is_read_back(tmp_path: Path) -> None:
    photo = load_photo(EXAMPLES / "teapot.png", 48)
    save_photo(photo, tmp_path / "new" / "reference.png")
    with Image.open(tmp_path / "new" / "reference.png") as image:
        assert image.mode == "RGBA" and image.size == (48, 48)
    again = load_photo(tmp_path / "new" / "reference.png", 48, framing="keep")
    assert again.how == "alpha"
    visible = again.rgba[3] > 0
    torch.testing.assert_close(again.rgba[3], photo.rgba[3], atol=0.5 / 255 + 1e-6, rtol=0)
    torch.testing.assert_close(again.rgba[:, visible], photo.rgba[:, visible], atol=0.5 / 255 + 1e-5, rtol=0)
    save_photo(again, tmp_path / "again.png")
    third = load_photo(tmp_path / "again.png", 48, framing="keep")
    torch.testing.assert_close(third.rgba, again.rgba, atol=1e-5, rtol=0)


def test_a_photo_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photo = Photo(torch.rand(4, 32, 32), "alpha")
    save_photo(photo, tmp_path / "a.png")
    before = (tmp_path / "a.png").read_bytes()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(OSError, match="No space"):
        save_photo(photo, tmp_path / "a.png")
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
    assert (tmp_path / "a.png").read_bytes() == before


def test_a_bad_file_is_refused_before_torch_is_imported(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    code = (
        "import sys; from pathlib import Path; from dreampgc.errors import InputError; from dreampgc.photos import *\n"
        "try: load_photo(Path(sys.argv[1]), 64)\n"
        "except InputError: print('torch' in sys.modules)"
    )
    answer = subprocess.run([sys.executable, "-c", code, tmp_path / "text.png"], capture_output=True, text=True)
    assert answer.stdout == "False\n", answer.stderr


@pytest.mark.parametrize("framing", ["fit", "keep"])
def test_bad_files_are_refused_here_too(tmp_path: Path, framing: str) -> None:
    Image.new("RGBA", (64, 64), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    with pytest.raises(InputError, match="transparent all over"):
        load_photo(tmp_path / "clear.png", 64, framing=framing)  # type: ignore[arg-type]
