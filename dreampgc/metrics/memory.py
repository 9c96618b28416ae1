"""Ground truth that was made before, in a folder of files."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dreampgc.files import replacing

Arrays = dict[str, NDArray[Any]]


def remembered(cache: Path, label: str, made_of: object, make: Callable[[], Arrays]) -> Arrays:
    """The arrays that ``make`` gives, read from the folder ``cache`` if they were made before.

    The file's name holds a digest of ``made_of``, all that the arrays depend on: the file of another world is never
    read.
    """
    digest = hashlib.sha256(repr(made_of).encode()).hexdigest()[:16]
    path = cache / f"{label.replace(' ', '-')}.{digest}.npz"
    if not path.exists():
        arrays = make()
        with replacing(path) as temporary:
            np.savez_compressed(temporary, **arrays)  # pyright: ignore[reportArgumentType]
        return arrays
    with np.load(path) as stored:
        return dict(stored)
