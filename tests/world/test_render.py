"""Reference and property: pictures of objects whose looks are known in closed form."""

from __future__ import annotations

import math

import pytest
import torch

from dreampgc.cameras import fixed_views
from dreampgc.world.paints import LIGHT, RED
from dreampgc.world.render import Light, Picture, render_world, studio_light
from dreampgc.world.scene import make_scene
from dreampgc.world.sculpture import Part
from tests.world.test_sculpture import scene_of

BALL = Part("ball", (0.0, 0.0, 0.0), (0.5, 0.5, 0.5))


def ball_picture(**options: float) -> Picture:
    views = fixed_views([0.0], elevation=0.0, distance=2.0, fov=45.0)
    return render_world(scene_of(BALL), views, 33, supersample=int(options.get("supersample", 1)))


def test_a_ball_has_the_outline_depth_and_normals_of_a_ball() -> None:
    picture = ball_picture()
    # Its outline is a circle of angle asin(r/d); one pixel row more or less is the sampling's.
    radius = math.tan(math.asin(0.5 / 2)) / math.tan(math.radians(22.5)) * 33 / 2
    assert picture.mask.sum().item() == pytest.approx(math.pi * radius**2, rel=0.03)
    assert picture.depth[0, 0, 16, 16].item() == pytest.approx(1.5, abs=5e-3)
    rays = fixed_views([0.0], elevation=0.0, distance=2.0, fov=45.0).rays(33, 33)
    along = picture.depth / (rays.directions * rays.forward).sum(-1)[:, None]
    points = rays.origins.movedim(-1, 1) + along * rays.directions.movedim(-1, 1)
    well_inside = (picture.mask > 0) & (points.norm(dim=1, keepdim=True) < 0.51) & (picture.normals[:, 2:] > 0.3)
    assert well_inside.sum() > 0.8 * picture.mask.sum()
    error = (picture.normals - points / 0.5).norm(dim=1, keepdim=True)
    assert error[well_inside].max() < 0.03


def test_outside_of_the_mask_there_is_nothing() -> None:
    picture = ball_picture(supersample=2)
    outside = (picture.mask == 0)[0, 0]
    assert outside.any()
    for plane in (picture.image, picture.depth, picture.normals):
        assert plane[0][:, outside].abs().max() == 0
    blue = picture.over(torch.tensor([0.0, 0.0, 1.0]))
    assert (blue[0][:, outside] == torch.tensor([[0.0], [0.0], [1.0]])).all()
    assert (picture.image <= picture.mask + 1e-6).all()  # premultiplied


def test_supersampling_smooths_the_edge_and_keeps_the_area() -> None:
    hard, soft = ball_picture().mask, ball_picture(supersample=3).mask
    assert set(hard.unique().tolist()) == {0.0, 1.0}
    assert 4 < len(soft.unique()) <= 10  # ninths
    assert soft.mean().item() == pytest.approx(hard.mean().item(), rel=0.03)
    edge = (soft > 0) & (soft < 1)
    assert (edge.float().mean() < 0.2) & edge.any()


def test_depth_and_normals_of_edge_pixels_are_those_of_the_object_alone() -> None:
    picture = ball_picture(supersample=2)
    hit = picture.mask > 0
    assert picture.depth[hit].min() > 1.45
    torch.testing.assert_close(picture.normals.norm(dim=1, keepdim=True)[hit], torch.ones(int(hit.sum())))


def nearness(picture: Picture, colour: tuple[float, float, float]) -> float:
    """Share of the pixels that have the hue of ``colour``."""
    hue = torch.nn.functional.normalize(torch.tensor(colour), dim=0).view(1, 3, 1, 1)
    seen = torch.nn.functional.normalize(picture.image, dim=1)
    return (((seen * hue).sum(1) > 0.997) & (picture.mask[:, 0] > 0.9)).float().mean().item()


@pytest.fixture(scope="module")
def car() -> list[Picture]:
    """A blue car from the front, from +x, from behind, from -x."""
    scene = make_scene([("car", "blue", 0)])
    return [render_world(scene, fixed_views([a], elevation=5.0), 40, supersample=1) for a in (0.0, 90.0, 180.0, 270.0)]


def test_azimuth_0_shows_the_headlights_and_180_the_tail_lights(car: list[Picture]) -> None:
    headlights, tail_lights = ([nearness(picture, colour) for picture in car] for colour in (LIGHT, RED))
    assert headlights.index(max(headlights)) == 0
    assert headlights[2] == 0 < headlights[0]
    assert tail_lights.index(max(tail_lights)) == 2
    assert tail_lights[0] == 0 < tail_lights[2]


def test_azimuth_90_looks_from_plus_x(car: list[Picture]) -> None:
    """From +x the car's front (+z) is at the left of the picture; from -x at the right."""
    for picture, front_is_left in ((car[1], True), (car[3], False)):
        lights = picture.image[0, :2].mean(dim=0) - picture.image[0, 2] > 0.15  # yellow
        columns = lights.nonzero()[:, 1].float()
        assert len(columns) > 0
        assert (columns.mean().item() < 20) == front_is_left
        wide = picture.mask[0, 0].amax(dim=0).sum() > car[0].mask[0, 0].amax(dim=0).sum()
        assert wide  # a car is longer than wide


def test_top_of_the_picture_is_up() -> None:
    picture = render_world(make_scene([("mushroom", "red", 0)]), fixed_views([0.0], elevation=0.0), 32, supersample=1)
    widths = picture.mask[0, 0].sum(dim=1)
    assert widths[:16].max() > 1.5 * widths[20:].max()  # the cap is above the stem


def test_light_comes_from_where_it_says() -> None:
    views = fixed_views([0.0], elevation=0.0)
    for x in (-1.0, 1.0):
        light = Light(torch.tensor([[x, 0.0, 0.0]]), torch.tensor([0.4]))
        image = render_world(scene_of(BALL), views, 24, light=light, supersample=1).image.mean(dim=(0, 1, 2))
        left, right = image[:12].sum(), image[12:].sum()
        assert (right > 1.1 * left) if x > 0 else (left > 1.1 * right)
    assert studio_light(2).direction.norm(dim=-1).tolist() == [pytest.approx(1)] * 2


def test_a_batch_is_its_pictures_and_repeats_bit_for_bit() -> None:
    scene = make_scene([("duck", "yellow", 0), ("chair", "wooden", 1)])
    views = fixed_views([20.0, 200.0])
    both, again = (render_world(scene, views, 16, supersample=1) for _ in range(2))
    assert torch.equal(both.image, again.image)
    for number in range(2):
        alone = render_world(scene[number : number + 1], views[number : number + 1], 16, supersample=1)
        torch.testing.assert_close(both.image[number], alone.image[0], atol=1e-4, rtol=0)
    with pytest.raises(ValueError, match="2 objects, but 1 views"):
        render_world(scene, views[:1], 16)
