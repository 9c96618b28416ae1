"""Property and fault: what is read is what was written, or it is refused."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from dreampgc import checkpoint
from dreampgc.checkpoint import (
    checkpoint_step,
    checkpoints,
    load_checkpoint,
    load_latest,
    pack_optimizer,
    save_checkpoint,
    unpack_optimizer,
)
from dreampgc.errors import DreamError, InputError, TrainingError

TENSORS = {
    "weights": torch.tensor([[0.1, -1e-45], [3e38, 1e-8]]),
    "half": torch.tensor([1 / 3], dtype=torch.float16),
    "scalar": torch.tensor(7),
    "mask": torch.tensor([True, False]),
    "empty": torch.zeros(0, 3),
    "generator": torch.Generator().manual_seed(3).get_state(),
    "transposed": torch.arange(6.0).reshape(2, 3).T,
}
STATE = {"pi": 0.1 + 0.2, "tiny": 5e-324, "text": "grün\n", "list": [1, None, True]}


def names(run: Path) -> list[str]:
    return sorted(path.name for path in (run / "checkpoints").iterdir())


def unheard(message: str) -> None:
    raise AssertionError(f"unexpected warning: {message}")


def test_round_trip_is_exact(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path, 400, TENSORS, STATE)
    assert path == tmp_path / "checkpoints" / "step-000400"
    assert names(tmp_path) == ["step-000400"]

    tensors, state = load_checkpoint(path)

    assert state == STATE
    assert tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert tensors[name].dtype == tensor.dtype
        assert torch.equal(tensors[name], tensor)
        tensors[name].zero_()  # writable: an optimiser goes on with it in place


def test_keeps_the_newest(tmp_path: Path) -> None:
    for step in (1, 2, 3, 1_000_000):
        save_checkpoint(tmp_path, step, TENSORS, STATE, keep=2)
    assert [checkpoint_step(path) for path in checkpoints(tmp_path)] == [1_000_000, 3]


def test_good_checkpoint_of_the_same_step_stays(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path, 5, TENSORS, STATE)
    before = (path / "state.json").stat().st_ino
    save_checkpoint(tmp_path, 5, TENSORS, STATE)
    assert (path / "state.json").stat().st_ino == before


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-2] ^= 1
    path.write_bytes(content)


def forge(path: Path) -> None:
    document = json.loads(path.read_text())
    document["state"]["pi"] = 3
    path.write_text(json.dumps(document))


DAMAGE = [
    ("state.safetensors", truncate),
    ("state.safetensors", flip),
    ("state.safetensors", Path.unlink),
    ("state.json", truncate),
    ("state.json", forge),
    ("state.json", Path.unlink),
    ("state.json", lambda path: path.write_text("[]")),
    ("state.json", lambda path: path.write_bytes(b"\xff")),
]


@pytest.mark.parametrize(("file", "damage"), DAMAGE)
def test_damage_is_found_and_the_one_before_is_used(tmp_path: Path, file: str, damage: Any) -> None:
    save_checkpoint(tmp_path, 1, TENSORS, {"step": 1})
    newest = save_checkpoint(tmp_path, 2, TENSORS, {"step": 2})
    damage(newest / file)

    with pytest.raises(InputError, match="step-000002 is damaged"):
        load_checkpoint(newest)
    warnings: list[str] = []
    latest = load_latest(tmp_path, warnings.append)
    assert latest is not None
    assert (latest[0], latest[2]) == (1, {"step": 1})
    assert len(warnings) == 1

    # The step is done again: the damaged one gives way.
    save_checkpoint(tmp_path, 2, TENSORS, {"step": "again"})
    assert load_checkpoint(newest)[1] == {"step": "again"}


def test_later_damaged_checkpoint_does_not_displace_good_ones(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, 1, TENSORS, STATE)
    truncate(save_checkpoint(tmp_path, 9, TENSORS, STATE) / "state.json")
    save_checkpoint(tmp_path, 2, TENSORS, STATE, keep=2)
    assert names(tmp_path) == ["step-000001", "step-000002"]


def test_nothing_good_left_is_an_error(tmp_path: Path) -> None:
    assert load_latest(tmp_path, unheard) is None
    truncate(save_checkpoint(tmp_path, 1, TENSORS, STATE) / "state.json")
    with pytest.raises(InputError, match="no checkpoint of"):
        load_latest(tmp_path, lambda message: None)


def test_newer_version_is_refused_and_not_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_checkpoint(tmp_path, 1, TENSORS, STATE)
    with monkeypatch.context() as future:
        future.setattr(checkpoint, "FORMAT", checkpoint.FORMAT + 1)
        save_checkpoint(tmp_path, 2, TENSORS, STATE)
    with pytest.raises(InputError, match="newer dreampgc"):
        load_latest(tmp_path, unheard)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_state_that_is_not_finite_is_not_written(tmp_path: Path, value: float) -> None:
    save_checkpoint(tmp_path, 1, TENSORS, STATE)
    with pytest.raises(TrainingError, match="density is not finite"):
        save_checkpoint(tmp_path, 2, {"density": torch.tensor([0.0, value])}, STATE)
    assert names(tmp_path) == ["step-000001"]


@pytest.mark.parametrize("file", ["state.safetensors", "state.json"])
def test_full_disk_leaves_the_earlier_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str) -> None:
    save_checkpoint(tmp_path, 1, TENSORS, STATE)
    write = checkpoint._write_flushed

    def full(path: Path, content: bytes) -> None:
        if path.name == file:
            write(path, content[: len(content) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, content)

    monkeypatch.setattr(checkpoint, "_write_flushed", full)
    with pytest.raises(DreamError, match="No space left on device") as caught:
        save_checkpoint(tmp_path, 2, TENSORS, STATE)
    assert caught.value.exit_code == 1
    assert names(tmp_path) == ["step-000001"]
    load_checkpoint(tmp_path / "checkpoints" / "step-000001")


def test_optimizer_goes_on_bit_for_bit() -> None:
    def problem() -> tuple[list[torch.nn.Parameter], torch.optim.Adam]:
        parameters = [torch.nn.Parameter(torch.ones(3)), torch.nn.Parameter(torch.ones(2))]
        groups = [{"params": parameters[:1], "lr": 0.1}, {"params": parameters[1:], "lr": 0.01}]
        return parameters, torch.optim.Adam(groups)

    def descend(parameters: list[torch.nn.Parameter], optimizer: torch.optim.Adam, steps: int) -> None:
        for _ in range(steps):
            optimizer.zero_grad()
            torch.stack([(parameter**3).sum() for parameter in parameters]).sum().backward()
            optimizer.step()

    parameters, optimizer = problem()
    descend(parameters, optimizer, 5)
    others, other = problem()
    unpack_optimizer(other, {name: tensor.clone() for name, tensor in pack_optimizer(optimizer).items()})
    for target, source in zip(others, parameters, strict=True):
        target.data.copy_(source.data)
    descend(parameters, optimizer, 5)
    descend(others, other, 5)

    assert all(torch.equal(a, b) for a, b in zip(parameters, others, strict=True))
