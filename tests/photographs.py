"""Pictures to make objects of: small ones with transparency, which need no cutting out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.small_runs import small_config

#: Red on top of blue, as a share of the square: middle, half height, half width.
TOP, BOTTOM = (1.0, 0.1, 0.1), (0.1, 0.2, 0.9)


def write_photo(path: Path, *, size: int = 64, colours: tuple[Any, Any] = (TOP, BOTTOM)) -> Path:
    """An ellipse in the middle, of two colours, over nothing."""
    y, x = (np.mgrid[:size, :size] + 0.5) * 2 / size - 1
    alpha = ((x / 0.5) ** 2 + (y / 0.7) ** 2 < 1).astype(float)
    rgb = np.where((y < 0)[..., None], *(np.broadcast_to(colour, (size, size, 3)) for colour in colours))
    rgba = np.concatenate([rgb, alpha[..., None]], axis=-1)
    Image.fromarray((rgba * 255).round().astype(np.uint8)).save(path)
    return path


def image_config(file: Path, **options: Any) -> Any:
    """A small image run from in front, with an elevation that is given; ``options`` as for `small_config`."""
    given = {
        "task": "image",
        "prompt": "",
        "image__file": str(file),
        "image__framing": "keep",
        "image__size": 64,
        "image__elevation": 10.0,
        "cameras__distance": (2.4, 2.4),
        "cameras__fov": (45.0, 45.0),
        "guidance__scale": 3.0,
    }
    return small_config(**{**given, **options})
