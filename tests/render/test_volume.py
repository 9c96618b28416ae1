"""Compositing of packed samples: against a dense loop, and its conservation law."""

import torch

from dreampgc.ops.segments import sum_by_ray
from dreampgc.render.volume import over_background, sample_weights, transmittance

RAYS = torch.arange(6).repeat_interleave(torch.tensor([3, 0, 7, 1, 0, 4]))


def test_weights_equal_front_to_back_compositing() -> None:
    depth = torch.rand(len(RAYS)) * 2
    expected = []
    for ray in range(6):
        through = torch.tensor(1.0)
        for tau in depth[ray == RAYS]:
            expected.append(through * (1 - torch.exp(-tau)))
            through = through * torch.exp(-tau)
    torch.testing.assert_close(sample_weights(depth, RAYS, 6), torch.stack(expected))


def test_weights_and_what_passes_through_add_up_to_one() -> None:
    for scale in (1e-6, 1.0, 1e3):  # clear, soft, solid
        depth = torch.rand(len(RAYS)) * scale
        opacity = sum_by_ray(sample_weights(depth, RAYS, 6)[:, None], RAYS, 6)[:, 0]
        passed = torch.exp(-sum_by_ray(depth[:, None], RAYS, 6)[:, 0])
        torch.testing.assert_close(opacity + passed, torch.ones(6))


def test_a_sample_as_dense_as_can_be_leaves_the_other_rays_alone() -> None:
    depth = torch.rand(len(RAYS))
    blown = depth.clone()
    blown[1] = 1e33  # of the first ray: a density that ran away
    expected, found = sample_weights(depth, RAYS, 6), sample_weights(blown, RAYS, 6)
    assert found.isfinite().all()
    torch.testing.assert_close(found[RAYS > 0], expected[RAYS > 0])
    assert sum_by_ray(found[:, None], RAYS, 6)[0].item() == 1.0


def test_light_only_fades_along_a_ray_and_starts_whole() -> None:
    light = transmittance(torch.rand(len(RAYS)), RAYS)
    same = RAYS[1:] == RAYS[:-1]
    assert (light.diff()[same] < 0).all()
    assert (light[1:][~same] == 1).all()


def test_gradient_in_float64() -> None:
    depth = torch.rand(len(RAYS), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: sample_weights(x, RAYS, 6), (depth,))


def test_background_shows_by_what_is_not_covered() -> None:
    colour, opacity = torch.tensor([[0.2, 0.1, 0.0]]), torch.tensor([[0.25]])
    torch.testing.assert_close(over_background(colour, opacity, torch.ones(1, 3)), torch.tensor([[0.95, 0.85, 0.75]]))
