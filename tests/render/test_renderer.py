"""The renderer on an analytic ball: colours, depth, normals, pruning, conventions, gradients, repeatability."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from dreampgc.cameras import Views, fixed_views
from dreampgc.field import InstantNGP
from dreampgc.render import OccupancyGrid, render, render_image
from dreampgc.render.shading import Shading

MakeBall = Callable[..., Any]  # the fixture in conftest.py
FRONT = fixed_views([0.0], elevation=0.0, distance=2.4, fov=45.0)
WHITE = torch.ones(1, 3)
SIZE = {"height": 32, "width": 32, "samples": 128, "background": WHITE}


def test_ball_covers_its_disc_in_its_colour_over_white(make_ball: MakeBall) -> None:
    ball = make_ball()
    out = render(ball, FRONT, ball.grid(), **SIZE)
    rays = FRONT.rays(32, 32)
    miss = torch.linalg.cross(rays.origins, rays.directions).norm(dim=-1)[0]  # distance from the ball's centre
    assert (out.image[0, :, miss < 0.4].T - torch.tensor([0.8, 0.4, 0.2])).abs().max() < 0.01
    assert (out.image[0, :, miss > 0.65] > 0.995).all()
    assert (out.opacity[0, 0, miss < 0.4] > 0.99).all()


def test_depth_is_along_the_axis_and_normals_point_out_of_the_ball(make_ball: MakeBall) -> None:
    ball = make_ball()
    out = render(ball, FRONT, ball.grid(), **SIZE, normals=True)
    rays = FRONT.rays(32, 32)
    along = -(rays.origins * rays.directions).sum(-1)
    miss = torch.linalg.cross(rays.origins, rays.directions).norm(dim=-1)
    seen = miss < 0.35
    distance = along - (0.25 - miss.square()).clamp_min(0).sqrt()
    depth = distance * (rays.directions * rays.forward).sum(-1)
    # Half a step is 0.014; light stops 0.02 outside the nominal skin, 0.03 where the ray is oblique.
    assert (out.depth[:, 0] - depth)[seen].abs().max() < 0.05
    surface = (rays.origins + distance[..., None] * rays.directions) / 0.5
    assert out.normals is not None
    agreement = (out.normals.movedim(1, -1) * surface).sum(-1)[seen]
    assert agreement.min() > 0.975  # 13 degrees: the samples of a pixel lie up to two steps apart in depth
    assert (out.depth[:, 0][miss > 0.8] == 0).all()


def test_pruning_changes_the_image_by_less_than_a_hundredth(make_ball: MakeBall) -> None:
    ball = make_ball(0.4, (0.2, 0.1, -0.3))
    views = fixed_views([30.0, 160.0])
    kinds = {"height": 32, "width": 32, "samples": 96, "background": WHITE.expand(2, 3)}
    pruned, full = (render(ball, views, grid, **kinds) for grid in (ball.grid(), OccupancyGrid(4)))
    assert len(pruned.extras["rays"]) < 0.2 * len(full.extras["rays"])
    assert (pruned.image - full.image).abs().max() < 0.01


@pytest.mark.parametrize(
    ("azimuth", "elevation", "centre", "row", "column"),
    [
        (0, 0, (0.6, 0, 0), "middle", "right"),
        (0, 0, (0, 0.6, 0), "top", "middle"),
        (180, 0, (0.6, 0, 0), "middle", "left"),
        (90, 0, (0, 0, 0.6), "middle", "left"),
        (0, 90, (0, 0, 0.6), "bottom", "middle"),
    ],
)
def test_directions_in_the_image(
    make_ball: MakeBall, azimuth: float, elevation: float, centre: tuple[float, ...], row: str, column: str
) -> None:
    ball = make_ball(0.25, centre)
    views = fixed_views([azimuth], elevation=elevation, distance=2.4)
    opacity = render(ball, views, ball.grid(), **SIZE).opacity[0, 0]
    y, x = (opacity > 0.5).nonzero().float().mean(dim=0).tolist()
    place = {"top": (0, 12), "left": (0, 12), "middle": (14, 18), "bottom": (20, 32), "right": (20, 32)}
    assert place[row][0] <= y <= place[row][1]
    assert place[column][0] <= x <= place[column][1]


def test_camera_at_azimuth_90_sees_the_side_that_faces_plus_x(make_ball: MakeBall) -> None:
    ball = make_ball()

    def painted(positions: torch.Tensor, directions: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        return ball.density(positions), (positions > 0).float()

    views = fixed_views([0.0, 90.0, 180.0, 270.0], elevation=0.0)
    image = render(painted, views, ball.grid(), **{**SIZE, "background": torch.zeros(4, 3)}).image
    centre = image[:, :, 14:18, 14:18].mean(dim=(2, 3))
    assert (centre[:, 0] > 0.9).tolist() == [False, True, False, False]
    assert (centre[:, 2] > 0.9).tolist() == [True, False, False, False]


def test_lambertian_ball_is_brightest_towards_the_light(make_ball: MakeBall) -> None:
    ball = make_ball()
    light = torch.tensor([[0.0, 1.0, 0.0]])
    cases: list[tuple[Shading, float]] = [("textureless", 1.0), ("lambertian", 0.8)]
    for shading, brightest in cases:
        out = render(ball, FRONT, ball.grid(), **SIZE, shading=shading, light=light, ambient=0.2)
        shown = torch.where(out.opacity > 0.99, out.image, 0)[0, 0]
        top, bottom = shown[shown.amax(1) > 0][0].max(), shown[24, 16]
        assert top > 0.75 * brightest
        torch.testing.assert_close(bottom, torch.tensor(0.2 * brightest), atol=0.02, rtol=0)


def test_background_may_be_an_image_and_an_empty_field_shows_only_it() -> None:
    background = torch.rand(1, 3, 32, 32)
    grid = OccupancyGrid(8)
    field = InstantNGP(levels=2, log2_hashmap_size=9, base_resolution=4, max_resolution=8)
    grid.update(lambda p: p[:, 0] * 0)
    out = render(field, FRONT, grid, **{**SIZE, "background": background}, shading="lambertian")
    assert torch.equal(out.image, background)
    assert out.depth.abs().max() == out.opacity.abs().max() == 0
    out.image.sum().backward()  # a step on an empty scene must not fail


def test_image_in_chunks_equals_the_whole(make_ball: MakeBall) -> None:
    ball = make_ball()
    views = fixed_views([0.0, 120.0])
    kinds = {**SIZE, "background": torch.rand(2, 3), "shading": "lambertian"}
    whole, parts = render(ball, views, ball.grid(), **kinds), render_image(ball, views, ball.grid(), **kinds, chunk=700)
    for name in ("image", "opacity", "depth", "normals"):
        torch.testing.assert_close(getattr(parts, name), getattr(whole, name))
    assert parts.extras == {}


def test_gradient_of_the_image_in_float64(make_ball: MakeBall) -> None:
    views = Views(*(x.double() for x in vars(FRONT).values()))
    grid = make_ball().grid().double()
    parameters = torch.tensor([0.5, 12.0, 0.3], dtype=torch.float64, requires_grad=True)

    def image(p: torch.Tensor) -> torch.Tensor:
        def field(positions: torch.Tensor, _: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
            density = p[1] * torch.sigmoid((p[0] - positions.norm(dim=-1)) * 20)
            return density, (p[2] * positions).sigmoid()

        kinds = {"height": 4, "width": 4, "samples": 40, "background": WHITE.double(), "ambient": 0.5}
        return render(field, views, grid, **kinds, shading="lambertian").image

    assert torch.autograd.gradcheck(image, (parameters,), atol=1e-5)


def test_jitter_comes_from_the_generator_alone(make_ball: MakeBall) -> None:
    ball = make_ball(peak=5.0)

    def draw(seed: int) -> torch.Tensor:
        return render(ball, FRONT, ball.grid(), **SIZE, generator=torch.Generator().manual_seed(seed)).image

    assert torch.equal(draw(1), draw(1))
    assert not torch.equal(draw(1), draw(2))


def steps(threads: int) -> list[torch.Tensor]:
    """Field and grid after two shaded training steps with ``threads`` threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        torch.manual_seed(0)
        generator = torch.Generator().manual_seed(0)
        field = InstantNGP(levels=4, log2_hashmap_size=12, base_resolution=8, max_resolution=64)
        grid = OccupancyGrid(16)
        optimizer = torch.optim.Adam(field.parameters(), lr=1e-2)
        for shading in ("albedo", "lambertian"):
            grid.update(field.density, generator)
            out = render(field, FRONT, grid, **SIZE, shading=shading, generator=generator)
            optimizer.zero_grad()
            (out.image.square().mean() + out.opacity.mean()).backward()
            optimizer.step()
        return [*field.state_dict().values(), *grid.state_dict().values()]
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("threads", [1, 2])
def test_training_steps_repeat_bit_for_bit(threads: int) -> None:
    assert all(torch.equal(a, b) for a, b in zip(steps(threads), steps(threads), strict=True))


def test_a_field_grows_from_its_blob_to_an_object_elsewhere(make_ball: MakeBall) -> None:
    """Fitting renders of a small ball off the centre: matter must leave the blob and appear in pruned space."""
    torch.manual_seed(0)
    ball, generator = make_ball(0.25, (0.5, 0.2, 0.0), peak=60.0), torch.Generator().manual_seed(0)
    field = InstantNGP(levels=4, log2_hashmap_size=12, base_resolution=8, max_resolution=32, hidden=16)
    grid, exact = OccupancyGrid(16), ball.grid()
    optimizer = torch.optim.Adam(field.parameters(), lr=1e-2)
    errors = []
    for step in range(80):
        if step % 8 == 0:
            grid.update(field.density, generator, share=1.0 if step == 0 else 0.25)
        views = fixed_views([45.0 * step, 45.0 * step + 100], elevation=20.0)
        kinds = {"height": 20, "width": 20, "samples": 48, "background": torch.rand(2, 3, generator=generator)}
        wanted = render_image(ball, views, exact, **kinds).image
        loss = (render(field, views, grid, **kinds, generator=generator).image - wanted).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        errors.append(loss.item())
    assert sum(errors[-5:]) < 0.2 * sum(errors[:5])
    assert field.density(ball.centre[None]) > 1 > field.density(-ball.centre[None])
