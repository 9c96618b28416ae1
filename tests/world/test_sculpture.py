"""Property and reference: parts' bounds hold their parts, and objects are centred and scaled."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from dreampgc.world.scene import Primitives, Scene, signed_distance
from dreampgc.world.sculpture import EXTENT, KINDS, REACH, Part, Sculpture, Vector

TURNED: Vector = (20.0, -40.0, 65.0)


def scene_of(*parts: Part) -> Scene:
    """One white object of some parts."""

    def primitives(kind: str) -> Primitives:
        own = [part for part in parts if part.kind == kind] or [Part(kind, (99.0, 99.0, 99.0), (0.1, 0.1, 0.1))]
        return Primitives(
            torch.tensor([[part.center for part in own]]),
            torch.tensor(np.array([[part.matrix().T for part in own]]), dtype=torch.float32),
            torch.tensor([[part.size for part in own]]),
            torch.tensor([[part.rounding for part in own]]),
        )

    groups = [primitives(kind) for kind in KINDS]
    slots = sum(group.rounding.shape[1] for group in groups)
    boxes, balls, cones, rings = groups
    white, bare = torch.ones(1, slots, 3), torch.zeros(1, slots)
    owner, none = torch.zeros(1, slots, dtype=torch.long), torch.full((1, 2), -1)
    return Scene(boxes, balls, cones, rings, white, bare, owner, white[:, :2], none, torch.zeros(1, 2, 3))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rotation", [(0.0, 0.0, 0.0), TURNED])
def test_bounds_and_reach_hold_the_part(kind: str, rotation: Vector) -> None:
    size = (0.3, 0.1, 0.0) if kind == "ring" else (0.3, 0.2, 0.15)
    part = Part(kind, (0.1, -0.2, 0.05), size, rotation, rounding=0.05 if kind == "box" else 0.0)
    points = torch.rand(1, 200_000, 3, generator=torch.Generator().manual_seed(0)) * 1.2 - 0.6
    inside = points[0][signed_distance(scene_of(part), points)[0] <= 0].numpy()
    low, high = part.bounds()
    assert (inside >= low - 1e-6).all()
    assert (inside <= high + 1e-6).all()
    assert np.linalg.norm(inside - part.center, axis=1).max() <= part.reach() + 1e-6
    if rotation == (0.0, 0.0, 0.0):  # and no larger than it must be: the sampling finds points near every face
        np.testing.assert_allclose(inside.min(axis=0), low, atol=0.03)
        np.testing.assert_allclose(inside.max(axis=0), high, atol=0.03)


def test_rotation_turns_about_z_then_y_then_x() -> None:
    part = Part("box", (0, 0, 0), (1, 1, 1), (90.0, 0.0, 90.0))
    np.testing.assert_allclose(part.matrix() @ [1, 0, 0], [0, 0, 1], atol=1e-12)  # x → y (about z) → z (about x)
    np.testing.assert_allclose(part.matrix() @ part.matrix().T, np.eye(3), atol=1e-12)


def test_an_object_is_centred_and_as_large_as_the_world_allows() -> None:
    sculpture = Sculpture(random.Random(0))
    sculpture.box((10, 0, 0), (4, 1, 1))
    sculpture.ball((15, 0, 0), 1)
    box, ball = sculpture.parts()
    assert box.center[0] - box.size[0] == pytest.approx(-ball.center[0] - ball.size[0])
    assert ball.center[0] + ball.size[0] == pytest.approx(EXTENT)
    assert box.size[0] / ball.size[0] == pytest.approx(4)  # proportions stay


def test_a_bulky_object_is_limited_by_its_reach() -> None:
    sculpture = Sculpture(random.Random(0))
    sculpture.box((0, 0, 0), (1, 1, 1))
    [box] = sculpture.parts()
    assert np.linalg.norm(box.size) == pytest.approx(REACH)


def test_the_rounding_fits_into_the_box() -> None:
    sculpture = Sculpture(random.Random(0))
    sculpture.box((0, 0, 0), (1, 1, 0.01), rounding=0.2)
    [box] = sculpture.parts()
    assert box.rounding < min(box.size)
