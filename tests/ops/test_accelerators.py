"""Fault: packages that may be there, work, crash or differ; on a GPU that has them, parity."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from dreampgc.ops import accelerators, native
from dreampgc.render.volume import sample_weights


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A machine with a CUDA device and both packages, whose child processes say what they are told to say."""
    machine = SimpleNamespace(verdict=None, probes=0, version="1.0")

    def probe(code: str) -> str | None:
        machine.probes += 1
        return machine.verdict

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(importlib.metadata, "version", lambda name: machine.version)
    monkeypatch.setattr(native, "probe", probe)
    return machine


def test_a_verdict_is_kept_by_version(machine: SimpleNamespace) -> None:
    machine.verdict = "it crashed (SIGSEGV)"
    assert [accelerators.reason("nerfacc") for _ in range(2)] == ["it crashed (SIGSEGV)"] * 2
    assert machine.probes == 1
    machine.version, machine.verdict = "2.0", None
    assert accelerators.reason("nerfacc") is None
    assert accelerators.reason("nerfacc", fresh=True) is None
    assert machine.probes == 3


def test_what_works_but_is_not_used_says_why(machine: SimpleNamespace) -> None:
    assert accelerators.reason("tinycudann") == accelerators.UNUSED["tinycudann"]
    machine.version, machine.verdict = "2.0", "ImportError: no kernels"
    assert accelerators.reason("tinycudann") == "ImportError: no kernels"


@pytest.mark.parametrize("package", accelerators.PROBES)
def test_nothing_is_tried_where_nothing_is(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "probe", lambda code: pytest.fail("tried"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert accelerators.reason(package) == accelerators.NOT_INSTALLED
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert accelerators.reason(package) == native.NO_DEVICE


def stand_in(error: float) -> Any:
    """A nerfacc for the CPU, wrong by a factor."""

    def render_weight_from_density(
        starts: Tensor, ends: Tensor, sigmas: Tensor, *, ray_indices: Tensor, n_rays: int
    ) -> tuple[Tensor, None, None]:
        assert n_rays > ray_indices.max()
        return sample_weights((ends - starts) * sigmas * error, ray_indices, n_rays), None, None

    return SimpleNamespace(render_weight_from_density=render_weight_from_density)


def test_the_proof_tells_right_from_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nerfacc", stand_in(1.0))
    accelerators.prove_nerfacc("cpu")
    monkeypatch.setitem(sys.modules, "nerfacc", stand_in(1.01))
    with pytest.raises(AssertionError):
        accelerators.prove_nerfacc("cpu")


@pytest.mark.requires_cuda
@pytest.mark.skipif("importlib.util.find_spec('nerfacc') is None")
def test_nerfacc_gives_the_same_weights_or_is_not_in_use() -> None:
    if (reason := accelerators.reason("nerfacc")) is not None:
        pytest.skip(reason)
    rays = torch.arange(2000, device="cuda").repeat_interleave(torch.randint(0, 40, (2000,), device="cuda"))
    depth = torch.rand(len(rays), device="cuda") * 0.3
    expected = sample_weights(depth.double(), rays, 2000).float()  # double precision takes plain torch
    torch.testing.assert_close(accelerators.nerfacc_weights(depth, rays, 2000), expected, rtol=1e-4, atol=1e-6)
