"""Tests of the field: its first blob, its outputs, and bit-for-bit repeatability."""

from typing import Any, cast

import pytest
import torch

from dreampgc.field import Background, InstantNGP
from dreampgc.field.ngp import Activation

SMALL: dict[str, Any] = {"levels": 4, "log2_hashmap_size": 12, "base_resolution": 8, "max_resolution": 32, "hidden": 16}


@pytest.mark.parametrize("activation", ["trunc_exp", "softplus"])
def test_first_density_is_a_ball_that_fades_outwards_and_leaves_far_space_empty(activation: Activation) -> None:
    torch.manual_seed(0)
    field = InstantNGP(**SMALL, density_activation=activation, blob_density=5.0, blob_radius=0.5)
    with torch.no_grad():
        field.head.bias.zero_()
        along = field.density(torch.tensor([[0.0, 0, 0], [0.25, 0, 0], [0, 0.5, 0], [0, 0, 0.95], [1, 1, 1]]))
    assert (along.diff()[:3] < 0).all()
    assert along[0] > 3
    assert 0 < along[4] < 0.02


def test_density_alone_equals_the_density_of_forward() -> None:
    field, points = InstantNGP(**SMALL), torch.rand(50, 3) * 2 - 1
    density, colour = field(points)
    torch.testing.assert_close(field.density(points), density)
    assert colour.shape == (50, 3)
    assert colour.min() > 0
    assert colour.max() < 1


def test_latent_channels_are_unbounded() -> None:
    field = InstantNGP(**SMALL, colour_channels=4)
    with torch.no_grad():
        field.head.bias.fill_(7.0)
    assert field(torch.zeros(2, 3))[1].min() > 5


def test_truncated_exponential_has_a_bounded_slope_and_no_infinity() -> None:
    field = InstantNGP(**SMALL)
    raw = torch.tensor([-3.0, 0.0, 3.0, 40.0, 1e4], requires_grad=True)
    value = field._activate(raw)
    value.sum().backward()
    assert raw.grad is not None
    torch.testing.assert_close(raw.grad[:3], raw.detach()[:3].exp())
    torch.testing.assert_close(raw.grad[3:], torch.full((2,), 15.0).exp())
    assert value.isfinite().all()


def trained(threads: int) -> list[torch.Tensor]:
    """Parameters after two steps of Adam on large batches, with ``threads`` threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        torch.manual_seed(0)
        field = InstantNGP(**SMALL)
        optimizer = torch.optim.Adam(field.parameters(), lr=1e-2)
        for _ in range(2):
            density, colour = field(torch.rand(20_000, 3) * 2 - 1)
            optimizer.zero_grad()
            (density.mean() + colour.square().mean()).backward()
            optimizer.step()
        return [parameter.detach() for parameter in field.parameters()]
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("threads", [1, 2])
def test_training_repeats_bit_for_bit(threads: int) -> None:
    assert all(torch.equal(a, b) for a, b in zip(trained(threads), trained(threads), strict=True))


def test_background_is_an_image_in_range() -> None:
    image = Background()(torch.nn.functional.normalize(torch.randn(2, 5, 6, 3), dim=-1))
    assert image.shape == (2, 3, 5, 6)
    assert image.min() > 0
    assert image.max() < 1


def test_unknown_activation_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="'relu' is not one of"):
        InstantNGP(**SMALL, density_activation=cast(Any, "relu"))
