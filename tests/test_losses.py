"""Properties of the regularisers, the distortion against its double sum."""

import pytest
import torch

from dreampgc.losses import distortion, opacity_entropy, orientation, sparsity, total_variation
from dreampgc.types import RenderOutput


def output(opacity: float = 0.0, **extras: torch.Tensor) -> RenderOutput:
    plane = torch.full((1, 1, 2, 2), opacity)
    return RenderOutput(plane.expand(1, 3, 2, 2), plane, plane, None, extras)


def test_entropy_is_one_bit_at_half_and_vanishes_at_both_ends() -> None:
    assert opacity_entropy(output(0.5)).item() == pytest.approx(1)
    assert max(opacity_entropy(output(x)).item() for x in (0.0, 1.0)) < 1e-3
    opacity = torch.tensor([0.0, 1.0, 0.3], requires_grad=True)
    opacity_entropy(RenderOutput(opacity, opacity, opacity, None, {})).backward()
    assert opacity.grad is not None
    assert opacity.grad.isfinite().all()


def test_sparsity_grows_with_opacity_and_has_a_gradient_at_zero_that_is_finite() -> None:
    values = [sparsity(output(x)).item() for x in (0.0, 0.5, 1.0)]
    assert values == sorted(values)
    assert values[0] == pytest.approx(0.1)


def test_orientation_counts_only_normals_that_face_away() -> None:
    normals = torch.tensor([[0.0, 0, 1], [0, 0, -1], [1, 0, 0]], requires_grad=True)
    directions = torch.tensor([[0.0, 0, -1]]).expand(3, 3)
    weights = torch.tensor([0.9, 0.4, 0.5], requires_grad=True)
    loss = orientation(output(normals=normals, directions=directions, weights=weights))
    assert loss.item() == pytest.approx(0.4 / 4)  # the second one, over four pixels
    loss.backward()
    assert weights.grad is None
    with pytest.raises(ValueError, match="normals=True"):
        orientation(output())


RAYS = torch.tensor([0, 0, 0, 2, 2])
DISTANCES = torch.tensor([1.0, 1.5, 3.0, 0.5, 0.75], dtype=torch.float64)


def packed(weights: torch.Tensor, distances: torch.Tensor = DISTANCES) -> RenderOutput:
    return output(rays=RAYS, weights=weights, distances=distances, step=torch.tensor(0.3, dtype=torch.float64))


def test_distortion_equals_its_double_sum() -> None:
    weights = torch.rand(5, dtype=torch.float64)
    same = (RAYS[:, None] == RAYS).double()
    pairs = weights[:, None] * weights * (DISTANCES[:, None] - DISTANCES).abs() * same
    expected = (pairs.sum() + weights.square().sum() * 0.1) / 4
    torch.testing.assert_close(distortion(packed(weights)), expected)


def test_distortion_gradient_in_float64_and_preference_for_compact_rays() -> None:
    weights = torch.rand(5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda w: distortion(packed(w)), (weights,))
    assert distortion(packed(weights.detach(), DISTANCES * 2)) > distortion(packed(weights.detach()))


@pytest.mark.parametrize("dimensions", [2, 3])
def test_total_variation_is_zero_for_constants_and_the_slope_squared_for_a_ramp(dimensions: int) -> None:
    shape = (2,) + (5,) * dimensions
    assert total_variation(torch.full(shape, 3.0), dimensions).item() == 0
    ramp = torch.arange(5.0).expand(shape) * 0.5
    assert total_variation(ramp, dimensions).item() == pytest.approx(0.25)
