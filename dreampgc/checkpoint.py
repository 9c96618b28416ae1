"""Checkpoints: ``checkpoints/step-000400/{state.safetensors,state.json}``, whole or absent, finite, never pickle.

A checkpoint named ``step-000400`` holds the state after 400 steps. It is written to a temporary sibling, flushed
to the disk and renamed, so that a kill or a full disk at any instant leaves the earlier ones as they were.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import torch as safetensors
from torch import Tensor
from torch.optim import Optimizer

from dreampgc.errors import DreamError, InputError, NewerError, TrainingError

#: Version of the layout; a newer one is refused.
FORMAT = 1
_NAME = re.compile(r"step-(\d{6,})")


class _DamagedError(InputError):
    """A checkpoint that is not what was written."""


def save_checkpoint(
    run: Path, step: int, tensors: Mapping[str, Tensor], state: Mapping[str, Any], *, keep: int = 2
) -> Path:
    """Write the state after ``step`` steps into the run folder ``run`` and keep the newest ``keep`` checkpoints.

    ``tensors`` may live on any device; ``state`` is what JSON can hold. A good checkpoint of the same step is left
    as it is; those of later steps, which a resumed run fell back from, are removed.

    Raises:
        TrainingError: a tensor is not finite; nothing is written, the earlier checkpoints stay.
        DreamError: the disk is full or cannot be written to; the earlier checkpoints stay.
    """
    _require_finite(tensors, step)
    folder = run / "checkpoints"
    final = folder / f"step-{step:06d}"
    if final in checkpoints(run) and _is_good(final):
        return final
    temporary = folder / f".{final.name}.{secrets.token_hex(4)}.tmp"
    try:
        _write(temporary, step, tensors, state)
        for stale in (path for path in checkpoints(run) if checkpoint_step(path) >= step):
            _remove(stale)
        temporary.rename(final)
        _flush_folder(folder)
        for old in checkpoints(run)[keep:]:
            _remove(old)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise DreamError(
            f"cannot write the checkpoint of step {step} into {folder}: {error.strerror}; the earlier checkpoints are "
            f"intact: make room, then go on with --resume {run}"
        ) from error
    return final


def load_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The ``(tensors, state)`` that were saved, bit for bit, on the CPU.

    Raises:
        InputError: a file is missing, truncated or altered, or was written by a newer version.
    """
    try:
        document = json.loads((path / "state.json").read_text(encoding="utf-8"))
        payload = (path / "state.safetensors").read_bytes()
    except (OSError, ValueError) as error:
        raise _DamagedError(f"the checkpoint {path} is damaged: {error}") from error
    if not isinstance(document, dict) or not isinstance(document.get("format"), int):
        raise _DamagedError(f"the checkpoint {path} is damaged: state.json is not what was written")
    if document["format"] > FORMAT:
        raise NewerError(f"{path} was made by a newer dreampgc (checkpoint format {document['format']}, not {FORMAT})")
    if document.get("bytes") != len(payload):
        raise _DamagedError(f"the checkpoint {path} is damaged: {len(payload)} bytes, not {document.get('bytes')}")
    if document.get("sha256") != _digest(payload, document.get("step"), document.get("state")):
        raise _DamagedError(f"the checkpoint {path} is damaged: its checksum does not match")
    return safetensors.load(payload), document["state"]


def load_latest(run: Path, warn: Callable[[str], None]) -> tuple[int, dict[str, Tensor], dict[str, Any]] | None:
    """The newest good checkpoint as ``(step, tensors, state)``; None when the run has none yet.

    ``warn`` is told of each damaged one that is passed over.

    Raises:
        InputError: all are damaged, or the newest was written by a newer version.
    """
    damage: _DamagedError | None = None
    for path in checkpoints(run):
        try:
            return checkpoint_step(path), *load_checkpoint(path)
        except _DamagedError as error:
            damage = error
            warn(f"{error}; falling back to the one before")
    if damage is not None:
        raise InputError(f"no checkpoint of {run} can be read; {damage}") from damage
    return None


def checkpoints(run: Path) -> list[Path]:
    """The checkpoint folders of a run, the newest first, good or not."""
    folder = run / "checkpoints"
    found = [path for path in folder.iterdir() if _NAME.fullmatch(path.name)] if folder.is_dir() else []
    return sorted(found, key=checkpoint_step, reverse=True)


def checkpoint_step(path: Path) -> int:
    """How many steps were done in the checkpoint folder ``path``.

    Raises:
        InputError: the folder is not named like a checkpoint.
    """
    match = _NAME.fullmatch(path.name)
    if match is None:
        raise InputError(f"{path} is not a checkpoint: its name is not like step-000400")
    return int(match[1])


def pack_optimizer(optimizer: Optimizer, prefix: str = "optimizer") -> dict[str, Tensor]:
    """The optimiser's state as named tensors (``optimizer.0.exp_avg``); its settings come from the configuration."""
    state = optimizer.state_dict()["state"]
    return {f"{prefix}.{index}.{name}": value for index, entry in state.items() for name, value in entry.items()}


def unpack_optimizer(optimizer: Optimizer, tensors: Mapping[str, Tensor], prefix: str = "optimizer") -> None:
    """Give ``optimizer`` the state that `pack_optimizer` took from one of the same parameters."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith(f"{prefix}."):
            index, name = key[len(prefix) + 1 :].split(".", 1)
            state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def _require_finite(tensors: Mapping[str, Tensor], step: int) -> None:
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise TrainingError(f"{name} is not finite after step {step}; no checkpoint written, the last one stays")


def _is_good(path: Path) -> bool:
    try:
        load_checkpoint(path)
    except _DamagedError:
        return False
    return True


def _write(folder: Path, step: int, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
    payload = safetensors.save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})
    plain = json.loads(json.dumps(state, allow_nan=False))
    document = {
        "format": FORMAT,
        "step": step,
        "bytes": len(payload),
        "sha256": _digest(payload, step, plain),
        "state": plain,
    }
    folder.mkdir(parents=True)
    _write_flushed(folder / "state.safetensors", payload)
    _write_flushed(folder / "state.json", json.dumps(document, indent=1).encode())
    _flush_folder(folder)


def _digest(payload: bytes, step: object, state: object) -> str:
    """SHA-256 over the tensors' file, the step and the state."""
    digest = hashlib.sha256(payload)
    digest.update(json.dumps([step, state], sort_keys=True).encode())
    return digest.hexdigest()


def _write_flushed(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _flush_folder(folder: Path) -> None:
    """Make renames and new files in ``folder`` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    """Remove a checkpoint; under its final name it is whole or absent at every instant."""
    doomed = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    path.rename(doomed)
    shutil.rmtree(doomed)
