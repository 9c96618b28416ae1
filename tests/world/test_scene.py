"""Reference and property: exact distances, lower bounds, and the looks of objects."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from dreampgc.world.objects import CLASSES
from dreampgc.world.paints import COLOURS, MATERIALS
from dreampgc.world.scene import Scene, albedo, make_scene, needed_slots, owner, signed_distance
from dreampgc.world.sculpture import Part, Vector
from dreampgc.world.textures import textures
from tests.world.test_sculpture import scene_of


def cloud(count: int, extent: float = 1.0, seed: int = 0) -> Tensor:
    return (torch.rand(1, count, 3, generator=torch.Generator().manual_seed(seed)) * 2 - 1) * extent


@pytest.mark.parametrize(
    ("part", "point", "distance"),
    [
        (Part("box", (0, 0, 0), (0.2, 0.3, 0.4)), (0.5, 0, 0), 0.3),
        (Part("box", (0, 0, 0), (0.2, 0.3, 0.4)), (0.5, 0.7, 0), 0.5),  # of an edge: 3, 4, 5
        (Part("box", (0, 0, 0), (0.2, 0.3, 0.4)), (0.1, 0, 0), -0.1),
        (Part("box", (0, 0, 0), (0.2, 0.3, 0.4), rounding=0.1), (0.5, 0, 0), 0.3),
        (Part("box", (0.5, 0, 0), (0.2, 0.3, 0.4)), (0.5, 0, 0), -0.2),
        (Part("box", (0, 0, 0), (0.2, 0.3, 0.4), (0, 0, 90)), (0, 0.5, 0), 0.3),
        (Part("ball", (0, 0, 0), (0.3, 0.3, 0.3)), (0, 0.4, 0.3), 0.2),
        (Part("cone", (0, 0, 0), (0.2, 0.3, 0.2)), (0, 0.5, 0), 0.2),  # (bottom, half-height, top): a cylinder
        (Part("cone", (0, 0, 0), (0.2, 0.3, 0.2)), (0.6, 0, 0), 0.4),
        (Part("cone", (0, 0, 0), (0.2, 0.3, 0.2)), (0.5, 0.7, 0), 0.5),
        (Part("cone", (0, 0, 0), (0.4, 0.2, 0.0)), (0, 0.5, 0), 0.3),  # above its tip
        (Part("ring", (0, 0, 0), (0.4, 0.1, 0.0)), (0, 0, 0), 0.3),
        (Part("ring", (0, 0, 0), (0.4, 0.1, 0.0)), (0.4, 0, 0), -0.1),
    ],
)
def test_known_distances(part: Part, point: Vector, distance: float) -> None:
    found = signed_distance(scene_of(part), torch.tensor([[point]], dtype=torch.float32))
    assert found.item() == pytest.approx(distance, abs=1e-5)


def on_surface(part: Part, count: int = 40_000) -> Tensor:
    """Points of the part's surface: random ones, pulled onto it along the distance's gradient."""
    points = cloud(count, seed=1)
    for _ in range(12):
        points = points.detach().requires_grad_()
        distance = signed_distance(scene_of(part), points)
        (slope,) = torch.autograd.grad(distance.sum(), points)
        points = points - 0.9 * distance[..., None] * functional.normalize(slope, dim=-1)
    points = points.detach()
    return points[signed_distance(scene_of(part), points).abs() < 1e-3]


@pytest.mark.parametrize("kind", ["box", "cone", "ring", "ball"])
def test_distances_agree_with_brute_force(kind: str) -> None:
    size = (0.35, 0.1, 0.0) if kind == "ring" else (0.35, 0.25, 0.15)
    part = Part(kind, (0.1, 0, -0.1), size, (30.0, 50.0, -20.0), rounding=0.04 if kind == "box" else 0.0)
    points, surface = cloud(300, seed=2), on_surface(part)
    found = signed_distance(scene_of(part), points)[0]
    nearest = torch.cdist(points[0], surface).amin(dim=1)
    outside = found > 0
    # The surface is a cloud with gaps of about 0.01, and its points lie within 1e-3 of it.
    assert (found[outside] <= nearest[outside] + 2e-3).all()  # so a ray never steps through
    if kind != "ball":
        torch.testing.assert_close(found.abs(), nearest, atol=0.02, rtol=0)


#: Ellipsoids are only bounds, and may be steeper; a class without any must be exact.
EXACT = [name for name in CLASSES if (make_scene([(name, "red", 0)]).balls.size[..., 0] == 0.1).all()]


@pytest.mark.parametrize("name", EXACT)
def test_the_distance_of_an_object_is_nowhere_steeper_than_one(name: str) -> None:
    scene, points = make_scene([(name, "red", 0)]), cloud(3000)
    shift = 0.02 * torch.randn(points.shape, generator=torch.Generator().manual_seed(3))
    change = signed_distance(scene, points + shift) - signed_distance(scene, points)
    assert (change.abs() <= shift.norm(dim=-1) * (1 + 1e-4) + 1e-5).all()


@pytest.mark.parametrize("name", CLASSES)
def test_objects_lie_within_the_world(name: str) -> None:
    scene, points = make_scene([(name, "red", seed) for seed in (0, 1_000_000)]), cloud(4000, extent=1.2)
    distance = signed_distance(scene, points.expand(2, -1, -1))
    beyond = points.abs().amax(dim=-1) > 0.8
    assert (distance[beyond.expand(2, -1)] > 0).all()
    assert (distance.amin(dim=1) < 0).all()  # there is something


def test_a_batch_gives_what_each_object_gives_alone() -> None:
    objects = [("car", "wooden", 3), ("duck", "red", 1_000_001), ("mug", "brick", 5)]
    points = cloud(500, extent=0.8)
    batch = make_scene(objects)
    for number, one in enumerate(objects):
        alone = make_scene([one])
        torch.testing.assert_close(
            signed_distance(batch, points.expand(3, -1, -1))[number], signed_distance(alone, points)[0]
        )
        torch.testing.assert_close(albedo(batch, points.expand(3, -1, -1))[number], albedo(alone, points)[0])
    torch.testing.assert_close(signed_distance(batch[1:2], points), signed_distance(make_scene(objects[1:2]), points))
    assert len(batch) == 3


def test_fixed_slots_change_nothing_and_too_few_are_refused() -> None:
    objects = [("house", "red", 0)]
    roomy = make_scene(objects, {"box": 20, "ball": 2, "cone": 3, "ring": 1})
    torch.testing.assert_close(signed_distance(roomy, cloud(200)), signed_distance(make_scene(objects), cloud(200)))
    with pytest.raises(ValueError, match="more than 1 slots"):
        make_scene(objects, {"box": 1, "ball": 1, "cone": 1, "ring": 1})
    assert needed_slots([[]]) == {"box": 1, "ball": 1, "cone": 1, "ring": 1}


def test_wearing_swaps_the_attribute_and_keeps_shape_and_paint() -> None:
    scene, points = make_scene([("car", "red", 0)]), cloud(2000, extent=0.8)
    golden = scene.wearing(["golden"])
    assert torch.equal(signed_distance(golden, points), signed_distance(scene, points))
    before, after = albedo(scene, points)[0], albedo(golden, points)[0]
    assert torch.equal(albedo(golden, points), albedo(make_scene([("car", "golden", 0)]), points))
    slot_is_bare = (before - torch.tensor(COLOURS["red"])).abs().amax(-1) < 1e-6
    changed = (before - after).abs().amax(-1) > 1e-3
    assert torch.equal(changed, slot_is_bare)  # tyres and windows stay as they are
    assert 0.1 < slot_is_bare.float().mean() < 0.9
    with pytest.raises(KeyError, match="invisible"):
        scene.wearing(["invisible"])


def pattern_of(scene: Scene, points: Tensor, *, shift: float = 0.0, material: int | None = None) -> Tensor:
    """The texture ``[P,3]`` of one object's attribute, or of another material, at ``points``."""
    number = scene.material[:, :1] if material is None else torch.tensor([[material]])
    return textures(points, number.expand(-1, points.shape[1]), scene.phase[:, :1] + shift)[0]


@pytest.mark.parametrize("attribute", COLOURS)
def test_colours_are_flat(attribute: str) -> None:
    scene, points = make_scene([("table", attribute, 0)]), cloud(3000, extent=0.7)
    assert torch.equal(pattern_of(scene, points), torch.ones(3000, 3))
    torch.testing.assert_close(albedo(scene, points)[0].amax(dim=0), torch.tensor(COLOURS[attribute]))


@pytest.mark.parametrize("attribute", MATERIALS)
def test_materials_are_patterns_of_their_own(attribute: str) -> None:
    scene, points = make_scene([("table", attribute, 0)]), cloud(3000, extent=0.7)
    pattern = pattern_of(scene, points)
    assert 0 <= pattern.min() <= pattern.max() <= 1
    assert pattern.std(dim=0).max() > 0.03
    shifted = pattern_of(scene, points, shift=math.pi / 3)
    assert torch.equal(pattern, shifted) == (attribute in ("brick", "knitted", "checkered"))  # these stay
    others = (pattern_of(scene, points, material=k) for k in range(len(MATERIALS)))
    assert sum(torch.equal(pattern, other) for other in others) == 1


def test_a_pair_is_both_objects_each_in_its_own_attribute() -> None:
    points = cloud(6000, extent=0.8)
    scene = make_scene([(("mug", "red", 0), ("table", "blue", 1))])
    inside = signed_distance(scene, points)[0] < 0
    whose, colours = owner(scene, points)[0][inside], albedo(scene, points)[0][inside]
    heights = points[0, :, 1][inside]
    assert heights[whose == 0].min() > heights[whose == 1].median()  # the mug stands on the table
    red, blue = (torch.tensor(COLOURS[name]) for name in ("red", "blue"))
    assert torch.isclose(colours[whose == 1] / blue, (colours[whose == 1] / blue)[:, :1], atol=1e-5).all()
    assert torch.isclose(colours[whose == 0], red).all(dim=-1).float().mean() > 0.5
    swapped = scene.wearing([("blue", "red")])
    assert torch.equal(albedo(swapped, points), albedo(make_scene([(("mug", "blue", 0), ("table", "red", 1))]), points))


def test_a_base_that_carries_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing can stand on a snowman"):
        make_scene([(("mug", "red", 0), ("snowman", "red", 0))])
