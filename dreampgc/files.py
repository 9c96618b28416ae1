"""Files that are either whole or absent: written beside their place, then renamed."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dreampgc.errors import InputError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary sibling of ``path`` to write to; it takes ``path``'s place when the block ends well.

    The sibling keeps the suffix, which encoders read the format from. When the block raises, the
    sibling is removed and whatever ``path`` held is untouched. Missing parent folders are made.

    Raises:
        InputError: ``path`` is a folder, or its folder cannot be made or written to.
    """
    temporary = path.with_name(f".{path.stem}.{secrets.token_hex(4)}.tmp{path.suffix}")
    if path.is_dir():
        raise InputError(f"cannot write the file {path.name}: a folder of that name is there")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch()
    except (PermissionError, NotADirectoryError, FileExistsError) as error:
        raise InputError(f"cannot write {path.name} into {path.parent}: {error.strerror}") from error
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def cache_folder() -> Path:
    """Where what can be found out or made again is kept between processes (``XDG_CACHE_HOME``, else ``~/.cache``)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dreampgc"
