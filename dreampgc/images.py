"""Pictures to files: single images, animations, labelled grids.

A *frame* is ``[H,W,3]`` uint8 sRGB. All files appear whole or not at all.
"""

from __future__ import annotations

import importlib
import importlib.util
import math
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from dreampgc.errors import InputError, MissingError
from dreampgc.files import replacing

Frame = NDArray[np.uint8]

#: The number that video formats give to the colours of high-definition television.
_BT709 = 1


def to_frames(images: Tensor) -> Frame:
    """Frames ``[B,H,W,3]`` uint8 of images ``[B,3,H,W]`` in [0,1]; values beyond are clamped, NaN becomes black."""
    pixels = images.detach().float().nan_to_num(0).clamp(0, 1) * 255
    return pixels.round().byte().permute(0, 2, 3, 1).cpu().numpy()


def save_image(path: Path, frame: Frame) -> None:
    """Write one frame; the suffix says the format (.png, .webp, .jpg).

    Raises:
        InputError: the folder cannot be written to.
    """
    with replacing(path) as temporary:
        Image.fromarray(frame).save(temporary)


def labelled_grid(frames: Sequence[Frame], labels: Sequence[str], *, columns: int = 0, gap: int = 6) -> Frame:
    """One picture of frames of one size, each under its label, ``columns`` in a row (0: nearly square).

    A label that is wider than its picture is set smaller, and cut where that is not enough.

    Raises:
        ValueError: there is no frame, or not one label for each.
    """
    if not frames or len(frames) != len(labels):
        raise ValueError(f"{len(frames)} frames and {len(labels)} labels: need one label for each of at least one")
    columns = columns or math.ceil(math.sqrt(len(frames)))
    height, width = frames[0].shape[:2]
    band = max(14, width // 10)
    rows = math.ceil(len(frames) / columns)
    canvas = Image.new("RGB", (columns * (width + gap) + gap, rows * (height + band + gap) + gap), "white")
    for number, (frame, label) in enumerate(zip(frames, labels, strict=True)):
        row, column = divmod(number, columns)
        left, top = gap + column * (width + gap), gap + row * (height + band + gap)
        _write_label(canvas, label, (left, top), (width, band))
        canvas.paste(Image.fromarray(frame), (left, top + band))
    return np.asarray(canvas)


def _write_label(canvas: Image.Image, text: str, corner: tuple[int, int], box: tuple[int, int]) -> None:
    """Text in the middle of a box at ``corner`` of size ``box`` (width, height)."""
    draw = ImageDraw.Draw(canvas)
    size = max(9, round(box[1] * 0.7))
    while size > 9 and draw.textlength(text, font=ImageFont.load_default(size)) > box[0]:
        size -= 1
    font = ImageFont.load_default(size)
    while text and draw.textlength(text, font=font) > box[0]:
        text = text[:-2] + "…" if len(text) > 2 else ""
    draw.text((corner[0] + box[0] / 2, corner[1] + box[1] / 2), text, fill=(40, 40, 40), font=font, anchor="mm")


def _write_with_pillow(path: Path, frames: Iterator[Frame], rate: float, **options: Any) -> None:
    pictures = (Image.fromarray(frame) for frame in frames)
    first = next(pictures)
    first.save(path, save_all=True, append_images=pictures, duration=round(1000 / rate), loop=0, **options)


def _write_webp(path: Path, frames: Iterator[Frame], rate: float) -> None:
    _write_with_pillow(path, frames, rate, format="WEBP", quality=88, method=3)


def _write_gif(path: Path, frames: Iterator[Frame], rate: float) -> None:
    _write_with_pillow(path, frames, rate, format="GIF", optimize=False)


def _even(frame: Frame) -> Frame:
    """The frame with its last row and column repeated where a side is odd: videos halve the colour's resolution."""
    height, width = frame.shape[:2]
    return np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")


def _write_webm(path: Path, frames: Iterator[Frame], rate: float) -> None:
    first = _even(next(frames))
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"VP90"), rate, first.shape[1::-1])
    if not writer.isOpened():
        raise InputError("this OpenCV cannot encode VP9: choose .webp or .gif")
    for frame in chain([first], map(_even, frames)):
        writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    writer.release()


def _write_mp4(path: Path, frames: Iterator[Frame], rate: float) -> None:
    av: Any = importlib.import_module("av")
    first = _even(next(frames))
    height, width = first.shape[:2]
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        exact = Fraction(rate).limit_denominator(1000)
        stream = container.add_stream("libx264", rate=exact, width=width, height=height, pix_fmt="yuv420p")
        stream.options = {"crf": "17"}
        # Said in the file, or players guess the colours' matrix from the picture's size.
        stream.codec_context.colorspace = stream.codec_context.color_primaries = stream.codec_context.color_trc = _BT709
        for frame in chain([first], map(_even, frames)):
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
            container.mux(stream.encode(picture.reformat(format="yuv420p", dst_colorspace="ITU709")))
        container.mux(stream.encode())


ANIMATIONS: dict[str, Callable[[Path, Iterator[Frame], float], None]] = {
    ".webp": _write_webp,
    ".webm": _write_webm,
    ".gif": _write_gif,
    ".mp4": _write_mp4,
}


def check_animation(path: Path) -> None:
    """Refuse a place that `save_animation` could not write to, before any time is spent.

    Raises:
        InputError: no animation has this suffix.
        MissingError: what writes it is not installed.
    """
    suffix = path.suffix.lower()
    if suffix and suffix not in ANIMATIONS:
        known = ", ".join(ANIMATIONS)
        raise InputError(f"cannot write {path.name}: animations end in {known}, or have no suffix for a folder of PNG")
    if suffix == ".mp4" and importlib.util.find_spec("av") is None:
        raise MissingError("writing .mp4 needs the extra `video`: pip install 'dreampgc[video]'")


def save_animation(path: Path, frames: Iterable[Frame], *, rate: float = 24.0) -> None:
    """Write an endless animation of ``rate`` frames a second; without a suffix, a folder of numbered PNG files.

    Frames are taken one at a time, so that a generator of them needs little memory.

    Raises:
        InputError: the suffix is unknown, the place cannot be written to, or the folder holds something already.
        MissingError: what writes the format is not installed.
        ValueError: there are no frames.
    """
    check_animation(path)
    iterator = iter(frames)
    first = next(iterator, None)
    if first is None:
        raise ValueError("an animation without frames")
    whole = chain([first], iterator)
    if not path.suffix:
        _save_folder(path, whole)
        return
    with replacing(path) as temporary:
        ANIMATIONS[path.suffix.lower()](temporary, whole, rate)


def _save_folder(path: Path, frames: Iterator[Frame]) -> None:
    """Numbered PNG files in a folder that appears when all are written."""
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise InputError(f"cannot write frames to {path.name}: it is there already and not an empty folder")
    temporary = path.with_name(f".{path.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        temporary.mkdir(parents=True)
        for number, frame in enumerate(frames):
            Image.fromarray(frame).save(temporary / f"frame-{number:04d}.png")
        temporary.replace(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
