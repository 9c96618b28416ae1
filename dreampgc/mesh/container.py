"""The container of binary glTF 2.0 (.glb): a JSON document, then one binary chunk that it points into."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

from dreampgc.errors import InputError

_HEADER, _CHUNK = struct.Struct("<4sII"), struct.Struct("<I4s")


def pack(document: dict[str, Any], data: bytes) -> bytes:
    """The file of a glTF document and its buffer (a multiple of four bytes)."""
    text = json.dumps(document, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    chunks = _CHUNK.pack(len(text), b"JSON") + text + _CHUNK.pack(len(data), b"BIN\0") + data
    return _HEADER.pack(b"glTF", 2, _HEADER.size + len(chunks)) + chunks


def unpack(path: Path) -> tuple[dict[str, Any], bytes]:
    """The document and the buffer of a file that `pack` made.

    Raises:
        InputError: the file cannot be read, is cut, or is not such a file.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    try:
        return _unpacked(content)
    except (struct.error, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is damaged: it is not a whole GLB file") from error


def _unpacked(content: bytes) -> tuple[dict[str, Any], bytes]:
    magic, version, length = _HEADER.unpack_from(content)
    size, kind = _CHUNK.unpack_from(content, _HEADER.size)
    begin = _HEADER.size + _CHUNK.size
    document = json.loads(content[begin : begin + size])
    rest, binary = _CHUNK.unpack_from(content, begin + size)
    data = content[begin + size + _CHUNK.size :]
    whole = (magic, version, length, kind, binary, rest) == (b"glTF", 2, len(content), b"JSON", b"BIN\0", len(data))
    views = document.get("bufferViews", [])
    if not whole or any(view.get("byteOffset", 0) + view["byteLength"] > rest for view in views):
        raise ValueError("parts are missing")
    return document, data
