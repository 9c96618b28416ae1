"""Property tests of the camera conventions."""

import pytest
import torch

from dreampgc.cameras import fixed_views, orbit_views, sample_views

ELEVATION, DISTANCE, FOV = (-10.0, 45.0), (2.0, 2.5), (40.0, 50.0)


@pytest.mark.parametrize(
    ("azimuth", "elevation", "expected"),
    [(0, 0, (0, 0, 2)), (90, 0, (2, 0, 0)), (180, 0, (0, 0, -2)), (270, 0, (-2, 0, 0)), (0, 90, (0, 2, 0))],
)
def test_camera_sits_where_its_angles_say(azimuth: float, elevation: float, expected: tuple[float, ...]) -> None:
    position = fixed_views([azimuth], elevation=elevation, distance=2.0).positions()[0]
    torch.testing.assert_close(position, torch.tensor(expected, dtype=torch.float32), atol=1e-6, rtol=0)


@pytest.mark.parametrize("elevation", [-90.0, -30.0, 0.0, 60.0, 90.0])
def test_axes_are_a_right_handed_orthonormal_frame_even_at_the_poles(elevation: float) -> None:
    views = fixed_views([0.0, 37.0, 141.0, 300.0], elevation=elevation)
    frame = torch.stack(views.axes(), dim=1)
    torch.testing.assert_close(frame @ frame.mT, torch.eye(3).expand(4, 3, 3), atol=1e-6, rtol=0)
    right, up, forward = frame.unbind(1)
    torch.testing.assert_close(torch.linalg.cross(right, up), -forward, atol=1e-6, rtol=0)


def test_image_right_is_plus_x_and_top_is_plus_y_from_the_front() -> None:
    directions = fixed_views([0.0], elevation=0.0).rays(9, 9).directions[0]
    assert directions[4, 8, 0] > 0.1 > -0.1 > directions[4, 0, 0]
    assert directions[0, 4, 1] > 0.1 > -0.1 > directions[8, 4, 1]


@pytest.mark.parametrize("width", [8, 24])
def test_field_of_view_is_vertical_and_pixels_are_square(width: int) -> None:
    rays = fixed_views([20.0], fov=60.0).rays(8, width)
    right, up, _ = fixed_views([20.0], fov=60.0).axes()
    on_plane = rays.directions / (rays.directions * rays.forward).sum(-1, keepdim=True)
    rows, columns = (on_plane[0] * up[0]).sum(-1)[:, 0], (on_plane[0] * right[0]).sum(-1)[0]
    pixel = rows[0] - rows[1]
    torch.testing.assert_close(rows[0] + pixel / 2, torch.tensor(60.0).div(2).deg2rad().tan())
    torch.testing.assert_close(columns[1] - columns[0], pixel)


def test_directions_are_unit_vectors_around_the_axis_to_the_origin() -> None:
    views = fixed_views([10.0, 200.0], elevation=30.0)
    rays = views.rays(5, 5)
    torch.testing.assert_close(rays.directions.norm(dim=-1), torch.ones(2, 5, 5))
    at_centre = rays.origins[:, 2, 2] + rays.directions[:, 2, 2] * views.distance[:, None]
    torch.testing.assert_close(at_centre, torch.zeros(2, 3), atol=1e-5, rtol=0)


def test_sampled_views_stay_in_range_repeat_with_the_seed_and_surround_the_object() -> None:
    views, again = (
        sample_views(64, torch.Generator().manual_seed(3), elevation=ELEVATION, distance=DISTANCE, fov=FOV)
        for _ in range(2)
    )
    for name, (low, high) in {"elevation": ELEVATION, "distance": DISTANCE, "fov": FOV}.items():
        assert getattr(views, name).min() >= low
        assert getattr(views, name).max() <= high
        assert torch.equal(getattr(views, name), getattr(again, name))
    gaps = views.azimuth.sort().values.diff()
    assert gaps.max() <= 2 * 360 / 64 + 1e-3  # one view in every sector
    assert views.azimuth.min() >= 0
    assert views.azimuth.max() < 360


def test_orbit_starts_in_front_and_a_subset_keeps_its_cameras() -> None:
    views = orbit_views(4)
    assert views.azimuth.tolist() == [0, 90, 180, 270]
    assert views[1:3].azimuth.tolist() == [90, 180]
    assert len(views[1:3].to("cpu")) == 2


def test_magnification_is_the_area_of_a_square_in_the_picture() -> None:
    """A field of view of 90 degrees at distance d shows 2d x 2d of the plane through the origin."""
    assert fixed_views([0, 50], distance=2.0, fov=90.0).magnification() == pytest.approx(2 / 16)


def test_points_are_projected_onto_the_pixels_whose_rays_meet_them() -> None:
    views = fixed_views([0.0, 130.0], elevation=25.0, fov=40.0)
    rays = views.rays(8, 8)
    for row, column in ((0, 0), (2, 7), (5, 3)):
        points = (rays.origins + 2.0 * rays.directions)[:, row, column]
        places = views.project(points)[torch.arange(2), torch.arange(2)]
        expected = torch.tensor([column + 0.5, row + 0.5]) / 4 - 1
        torch.testing.assert_close(places, expected.expand(2, 2), atol=1e-5, rtol=0)
