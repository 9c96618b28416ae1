"""Properties of the regularisers, the distortion against its double sum."""

import pytest
import torch

from dreampgc.losses import (
    depth_disagreement,
    distortion,
    normal_disagreement,
    normal_smoothness,
    opacity_entropy,
    orientation,
    sparsity,
    total_variation,
)
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


def test_smooth_normals_cost_nothing_and_rough_ones_do() -> None:
    plane = torch.zeros(1, 1, 4, 4)
    smooth = torch.tensor([0.0, 0.0, 1.0]).view(1, 3, 1, 1).expand(1, 3, 4, 4)
    rough = torch.nn.functional.normalize(torch.randn(1, 3, 4, 4), dim=1)
    costs = [
        normal_smoothness(RenderOutput(plane.expand(1, 3, 4, 4), plane, plane, normals, {})).item()
        for normals in (smooth, rough)
    ]
    assert costs[0] == 0 < costs[1]
    with pytest.raises(ValueError, match="normals=True"):
        normal_smoothness(output())


def test_depths_agree_up_to_scale_and_shift_where_they_count() -> None:
    truth, weight = torch.rand(1, 1, 6, 6), (torch.rand(1, 1, 6, 6) > 0.4).float()
    spoilt = torch.where(weight > 0, 2.5 * truth + 0.7, 9.0)
    assert depth_disagreement(spoilt, truth, weight).item() == pytest.approx(0, abs=1e-4)
    assert depth_disagreement(-truth, truth, weight).item() == pytest.approx(2, abs=1e-4)
    flat = torch.ones(1, 1, 6, 6, requires_grad=True)
    found = depth_disagreement(flat, truth, weight)
    found.backward()
    assert found.item() == pytest.approx(1)
    assert flat.grad is not None and flat.grad.isfinite().all()
    assert depth_disagreement(truth, truth, torch.zeros_like(weight)).item() == pytest.approx(1)


def test_normals_disagree_by_their_angle_where_they_count() -> None:
    truth = torch.tensor([0.0, 0.0, 1.0]).view(1, 3, 1, 1).expand(1, 3, 2, 2)
    found = torch.stack([truth[0, :, 0], torch.tensor([[1.0, 0, 0], [0, 0, -1.0]]).T], dim=1)[None]
    for weight, expected in (((1, 1, 0, 0), 0.0), ((1, 1, 1, 0), 1 / 3), ((1, 1, 1, 1), 0.75), ((0, 0, 0, 0), 0.0)):
        mask = torch.tensor(weight).float().view(1, 1, 2, 2)
        assert normal_disagreement(found, truth, mask).item() == pytest.approx(expected, abs=1e-6)
