"""Binary glTF without the marks of who made it, which a voter's browser must not learn."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from dreampgc.errors import InputError

#: Metadata by which a file can name its maker. glTF refers to things by number, so nothing depends on names.
MARKS = frozenset({"name", "extras", "generator", "copyright", "KHR_xmp_json_ld"})
#: Extensions that three.js reads only with decoders, which the page does not have.
_DECODERS = frozenset({"KHR_draco_mesh_compression", "EXT_meshopt_compression", "KHR_texture_basisu"})
_HEAD = struct.Struct("<4sIII4s")


def check_glb(path: Path) -> None:
    """Refuse what the study's page cannot show. Reads the description, not the geometry.

    Raises:
        InputError: ``path`` is no whole binary glTF 2.0, needs other files beside it, or needs a decoder.
    """
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD.size)
            document, _ = _described(head, file.read)
            size = file.seek(0, os.SEEK_END)
        sources = [one.get("uri", "data:") for key in ("buffers", "images") for one in document.get(key, ())]
        needed = _DECODERS & set(document.get("extensionsRequired", ()))
    except OSError as error:
        raise InputError(f"it cannot be read ({error.strerror})") from error
    except (AttributeError, TypeError) as error:
        raise InputError("it is damaged") from error
    if size < _HEAD.unpack(head)[2]:
        raise InputError("it is cut off")
    if not all(str(source).startswith("data:") for source in sources):
        raise InputError("it needs another file beside it; save it as one self-contained .glb")
    if needed:
        raise InputError(f"it is compressed with {min(needed)}; save it uncompressed")


def anonymous_glb(content: bytes) -> bytes:
    """The file ``content`` without `MARKS`; geometry, materials and textures stay as they are, byte for byte.

    Marks inside an embedded picture (such as a PNG's text) are not looked for.

    Raises:
        InputError: it is no binary glTF 2.0.
    """
    rest = content[_HEAD.size :]
    document, length = _described(content[: _HEAD.size], lambda size: rest[:size])
    text = json.dumps(_unmarked(document), separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    binary = rest[length:]
    return _HEAD.pack(b"glTF", 2, _HEAD.size + len(text) + len(binary), len(text), b"JSON") + text + binary


def _described(head: bytes, read: Callable[[int], bytes]) -> tuple[dict[str, Any], int]:
    """The description in a file that begins with ``head``, and its length; ``read(size)`` gives what follows."""
    document, length = None, 0
    with suppress(struct.error, ValueError, RecursionError):
        magic, version, _, length, kind = _HEAD.unpack(head)
        document = json.loads(read(length)) if (magic, version, kind) == (b"glTF", 2, b"JSON") else None
    if not isinstance(document, dict):
        raise InputError("it is not a binary glTF 2.0 file")
    return document, length


def _unmarked(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _unmarked(inner) for key, inner in value.items() if key not in MARKS}
    return [_unmarked(inner) for inner in value] if isinstance(value, list) else value
