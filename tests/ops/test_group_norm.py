"""Property: a group norm by sums of channels gives the values and gradients of an ordinary one."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from dreampgc.ops.group_norm import ChannelwiseGroupNorm, sum_by_channel


def both(norm: nn.GroupNorm, x: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Value and gradient, as it is and by sums of channels."""
    other = copy.deepcopy(norm)
    sum_by_channel(other)
    assert type(other) is ChannelwiseGroupNorm
    cotangent = torch.linspace(-30, 30, x.numel(), dtype=x.dtype).sin().view_as(x)
    found = []
    for module in (norm, other):
        x = x.detach().requires_grad_()
        value = module(x)
        found.append((value.detach(), torch.autograd.grad(value, x, cotangent)[0]))
    return found


@settings(deadline=None)
@given(
    groups=st.integers(1, 4),
    width=st.integers(1, 4),
    size=st.lists(st.integers(2, 6), min_size=1, max_size=3),
    affine=st.booleans(),
    mean=st.floats(-10, 10),
    channels_last=st.booleans(),
)
def test_it_is_the_same_norm(
    groups: int, width: int, size: list[int], affine: bool, mean: float, channels_last: bool
) -> None:
    norm = nn.GroupNorm(groups, groups * width, affine=affine, dtype=torch.float64).requires_grad_(False)
    if affine:
        norm.weight.normal_()
        norm.bias.normal_()
    x = mean + torch.randn(2, groups * width, *size, dtype=torch.float64)
    if channels_last and len(size) == 2:
        x = x.to(memory_format=torch.channels_last)
    (value, gradient), (other_value, other_gradient) = both(norm, x)
    torch.testing.assert_close(other_value, value)
    torch.testing.assert_close(other_gradient, gradient)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_sums_of_short_numbers_are_long(dtype: torch.dtype) -> None:
    """65536 squares of 3 overflow half precision, and are beyond its digits."""
    x = 3 + torch.randn(1, 8, 256, 256, generator=torch.Generator().manual_seed(0))
    norm = nn.GroupNorm(4, 8).requires_grad_(False)
    other = copy.deepcopy(norm).to(dtype)
    sum_by_channel(other)
    result = other(x.to(dtype))
    assert result.dtype == dtype
    torch.testing.assert_close(result.float(), norm(x.to(dtype).float()), atol=0.02, rtol=0.01)


@pytest.mark.parametrize("mean", [0.0, 10.0, 100.0])
def test_a_mean_costs_few_digits(mean: float) -> None:
    x = mean + torch.randn(2, 8, 32, 32, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    norm = nn.GroupNorm(2, 8, dtype=torch.float64).requires_grad_(False)
    expected = norm(x)
    sum_by_channel(norm)
    torch.testing.assert_close(norm.float()(x.float()).double(), expected, atol=1e-6 * (3 + mean**2), rtol=0)


def test_flat_input_gives_the_bias() -> None:
    norm = nn.GroupNorm(2, 4)
    sum_by_channel(norm)
    norm.bias.data.normal_()
    result = norm(torch.full((1, 4, 8, 8), 0.7))
    assert torch.isfinite(result).all()
    torch.testing.assert_close(result, norm.bias.data.view(1, 4, 1, 1).expand_as(result), atol=2e-2, rtol=0)


def test_one_compiler_graph_holds_it() -> None:
    torch.compiler.reset()
    norm = nn.GroupNorm(2, 4).requires_grad_(False)
    sum_by_channel(norm)
    compiled = torch.compile(norm, fullgraph=True, dynamic=False)
    x = torch.randn(1, 4, 6, 6).to(memory_format=torch.channels_last).requires_grad_()
    for module in (compiled, norm):
        value = module(x)
        (gradient,) = torch.autograd.grad(value.sin().sum(), x)
        expected = torch.nn.functional.group_norm(x, 2, norm.weight, norm.bias)
        torch.testing.assert_close(value, expected)
        torch.testing.assert_close(gradient, torch.autograd.grad(expected.sin().sum(), x)[0])
