"""Property: ground truth has one front, ground truth doubled on purpose has two, and what has none is not judged."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from dreampgc.metrics.janus import FrontLibrary, faces, fronts, quarters
from dreampgc.metrics.pictures import QUARTERS, Subject, evaluation_views, item_of, one_light, softened
from dreampgc.types import RenderOutput
from dreampgc.world.objects import HELD_OUT_SEED, Caption

SIZE, OTHER_SEED = 48, HELD_OUT_SEED + 500
JUDGED = (Caption("dog", "red"), Caption("car", "white"), Caption("robot", "wooden"))


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> FrontLibrary:
    return FrontLibrary(tmp_path_factory.mktemp("cache"), samples=2, size=SIZE)


def seen(caption: Caption, *, doubled: bool = False, seed: int = OTHER_SEED) -> RenderOutput:
    views = evaluation_views()[torch.tensor(QUARTERS)]
    return Subject(item_of(caption, seed), views, SIZE, doubled=doubled).pictures(light=one_light(seed, 4))


def turned(pictures: RenderOutput, quarters: int) -> RenderOutput:
    """What is seen of the object turned about the vertical axis: the same four pictures in another order."""
    planes = (pictures.image, pictures.opacity, pictures.depth)
    return RenderOutput(*(plane.roll(quarters, 0) for plane in planes), None, {})


@pytest.mark.parametrize("caption", JUDGED, ids=str)
def test_right_ground_truth_passes_and_doubled_is_found(library: FrontLibrary, caption: Caption) -> None:
    assert library.can_judge(caption)
    for seed in (OTHER_SEED, OTHER_SEED + 1):
        assert not library.is_janus(seen(caption, seed=seed), caption)
        assert library.is_janus(seen(caption, doubled=True, seed=seed), caption)


def test_a_face_painted_on_the_back_is_enough(library: FrontLibrary) -> None:
    """Score distillation often doubles the face alone: the back's picture is the front's, all else is right."""
    caption = JUDGED[0]
    pictures = seen(caption)
    planes = [plane.clone() for plane in (pictures.image, pictures.opacity, pictures.depth)]
    for plane in planes:
        plane[2] = plane[0].flip(-1)
    assert library.is_janus(softened(RenderOutput(*planes, None, {}), 1), caption)


def test_an_object_turned_around_has_one_front_elsewhere(library: FrontLibrary) -> None:
    caption = JUDGED[0]
    pictures = seen(caption)
    truth = faces(seen(caption, seed=OTHER_SEED + 1))[None]
    for quarter in range(4):
        around = turned(pictures, quarter)
        assert fronts(faces(around), truth) == [k == quarter for k in range(4)]
        assert not library.is_janus(around, caption)


@pytest.mark.parametrize("name", ["cake", "mug"])
def test_a_class_without_a_front_is_not_judged(library: FrontLibrary, name: str) -> None:
    assert not library.can_judge(Caption(name, "red"))


def test_faces_do_not_depend_on_place_scale_or_plain_colour() -> None:
    pictures = seen(JUDGED[0])
    moved = RenderOutput(
        *(p.roll((2, -3), (-2, -1)) for p in (pictures.image, pictures.opacity, pictures.depth)), None, {}
    )
    assert abs(faces(moved) - faces(pictures)).mean() < 1e-3 * abs(faces(pictures)).mean()


def test_quarters_are_picked_by_azimuth() -> None:
    views = evaluation_views()
    assert views.azimuth[list(QUARTERS)].tolist() == [0, 90, 180, 270]
    planes = torch.arange(10.0).view(10, 1, 1, 1)
    assert quarters(RenderOutput(planes, planes, planes, None, {})).image.flatten().tolist() == list(QUARTERS)


def test_an_empty_picture_is_refused(library: FrontLibrary, tmp_path: Path) -> None:
    nothing = RenderOutput(
        torch.ones(4, 3, SIZE, SIZE), torch.zeros(4, 1, SIZE, SIZE), torch.zeros(4, 1, SIZE, SIZE), None, {}
    )
    with pytest.raises(ValueError, match="show no object"):
        library.is_janus(nothing, JUDGED[0])
