"""A cut-out picture in a square of the size that is asked for, by one resampling."""

from __future__ import annotations

from math import ceil, floor
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dreampgc.errors import InputError
from dreampgc.photos.reading import Pixels

#: An object with fewer pixels than this on its longer side says too little.
MINIMUM_OBJECT = 16


def framed(
    pixels: Pixels, size: int, framing: Literal["fit", "keep"], margin: float, path: Path
) -> NDArray[np.float32]:
    """Straight RGBA ``[4,size,size]`` float32 in [0,1] of a cut-out ``[H,W,4]``; black where nothing is.

    ``fit`` centres the box around the object and makes its longer side ``1 - margin`` of the square's; ``keep`` takes
    the whole picture, centred. Outside of the picture there is nothing. ``path`` is for messages.

    Raises:
        InputError: the object is tiny.
    """
    left, top, right, bottom = _object_box(pixels[..., 3]) if framing == "fit" else (0, 0, *pixels.shape[1::-1])
    longer = max(right - left, bottom - top)
    if longer < MINIMUM_OBJECT:
        raise InputError(f"the object in {path} has only {longer} pixels on its longer side: take it from nearer")
    side = longer / (1 - margin) if framing == "fit" else longer
    corner = (left + right - side) / 2, (top + bottom - side) / 2
    # What the square shows of the picture; colours count as much as they cover: what is transparent has none to give.
    shown = pixels[max(0, int(corner[1])) : ceil(corner[1] + side), max(0, int(corner[0])) : ceil(corner[0] + side)]
    corner = corner[0] - max(0, int(corner[0])), corner[1] - max(0, int(corner[1]))
    weight = shown[..., 3].astype(np.float32) / np.float32(255 * 255)
    cover = 255 * _resampled(weight, corner, side, size)
    planes = [_resampled(shown[..., channel] * weight, corner, side, size) for channel in range(3)]
    colours = np.stack(planes) / np.maximum(cover, 1e-6)
    return np.concatenate([colours, cover[None]]).clip(0, 1)


def _object_box(alpha: NDArray[np.uint8]) -> tuple[int, int, int, int]:
    """Left, top, right and bottom (the latter two exclusive) of what is mostly there."""
    columns, rows = (np.flatnonzero((alpha >= 128).any(axis=axis)) for axis in (0, 1))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _resampled(plane: NDArray[Any], corner: tuple[float, float], side: float, size: int) -> NDArray[np.float32]:
    """The square of ``side`` pixels at ``corner`` (left, top) of a plane ``[H,W]`` as ``[size,size]``; 0 around it.

    The Hamming filter averages all that shrinks into a pixel and, without negative lobes, leaves no halos.
    """
    image = Image.fromarray(plane)
    factor = int(side // (4 * size))
    if factor > 1:  # whole pixels are averaged first, as Pillow's ``reducing_gap`` does: the canvas stays small
        image = image.reduce(factor)
        corner, side = (corner[0] / factor, corner[1] / factor), side / factor
    left, top = floor(corner[0]), floor(corner[1])
    canvas = Image.new("F", (ceil(corner[0] + side) - left, ceil(corner[1] + side) - top))
    canvas.paste(image, (-left, -top))
    x, y = corner[0] - left, corner[1] - top
    return np.asarray(canvas.resize((size, size), Image.Resampling.HAMMING, box=(x, y, x + side, y + side)))
