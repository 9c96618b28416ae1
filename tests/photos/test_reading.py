"""Property and fault: files of every mode show the same picture, and what cannot be used is refused in one sentence."""

from __future__ import annotations

import io
import os
import random
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms

from dreampgc.errors import InputError
from dreampgc.photos.reading import Pixels, read_picture


def pixels(height: int = 40, width: int = 56) -> Pixels:
    """Smooth colours that differ along x and y, and an alpha of 0, 128 and 255."""
    y, x = np.mgrid[:height, :width]
    alpha = np.select([x < 10, x < 20], [0, 128], 255)
    return np.stack([4 * x, 5 * y, 255 - 4 * x, alpha], axis=-1).astype(np.uint8)


def saved(path: Path, image: Image.Image, **options: Any) -> Path:
    image.save(path, **options)
    return path


def rgb() -> Image.Image:
    return Image.fromarray(pixels()[..., :3])


def difference(first: NDArray[Any], second: NDArray[Any]) -> int:
    """The largest difference of any value."""
    return int(np.abs(first.astype(int) - second.astype(int)).max())


@pytest.mark.parametrize("suffix", [".png", ".webp"])
def test_rgba_is_read_bit_for_bit(tmp_path: Path, suffix: str) -> None:
    path = saved(tmp_path / f"a{suffix}", Image.fromarray(pixels()), lossless=True, exact=True)
    np.testing.assert_array_equal(read_picture(path), pixels())


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp"])
def test_without_transparency_all_is_opaque(tmp_path: Path, name: str) -> None:
    found = read_picture(saved(tmp_path / name, rgb(), quality=95))
    assert found.dtype == np.uint8 and (found[..., 3] == 255).all()
    assert difference(found[..., :3], pixels()[..., :3]) < (1 if name == "a.png" else 24)  # lossy


def test_grey_of_every_depth(tmp_path: Path) -> None:
    grey = pixels()[..., 1]
    deep = grey.astype(np.uint16) * 257
    with_alpha = Image.fromarray(grey)
    with_alpha.putalpha(Image.fromarray(pixels()[..., 3]))
    for name, image in (("8", Image.fromarray(grey)), ("16", Image.fromarray(deep)), ("alpha", with_alpha)):
        found = read_picture(saved(tmp_path / f"{name}.png", image))
        np.testing.assert_array_equal(found[..., :3], np.repeat(grey[..., None], 3, axis=-1))
        np.testing.assert_array_equal(found[..., 3], pixels()[..., 3] if name == "alpha" else 255)
    black_and_white = read_picture(saved(tmp_path / "1.png", Image.fromarray(grey > 100)))
    np.testing.assert_array_equal(black_and_white[..., 0], np.where(grey > 100, 255, 0))


def test_transparent_colours_and_palettes(tmp_path: Path) -> None:
    blocks = np.repeat(np.repeat(np.arange(4, dtype=np.uint8).reshape(2, 2), 20, axis=0), 20, axis=1)
    palette = Image.fromarray(blocks, "P")
    palette.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 9, 9])
    found = read_picture(saved(tmp_path / "palette.png", palette, transparency=bytes([0, 128, 255, 255])))
    assert found[::20, ::20].tolist() == [[[255, 0, 0, 0], [0, 255, 0, 128]], [[0, 0, 255, 255], [9, 9, 9, 255]]]
    keyed = read_picture(saved(tmp_path / "keyed.png", palette.convert("RGB"), transparency=(0, 0, 255)))
    assert keyed[::20, ::20, 3].tolist() == [[255, 255], [0, 255]]
    deep = Image.fromarray(blocks.astype(np.uint16) * 1000)
    found = read_picture(saved(tmp_path / "deep.png", deep, transparency=2000))
    assert found[::20, ::20, 3].tolist() == [[255, 255], [0, 255]]
    assert found[20, 20, 0] == round(3000 / 257)


def test_cmyk_shows_the_colours_it_prints(tmp_path: Path) -> None:
    found = read_picture(saved(tmp_path / "a.jpg", rgb().convert("CMYK"), quality=95))
    assert difference(found[..., :3], pixels()[..., :3]) < 24


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_pictures_stand_upright(tmp_path: Path, suffix: str, orientation: int) -> None:
    turned = {
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a),
        7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
        8: lambda a: np.rot90(a, -1),
    }.get(orientation, lambda a: a)
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.ascontiguousarray(turned(pixels()[..., :3])))
    found = read_picture(saved(tmp_path / f"a{suffix}", stored, exif=exif, quality=95))
    assert difference(found[..., :3], pixels()[..., :3]) < 24


def swapped_profile() -> bytes:
    """An ICC profile whose red is sRGB's green and the other way round."""
    data = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return data.replace(b"rXYZ", b"----").replace(b"gXYZ", b"rXYZ").replace(b"----", b"gXYZ")


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_colours_go_through_the_profile(tmp_path: Path, mode: str) -> None:
    image = Image.new("RGB", (40, 40), (200, 40, 90))
    image = image.quantize() if mode == "P" else image.convert(mode)
    found = read_picture(saved(tmp_path / "a.png", image, icc_profile=swapped_profile()))
    assert difference(found[5, 5], np.array([40, 200, 90, 255])) <= 3
    plain = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    found = read_picture(saved(tmp_path / "b.png", image, icc_profile=plain))
    assert difference(found[5, 5], np.array([200, 40, 90, 255])) <= 1


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("profile", [b"no profile", swapped_profile()[:300], swapped_profile()])
def test_a_profile_that_does_not_fit_is_taken_for_srgb(tmp_path: Path, mode: str, profile: bytes) -> None:
    if mode == "RGB" and profile == swapped_profile():
        pytest.skip("this one fits")
    image = Image.new("RGB", (40, 40), (120, 120, 120)).convert(mode)
    found = read_picture(saved(tmp_path / "a.jpg", image, icc_profile=profile))
    assert difference(found[5, 5], np.array([120, 120, 120, 255])) <= 2


def test_the_first_picture_of_a_phone_is_taken(tmp_path: Path) -> None:
    depth_map = Image.new("RGB", rgb().size, "white")
    path = saved(tmp_path / "a.jpg", rgb(), format="MPO", save_all=True, append_images=[depth_map], quality=95)
    with Image.open(path) as image:
        assert image.format == "MPO"
    assert difference(read_picture(path)[..., :3], pixels()[..., :3]) < 24


def png_header(width: int, height: int) -> bytes:
    """A PNG that promises a picture of this size and holds none."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"x") + chunk(b"IEND", b"")


def encoded(image: Image.Image, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, **options)
    return buffer.getvalue()


FRAMES = {"save_all": True, "append_images": [Image.new("RGB", (40, 40), "white")]}
BAD: dict[str, tuple[bytes, str]] = {
    "text.png": (b"this is a picture, believe me\n", "is not a PNG, JPEG or WebP picture"),
    "empty.jpg": (b"", "is not a PNG, JPEG or WebP picture"),
    "bitmap.png": (encoded(Image.new("RGB", (40, 40)), format="BMP"), "is not a PNG, JPEG or WebP picture"),
    "cut.png": (encoded(rgb(), format="PNG")[:-60], "is broken"),
    "cut.jpg": (encoded(rgb(), format="JPEG")[:-200], "is broken"),
    "cut.webp": (encoded(rgb(), format="WEBP")[:-200], "is broken"),
    "bomb.png": (png_header(30_000, 30_000), "more than 64 megapixels"),
    "warned.png": (png_header(10_000, 10_000), "more than 64 megapixels"),
    "large.png": (png_header(8_001, 8_000), "more than 64 megapixels"),
    "hollow.png": (png_header(8_000, 8_000), "is broken"),
    "dot.png": (encoded(Image.new("RGB", (1, 1)), format="PNG"), "has 1 × 1 pixels"),
    "thin.png": (encoded(Image.new("RGB", (400, 31)), format="PNG"), "has 400 × 31 pixels"),
    "moving.webp": (encoded(Image.new("RGB", (40, 40)), format="WEBP", **FRAMES), "is animated"),
    "moving.png": (encoded(Image.new("RGB", (40, 40)), format="PNG", **FRAMES), "is animated"),
}


def refusal(path: Path) -> str:
    """The one sentence with which a file is refused."""
    with pytest.raises(InputError) as caught:
        read_picture(path)
    said = str(caught.value)
    assert str(path) in said and "\n" not in said
    return said


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_refused(tmp_path: Path, name: str) -> None:
    content, reason = BAD[name]
    (tmp_path / name).write_bytes(content)
    assert reason in refusal(tmp_path / name)


def test_places_without_a_picture_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "No such file" in refusal(tmp_path / "none.png")
    assert "it is a folder" in refusal(tmp_path)
    os.mkfifo(tmp_path / "pipe.png")
    assert "not a regular file" in refusal(tmp_path / "pipe.png")  # and nobody waits for a writer
    with pytest.raises(InputError, match="null byte"):
        read_picture(Path("a\0.png"))
    locked = saved(tmp_path / "locked.png", rgb())
    locked.chmod(0)
    if os.access(locked, os.R_OK):  # for an administrator no file is locked

        def denied(*_: object, **__: object) -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(Image, "open", denied)
    assert "Permission denied" in refusal(locked)


def test_damage_is_refused_or_shown_but_never_worse(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    """Truncated at any place or with bytes changed, in every format: pixels or an `InputError`, and no warnings."""
    rng = random.Random(0)
    exif = Image.Exif()
    exif[0x0112] = 6
    whole = [
        encoded(Image.fromarray(pixels()), format="PNG", icc_profile=swapped_profile()),
        encoded(rgb().quantize(9), format="PNG", exif=exif),
        encoded(rgb(), format="JPEG", exif=exif),
        encoded(rgb(), format="MPO", **FRAMES),
        encoded(Image.fromarray(pixels()), format="WEBP"),
    ]
    outcomes = {True: 0, False: 0}
    for number in range(300):
        data = bytearray(rng.choice(whole))
        if number % 2:
            del data[rng.randrange(len(data)) :]
        for _ in range(rng.randrange(4)):
            if data:
                data[rng.randrange(len(data))] = rng.randrange(256)
        path = tmp_path / "damaged"
        path.write_bytes(data)
        try:
            found = read_picture(path)
        except InputError as error:
            assert "\n" not in str(error)
            outcomes[False] += 1
        else:
            assert found.dtype == np.uint8 and found.shape[2] == 4 and min(found.shape[:2]) >= 32
            outcomes[True] += 1
    assert min(outcomes.values()) > 20
    assert not recwarn.list
