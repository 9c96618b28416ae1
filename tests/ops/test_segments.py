"""Tests of sums over packed samples against loops, and their gradients."""

import torch

from dreampgc.ops.segments import sum_before, sum_by_ray

RAYS = torch.tensor([0, 0, 0, 2, 5, 5, 5, 5])


def test_sum_before_equals_a_loop() -> None:
    values = torch.randn(8)
    expected = [values[:i][RAYS[:i] == RAYS[i]].sum() for i in range(8)]
    torch.testing.assert_close(sum_before(values, RAYS), torch.stack(expected))


def test_sum_before_gradient_in_float64() -> None:
    values = torch.randn(8, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: sum_before(x, RAYS), (values,))


def test_a_huge_sum_on_one_ray_costs_the_next_no_precision() -> None:
    rays, values = torch.arange(20_000) // 10, torch.full((20_000,), 1e-3)
    values[:10_000] = 1e4
    torch.testing.assert_close(sum_before(values, rays)[-1], torch.tensor(9e-3), rtol=1e-4, atol=0)


def test_sum_by_ray_is_zero_for_rays_without_samples() -> None:
    sums = sum_by_ray(torch.ones(8, 2), RAYS, 7)
    assert sums[:, 0].tolist() == [3, 0, 1, 0, 0, 4, 0]
    assert sum_by_ray(torch.ones(0, 2), RAYS[:0], 3).tolist() == [[0, 0]] * 3
