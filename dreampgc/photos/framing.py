"""A cut-out picture in a square of the size that is asked for, by one resampling."""

from __future__ import annotations

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
    # Colours count as much as they cover: what is transparent has none to give.
    weight = pixels[..., 3].astype(np.float32) / np.float32(255 * 255)
    cover = 255 * _resampled(weight, corner, side, size)
    planes = [_resampled(pixels[..., channel] * weight, corner, side, size) for channel in range(3)]
    colours = np.stack(planes) / np.maximum(cover, 1e-6)
    return np.concatenate([colours, cover[None]]).clip(0, 1)


def _object_box(alpha: NDArray[np.uint8]) -> tuple[int, int, int, int]:
    """Left, top, right and bottom (the latter two exclusive) of what is mostly there."""
    there = alpha >= max(1, int(alpha.max()) // 2)
    columns, rows = np.flatnonzero(there.any(axis=0)), np.flatnonzero(there.any(axis=1))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _resampled(plane: NDArray[Any], corner: tuple[float, float], side: float, size: int) -> NDArray[np.float32]:
    """The square of ``side`` pixels at ``corner`` (left, top) of a plane ``[H,W]`` as ``[size,size]``; 0 around it.

    The Hamming filter averages all that shrinks into a pixel and, without negative lobes, leaves no halos.
    """
    low = np.floor(corner).astype(int)
    high = np.ceil(np.add(corner, side)).astype(int)
    canvas = np.zeros((high[1] - low[1], high[0] - low[0]), np.float32)
    height, width = plane.shape
    rows, columns = slice(max(low[1], 0), min(high[1], height)), slice(max(low[0], 0), min(high[0], width))
    canvas[rows.start - low[1] : rows.stop - low[1], columns.start - low[0] : columns.stop - low[0]] = plane[
        rows, columns
    ]
    x, y = corner[0] - low[0], corner[1] - low[1]
    image = Image.fromarray(canvas)
    return np.asarray(image.resize((size, size), Image.Resampling.HAMMING, box=(x, y, x + side, y + side)))
