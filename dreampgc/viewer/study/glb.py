"""Binary glTF without the marks of who made it, which a voter's browser must not learn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dreampgc.errors import InputError
from dreampgc.mesh.container import pack, unpack

#: Metadata by which a file can name its maker. glTF refers to things by number, so nothing depends on names.
MARKS = frozenset({"name", "extras", "generator", "copyright", "KHR_xmp_json_ld"})
#: Extensions that three.js reads only with decoders, which the page does not have.
_DECODERS = frozenset({"KHR_draco_mesh_compression", "EXT_meshopt_compression", "KHR_texture_basisu"})


def check_glb(path: Path) -> None:
    """Refuse what the study's page cannot show.

    Raises:
        InputError: ``path`` is no whole binary glTF 2.0, needs other files beside it, or needs a decoder.
    """
    document, _ = _read(path)
    try:
        sources = [one.get("uri", "data:") for key in ("buffers", "images") for one in document.get(key, ())]
        needed = _DECODERS & set(document.get("extensionsRequired", ()))
    except (AttributeError, TypeError) as error:
        raise InputError(f"{path} is damaged: its description is no glTF") from error
    if not all(str(source).startswith("data:") for source in sources):
        raise InputError(f"{path} needs another file beside it; save it as one self-contained .glb")
    if needed:
        raise InputError(f"{path} is compressed with {min(needed)}; save it uncompressed")


def anonymous_glb(path: Path) -> bytes:
    """The file at ``path`` without `MARKS`; geometry, materials and textures stay as they are, byte for byte.

    Marks inside an embedded picture (such as a PNG's text) are not looked for.

    Raises:
        InputError: it cannot be read, or is no whole binary glTF 2.0.
    """
    document, data = _read(path)
    return pack(_unmarked(document), data)


def _read(path: Path) -> tuple[dict[str, Any], bytes]:
    try:
        return unpack(path)
    except RecursionError as error:
        raise InputError(f"{path} is damaged: it is not a whole GLB file") from error


def _unmarked(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _unmarked(inner) for key, inner in value.items() if key not in MARKS}
    return [_unmarked(inner) for inner in value] if isinstance(value, list) else value
