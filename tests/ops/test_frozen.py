"""Property: a frozen convolution gives the values and gradients of an ordinary one; what cannot be one stays."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from dreampgc.ops.frozen import FrozenConvolution, freeze_convolutions


def both(convolution: nn.Conv2d, x: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Value and gradient, as it is and frozen."""
    convolution.requires_grad_(False)
    frozen = copy.deepcopy(convolution)
    freeze_convolutions(frozen)
    assert type(frozen) is FrozenConvolution
    found = []
    for module in (convolution, frozen):
        x = x.detach().requires_grad_()
        value = module(x)
        cotangent = torch.linspace(-1, 1, value.numel(), dtype=value.dtype).view_as(value).sin()
        found.append((value.detach(), torch.autograd.grad(value, x, cotangent)[0]))
    return found


@settings(deadline=None)
@given(
    kernel=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    padding=st.tuples(st.integers(0, 4), st.integers(0, 4)),
    channels=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    bias=st.booleans(),
    channels_last=st.booleans(),
)
def test_it_is_the_same_convolution(
    kernel: tuple[int, int], padding: tuple[int, int], channels: tuple[int, int], bias: bool, channels_last: bool
) -> None:
    pad = min(padding[0], kernel[0] - 1), min(padding[1], kernel[1] - 1)
    convolution = nn.Conv2d(*channels, kernel, padding=pad, bias=bias, dtype=torch.float64)
    x = torch.randn(2, channels[0], 6, 7, dtype=torch.float64)
    if channels_last:
        convolution.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        x = x.to(memory_format=torch.channels_last)
    (value, gradient), (frozen_value, frozen_gradient) = both(convolution, x)
    assert torch.equal(value, frozen_value)
    torch.testing.assert_close(frozen_gradient, gradient)


@pytest.mark.parametrize(
    "options", [{"stride": 2}, {"dilation": 2}, {"groups": 2}, {"padding_mode": "reflect"}, {"padding": 3}]
)
def test_others_stay_as_they_are(options: dict[str, Any]) -> None:
    convolution = nn.Conv2d(4, 4, 3, **{"padding": 1, **options}).requires_grad_(False)
    freeze_convolutions(convolution)
    assert type(convolution) is nn.Conv2d


def test_so_do_those_that_are_trained() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 3, 3).requires_grad_(False))
    freeze_convolutions(network)
    assert [type(layer) for layer in network] == [nn.Conv2d, FrozenConvolution]
    assert set(network.state_dict()) == {"0.weight", "0.bias", "1.weight", "1.bias"}


def test_it_moves_with_its_network_and_is_frozen_once() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3)).requires_grad_(False)
    freeze_convolutions(network)
    freeze_convolutions(network)
    network.to(torch.float16)
    assert network[0].mirrored.dtype == torch.float16
