"""Picture files to pixels: whatever mode, depth, orientation and colours a file has, ``[H,W,4]`` uint8 sRGB comes out.

A picture that cannot be used is refused with one sentence, and before it is decoded where its header says enough.
"""

from __future__ import annotations

import contextlib
import io
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps

from dreampgc.errors import InputError, one_line

#: Straight alpha, its last channel: 255 everywhere in a picture without transparency.
Pixels = NDArray[np.uint8]

FORMATS = ("PNG", "JPEG", "WEBP")
MAXIMUM_PIXELS = 64_000_000
MINIMUM_SIDE = 32


def read_picture(path: Path) -> Pixels:
    """The picture ``[H,W,4]`` that a PNG, JPEG or WebP file shows: upright, in sRGB, 8 bits a channel.

    Of a file with several pictures, as some phones write (MPO), it is the first. Colours go through the file's ICC
    profile; one that is broken or does not fit the file's mode is taken for sRGB, as most programs do.

    Raises:
        InputError: the file is missing, unreadable, no such picture, broken, animated, too large or too small.
    """
    _check_place(path)
    with _explained(path), Image.open(path, formats=FORMATS) as image:
        _check_header(path, image)
        image.load()
        ImageOps.exif_transpose(image, in_place=True)
        return _to_pixels(image)


def _check_place(path: Path) -> None:
    """Refuse what is no file. Opening it is no way to ask: it would wait for ever at a pipe."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"cannot read the picture {path}: {reason}") from error
    if stat.S_ISDIR(mode):
        raise InputError(f"cannot read the picture {path}: it is a folder")
    if not stat.S_ISREG(mode):
        raise InputError(f"cannot read the picture {path}: it is not a regular file")


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn what Pillow raises while it reads ``path`` into one sentence."""
    try:
        with warnings.catch_warnings():
            # What is odd about a file that can be read, in its EXIF for instance, is nothing to tell the user.
            warnings.simplefilter("ignore")
            # Pillow's own limits on a header's size are above ours: a warning from 89 megapixels on, an error from 179.
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            yield
    except (InputError, MemoryError):
        raise
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise _too_large(path) from error
    except Image.UnidentifiedImageError as error:
        raise InputError(f"{path} is not a PNG, JPEG or WebP picture, or its beginning is damaged") from error
    except PermissionError as error:
        raise InputError(f"cannot read the picture {path}: {error.strerror}") from error
    except Exception as error:  # Pillow's decoders raise nearly everything on broken data
        raise InputError(f"the picture {path} is broken: {one_line(error)}") from error


def _too_large(path: Path) -> InputError:
    limit = f"{MAXIMUM_PIXELS // 1_000_000} megapixels"
    return InputError(f"the picture {path} has more than {limit}: make it smaller, 1,000 pixels a side are plenty")


def _check_header(path: Path, image: Image.Image) -> None:
    """Refuse what the header alone tells: nothing is decoded yet."""
    width, height = image.size
    if width * height > MAXIMUM_PIXELS:
        raise _too_large(path)
    if min(width, height) < MINIMUM_SIDE:
        raise InputError(
            f"the picture {path} has {width} × {height} pixels: it needs at least {MINIMUM_SIDE} on each side"
        )
    # The second picture of a phone's MPO is no next frame: a depth map, another exposure.
    if image.format != "MPO" and getattr(image, "is_animated", False):
        raise InputError(f"the picture {path} is animated: save one frame of it as a PNG and use that")


def _to_pixels(image: Image.Image) -> Pixels:
    """Any mode as straight RGBA in sRGB."""
    if image.mode.startswith("I"):
        image = _to_8_bits(image)
    if image.mode in ("P", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
    alpha = image.getchannel("A") if image.mode in ("RGBA", "LA") else Image.new("L", image.size, 255)
    colours = _to_srgb(image.convert({"RGBA": "RGB", "LA": "L", "1": "L"}.get(image.mode, image.mode)), image.info)
    colours.putalpha(alpha)
    return np.array(colours)


def _to_8_bits(image: Image.Image) -> Image.Image:
    """A grey picture of 16 bits in 8, with its transparent grey as alpha; Pillow's own conversion would clip at 255."""
    deep = np.asarray(image)
    grey = Image.fromarray(np.round(deep / 257.0).clip(0, 255).astype(np.uint8))
    if (transparent := image.info.get("transparency")) is not None:
        grey.putalpha(Image.fromarray(np.where(deep == transparent, 0, 255).astype(np.uint8)))
    grey.info = {key: value for key, value in image.info.items() if key != "transparency"}
    return grey


def _to_srgb(image: Image.Image, info: dict) -> Image.Image:
    """An L, RGB or CMYK picture as RGB, through its ICC profile where it has one that works."""
    if profile := info.get("icc_profile"):
        with contextlib.suppress(OSError, ValueError, ImageCms.PyCMSError):  # then it is taken for sRGB
            source, target = ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB")
            converted = ImageCms.profileToProfile(image, source, target, outputMode="RGB")
            return converted if converted is not None else image.convert("RGB")
    return image.convert("RGB")
