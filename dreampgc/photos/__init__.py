"""Photos of one object: read from a file, cut out, and framed in a square.

reading: a file to pixels ─► cutting: the object's alpha (segmenting: found, if it is not there) ─► framing: a square
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from PIL import Image

from dreampgc.files import replacing
from dreampgc.photos.cutting import Way, cut_out
from dreampgc.photos.framing import framed
from dreampgc.photos.reading import read_picture

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Photo:
    """One object: ``rgba`` ``[4,S,S]`` float32 in [0,1], straight alpha, sRGB, black where alpha is 0.

    ``how`` says where the alpha comes from: the file, GrabCut, or rembg.
    """

    rgba: Tensor
    how: Way


def load_photo(
    path: Path,
    size: int,
    *,
    background: Literal["auto", "alpha", "grabcut", "rembg"] = "auto",
    framing: Literal["fit", "keep"] = "fit",
    margin: float = 0.2,
    seed: int = 0,
) -> Photo:
    """The object in a PNG, JPEG or WebP file, in a square of ``size`` pixels a side.

    ``background`` says how it is cut out (``auto``: by the file's alpha where it hides something, else by GrabCut).
    ``fit`` centres it, its longer side ``1 - margin`` of the square; ``keep`` leaves it where it is, in a
    picture that is padded to a square. A file that cannot be used is refused before torch is imported.

    Raises:
        InputError: the file cannot be read, or holds no object that can be told from its background.
        MissingError: rembg was asked for and is not in working order.
    """
    pixels, how = cut_out(read_picture(path), background, path, seed)
    rgba = framed(pixels, size, framing, margin, path)
    import torch

    return Photo(torch.from_numpy(rgba), how)


def save_photo(photo: Photo, path: Path) -> None:
    """Write an RGBA PNG, which `load_photo` with ``framing="keep"`` reads back.

    Raises:
        InputError: the place cannot be written to.
    """
    pixels = (photo.rgba.movedim(0, -1).clamp(0, 1) * 255).round().byte().cpu().numpy()
    with replacing(path) as temporary:
        Image.fromarray(np.ascontiguousarray(pixels)).save(temporary, format="PNG")
