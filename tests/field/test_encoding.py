"""Tests of the hash grid against a plain trilinear reference, its gradient, and its repeatability."""

import pytest
import torch
from torch.nn import functional

from dreampgc.field import HashGrid


def small_grid(**changes: int) -> HashGrid:
    torch.manual_seed(0)
    sizes = {"levels": 4, "features": 2, "log2_hashmap_size": 9, "base_resolution": 3, "max_resolution": 24}
    grid = HashGrid(**{**sizes, **changes})
    with torch.no_grad():
        grid.table.normal_()
    return grid


def test_coarse_levels_are_dense_grids_interpolated_trilinearly() -> None:
    """Reference: torch's own volume interpolation, level by level."""
    grid = small_grid()
    points = torch.rand(200, 3) * 2 - 1
    features = grid(points).view(200, 2, 4)
    volumes = grid.coarse_volumes()
    assert len(volumes) == grid.dense_levels == 2
    for level, volume in enumerate(volumes):
        expected = functional.grid_sample(volume[None], points[None, None, None], align_corners=True)[0, :, 0, 0]
        torch.testing.assert_close(features[:, :, level], expected.T, atol=1e-5, rtol=1e-5)


def test_features_are_continuous_across_cells_and_constant_for_a_constant_table() -> None:
    grid = small_grid()
    line = torch.linspace(-1, 1, 20_001)[:, None] * torch.tensor([1.0, 0.7, -0.3])
    jumps = grid(line).diff(dim=0).abs().max()
    assert jumps < 0.02  # 24 cells, steps of 1/833 cell, corners differ by at most about 8
    with torch.no_grad():
        grid.table.fill_(2.5)
    torch.testing.assert_close(grid(line), torch.full((20_001, 8), 2.5))


def test_gradient_of_the_table_in_float64() -> None:
    grid = small_grid(levels=3, log2_hashmap_size=6, max_resolution=12).double()
    points = torch.rand(7, 3, dtype=torch.float64) * 2 - 1

    def features(table: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(grid, {"table": table}, (points,))

    assert torch.autograd.gradcheck(features, (grid.table,))


def test_points_outside_the_cube_count_as_on_its_border_and_no_points_are_fine() -> None:
    grid = small_grid()
    corner = torch.tensor([[1.0, -1.0, 1.0]])
    assert torch.equal(grid(corner * 5), grid(corner))
    grid(torch.zeros(0, 3)).sum().backward()
    assert grid.table.grad is not None
    assert torch.equal(grid.table.grad, torch.zeros_like(grid.table))


def test_the_size_of_a_block_of_levels_does_not_change_values(monkeypatch: pytest.MonkeyPatch) -> None:
    grid, points = small_grid(), torch.rand(100, 3)
    one = grid(points)
    monkeypatch.setattr("dreampgc.field.encoding._CACHE_ELEMENTS", 100)
    assert torch.equal(one, grid(points))


def test_positions_that_want_a_gradient_and_bad_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="finite differences"):
        small_grid()(torch.zeros(1, 3, requires_grad=True))
    with pytest.raises(ValueError, match="24 to 3 cells"):
        HashGrid(base_resolution=24, max_resolution=3)


@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
def test_compiled_kernels_give_the_same_for_any_number_of_points(backend: str) -> None:
    torch.compiler.reset()
    torch._dynamo.utils.counters.clear()
    plain, compiled = small_grid(), small_grid()
    compiled.compile_kernels(pytest.fail, backend)
    assert compiled._compiled is not None
    frames = torch._dynamo.utils.counters["frames"]["ok"]
    for points in (5, 300, 4097):
        positions = torch.rand(points, 3, generator=torch.Generator().manual_seed(points)) * 2.2 - 1.1
        for grid in (plain, compiled):
            grid.zero_grad()
            (grid(positions) * torch.arange(8)).sum().backward()
        torch.testing.assert_close(compiled(positions), plain(positions), rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(compiled.table.grad, plain.table.grad, rtol=1e-4, atol=1e-4)
    assert torch._dynamo.utils.counters["frames"]["ok"] == frames == 2  # one graph each, never compiled again


def test_a_compiler_that_fails_is_done_without() -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("no such compiler")

    said: list[str] = []
    grid = small_grid()
    torch.compiler.reset()
    grid.compile_kernels(said.append, broken)
    assert said == ["the field cannot be compiled here and runs slower (BackendCompilerFailed)"]
    assert torch.equal(grid(torch.zeros(3, 3)), small_grid()(torch.zeros(3, 3)))
