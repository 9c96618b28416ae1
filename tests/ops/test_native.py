"""Fault: kernels that are missing, crash or differ are not used; a verdict is sought once and kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from dreampgc.ops import native


class Machine:
    """A machine with a CUDA device and a built library, whose child processes say what they are told to say."""

    def __init__(self, library: Path) -> None:
        self.library = library
        self.library.write_bytes(b"first build")
        self.verdict: str | None = None
        self.probes = 0
        self.loads = 0

    def probe(self, code: str) -> str | None:
        """A child process."""
        assert "prove" in code
        self.probes += 1
        return self.verdict

    def load(self) -> None:
        """The library, loaded."""
        self.loads += 1


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    machine = Machine(tmp_path / "_cuda.abi3.so")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: "GPU of the test")
    monkeypatch.setattr(native, "find", lambda: machine.library)
    monkeypatch.setattr(native, "probe", machine.probe)
    monkeypatch.setattr(native, "load", machine.load)
    native.usable.cache_clear()
    yield machine
    native.usable.cache_clear()


@pytest.mark.parametrize("verdict", [None, "it crashed (SIGSEGV)"])
def test_a_verdict_is_kept_between_processes(machine: Machine, verdict: str | None) -> None:
    machine.verdict = verdict
    assert [native.reason(), native.reason()] == [verdict, verdict]
    assert machine.probes == 1


def test_another_build_or_gpu_is_proven_again(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    native.reason()
    machine.library.write_bytes(b"second build")
    native.reason()
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: "another GPU")
    native.reason()
    assert machine.probes == 3


def test_untried_kernels_are_known_before_they_are_tried(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    assert native.untried()
    native.reason()
    assert not native.untried()
    machine.library.write_bytes(b"second build")
    assert native.untried()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert not native.untried()
    assert machine.probes == 1


def test_an_interrupted_proof_is_no_verdict(machine: Machine) -> None:
    machine.verdict = native.INTERRUPTED
    assert native.reason() == native.INTERRUPTED
    machine.verdict = None
    assert native.reason() is None
    assert machine.probes == 2


def test_a_child_that_is_told_to_end_did_not_crash() -> None:
    end = "import os, signal; os.kill(os.getpid(), signal.{})"
    assert native.probe(end.format("SIGTERM")) == native.INTERRUPTED
    assert native.probe(end.format("SIGKILL")) == "it crashed (SIGKILL)"


def test_a_fresh_verdict_replaces_the_kept_one(machine: Machine) -> None:
    machine.verdict = "no answer within 300 s"
    native.reason()
    machine.verdict = None
    assert native.reason(fresh=True) is None
    assert native.reason() is None
    assert machine.probes == 2


@pytest.mark.parametrize("damage", ["", "[]", '{"'])
def test_damaged_verdicts_are_sought_again(machine: Machine, damage: str) -> None:
    native.reason()
    native.verdicts_file().write_text(damage, encoding="utf-8")
    assert native.reason() is None
    assert machine.probes == 2


def test_a_cache_that_cannot_be_written_is_no_error(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where a folder should be", encoding="utf-8")
    assert native.reason() is None


def test_only_proven_kernels_are_loaded_and_only_once(machine: Machine) -> None:
    machine.verdict = "it crashed (SIGSEGV)"
    assert not native.usable()
    assert machine.loads == 0
    machine.verdict = None
    native.reason(fresh=True)
    native.usable.cache_clear()
    assert native.usable()
    assert native.usable()
    assert machine.loads == 1


def test_without_a_device_or_a_build_nothing_is_probed(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert native.reason() == native.NO_DEVICE
    monkeypatch.setattr(native, "find", lambda: None)
    assert native.reason() == native.NOT_BUILT
    assert machine.probes == 0
