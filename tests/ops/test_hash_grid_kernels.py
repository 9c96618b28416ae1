"""Reference: the hash grid's kernels of cuda_ext against plain torch; on any machine by their emulation.

See test_kernels.py for the devices.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from dreampgc.field import HashGrid, encoding
from dreampgc.ops import native
from tests.ops.test_kernels import device, emulated, kernels  # noqa: F401 (fixtures)

SIZES = [
    {"levels": 1, "features": 1, "log2_hashmap_size": 4, "base_resolution": 1, "max_resolution": 1},
    {"levels": 6, "features": 2, "log2_hashmap_size": 15, "base_resolution": 16, "max_resolution": 128},
    {"levels": 3, "features": 4, "log2_hashmap_size": 9, "base_resolution": 3, "max_resolution": 2048},
]


@pytest.mark.parametrize("wrong", ["hash_grid", "hash_grid_backward"])
def test_their_proof_tells_right_from_wrong(kernels: Any, device: str, wrong: str) -> None:  # noqa: F811
    encoding.prove(kernels, device)
    names = ("hash_grid", "hash_grid_backward")
    spoilt = {name: getattr(kernels, name) for name in names}
    honest = spoilt[wrong]
    spoilt[wrong] = lambda *arguments: honest(*arguments) * 1.01
    with pytest.raises(AssertionError):
        encoding.prove(SimpleNamespace(**spoilt), device)


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("points", [0, 1, 300])
def test_a_field_s_features_and_gradients_are_those_of_plain_torch(
    kernels: Any,  # noqa: F811
    device: str,  # noqa: F811
    sizes: dict[str, int],
    points: int,
) -> None:
    torch.manual_seed(0)
    grid = HashGrid(**sizes).to(device)
    with torch.no_grad():
        grid.table.normal_()
    unit = torch.rand(3, points, device=device)
    features, levels, entries = grid.table.shape
    found = kernels.hash_grid(unit, grid.table.detach(), grid.resolutions, grid.multipliers)
    grid.cpu()
    expected = grid(unit.T.cpu() * 2 - 1)
    torch.testing.assert_close(found.cpu(), expected.T, rtol=1e-4, atol=1e-4)
    incoming = torch.randn_like(found)
    expected.backward(incoming.T.cpu())
    gradient = kernels.hash_grid_backward(
        unit, incoming, grid.resolutions.to(device), grid.multipliers.to(device), entries
    )
    assert gradient.shape == (features, levels * entries)
    torch.testing.assert_close(gradient.view_as(grid.table).cpu(), grid.table.grad, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "change",
    [
        lambda unit, table, r, m: (unit.T, table, r, m),
        lambda unit, table, r, m: (unit.double(), table, r, m),
        lambda unit, table, r, m: (unit[:2].contiguous(), table, r, m),
        lambda unit, table, r, m: (unit, table[..., :-1].contiguous(), r, m),
        lambda unit, table, r, m: (unit, table.flatten(1), r, m),
        lambda unit, table, r, m: (unit, table, r.int(), m),
        lambda unit, table, r, m: (unit, table, r, m.T.contiguous()),
    ],
)
def test_what_does_not_fit_is_refused(kernels: Any, device: str, change: Any) -> None:  # noqa: F811
    grid = HashGrid(levels=4, log2_hashmap_size=6).to(device)
    unit = torch.rand(3, 5, device=device)
    with pytest.raises(RuntimeError):
        kernels.hash_grid(*change(unit, grid.table.detach(), grid.resolutions, grid.multipliers))


def test_proven_kernels_are_used_and_others_are_not(
    emulated: Any,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    grid, points, taken = HashGrid(levels=3, log2_hashmap_size=8), torch.rand(50, 3), []

    class Kernels:
        @staticmethod
        def hash_grid(*arguments: Any) -> Tensor:
            taken.append("forward")
            return emulated.hash_grid(*arguments)

        @staticmethod
        def hash_grid_backward(*arguments: Any) -> Tensor:
            taken.append("backward")
            return emulated.hash_grid_backward(*arguments)

    monkeypatch.setattr(torch.ops, "dreampgc_native", Kernels, raising=False)
    grid(points).sum().backward()
    plain = grid.table.grad
    assert taken == []
    monkeypatch.setattr(encoding, "_fits_kernel", lambda unit, values: True)
    grid.table.grad = None
    grid(points).sum().backward()
    assert taken == ["forward", "backward"]
    assert plain is not None and grid.table.grad is not None
    torch.testing.assert_close(grid.table.grad, plain)


@pytest.mark.requires_cuda
def test_a_field_on_the_device_takes_the_kernels() -> None:
    if not native.usable():
        pytest.skip(str(native.reason()))
    torch.manual_seed(0)
    grid, points = HashGrid(levels=6), torch.rand(1000, 3) * 2 - 1
    expected = grid(points)
    expected.square().sum().backward()
    gradient, grid.table.grad = grid.table.grad, None
    grid.cuda()
    found = grid(points.cuda())
    found.square().sum().backward()
    torch.testing.assert_close(found.cpu(), expected)
    assert grid.table.grad is not None and gradient is not None
    torch.testing.assert_close(grid.table.grad.cpu(), gradient, rtol=1e-4, atol=1e-9)
