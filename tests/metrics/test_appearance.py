"""Property and reference: ground truth wears what it wears, and colours are as far apart as they look."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from dreampgc.metrics.appearance import AttributeLibrary, colour_distance, descriptor, pixel_cloud
from dreampgc.metrics.pictures import Subject, evaluation_views, item_of, lab_colours, one_light, softened
from dreampgc.render.mesh import render_mesh
from dreampgc.types import RenderOutput
from dreampgc.world.mesh import world_mesh
from dreampgc.world.objects import HELD_OUT_SEED, Caption
from dreampgc.world.paints import ATTRIBUTES
from dreampgc.world.scene import make_scene

SIZE, VIEWS, OTHER_SEED = 40, 4, HELD_OUT_SEED + 500
SUBJECTS = ("car", "duck")
CASTLE_ON_CAR = Caption("castle", "golden", Caption("car", "blue"))


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> AttributeLibrary:
    return AttributeLibrary(tmp_path_factory.mktemp("cache"), samples=2, size=SIZE, views=VIEWS)


def subject(caption: Caption, seed: int = OTHER_SEED) -> Subject:
    return Subject(item_of(caption, seed), evaluation_views()[:VIEWS], SIZE)


@pytest.fixture(scope="module")
def worn() -> dict[tuple[str, str], RenderOutput]:
    """Objects that are no references, in every attribute, each in a light of its own."""
    pictures = {}
    for name in SUBJECTS:
        one = subject(Caption(name))
        for number, attribute in enumerate(ATTRIBUTES):
            pictures[name, attribute] = one.pictures(attribute, one_light(number, VIEWS))
    return pictures


Worn = dict[tuple[str, str], RenderOutput]


def test_ground_truth_is_retrieved_and_shuffled_labels_are_at_chance(library: AttributeLibrary, worn: Worn) -> None:
    found = [library.retrieve(pictures, Caption(name))[0] for (name, _), pictures in worn.items()]
    labels = [attribute for _, attribute in worn]
    assert np.mean(np.array(found) == np.array(labels)) >= 0.95
    shuffled = np.random.default_rng(0).permutation(labels)
    # Chance is 1 in 20: of 40, more than 6 hits would happen less than once in a hundred times.
    assert np.sum(np.array(found) == shuffled) <= 6


def test_a_little_blur_and_a_little_tint_do_no_harm(library: AttributeLibrary, worn: Worn) -> None:
    tint = torch.tensor([1.04, 1.0, 0.96]).view(1, 3, 1, 1)
    hits = []
    for (name, attribute), pictures in worn.items():
        if name == "car":
            tinted = (pictures.image * tint).clamp(0, 1) * pictures.opacity + 1 - pictures.opacity
            blurred = softened(replace(pictures, image=tinted), 2)
            hits.append(library.retrieve(blurred, Caption(name))[0] == attribute)
    assert np.mean(hits) >= 0.9


def test_both_objects_of_a_pair_are_retrieved(library: AttributeLibrary) -> None:
    pictures = subject(CASTLE_ON_CAR).pictures()
    assert library.retrieve(pictures, CASTLE_ON_CAR)[0] == "golden"
    assert library.retrieve(pictures, CASTLE_ON_CAR, base=True)[0] == "blue"
    wrong = Caption("castle", "pink", Caption("car", "blue"))
    assert library.retrieve(pictures, wrong)[0] == "golden"


def test_what_a_caption_leaves_free_is_fitted(library: AttributeLibrary) -> None:
    pictures = subject(CASTLE_ON_CAR).pictures()
    assert library.fitted(pictures, Caption("castle", "golden", Caption("car"))) == CASTLE_ON_CAR
    assert library.fitted(pictures, Caption("castle", "pink", Caption("car", "blue"))).attribute == "pink"
    assert library.retrieve(pictures, Caption("castle", "golden", Caption("car")))[0] == "golden"


def test_a_mesh_of_ground_truth_wears_what_it_wears(library: AttributeLibrary) -> None:
    mesh = world_mesh(make_scene([("duck", "checkered", OTHER_SEED)]), resolution=72)
    views, white = evaluation_views()[:VIEWS], torch.ones(3)
    pictures = render_mesh(mesh, views, height=SIZE, width=SIZE, shading="albedo", background=white)
    assert library.retrieve(pictures, Caption("duck"))[0] == "checkered"


def test_the_colour_error_is_small_where_the_attribute_is_right(library: AttributeLibrary, worn: Worn) -> None:
    for attribute, wrong in (("red", "blue"), ("wooden", "marble"), ("stone", "yellow")):
        right = library.colour_error(worn["duck", attribute], Caption("duck", attribute))
        assert right < 6 < 15 < library.colour_error(worn["duck", attribute], Caption("duck", wrong))


def test_the_distance_to_a_shifted_cloud_is_the_shift() -> None:
    cloud = np.random.default_rng(0).normal(scale=20, size=(60, 3)).astype(np.float32)
    shift = np.array([3.0, -4.0, 12.0], dtype=np.float32)
    shuffled = np.random.default_rng(1).permutation(cloud)
    assert colour_distance(cloud, shuffled) == pytest.approx(0)
    # No matching of a cloud with its own translation is shorter than the translation.
    assert colour_distance(cloud, shuffled + shift) == pytest.approx(13.0, rel=1e-5)


@pytest.mark.parametrize(
    ("rgb", "lab"),
    [
        ((1.0, 1.0, 1.0), (100.0, 0.0, 0.0)),
        ((1.0, 0.0, 0.0), (53.24, 80.09, 67.20)),
        ((0.0, 1.0, 0.0), (87.73, -86.18, 83.18)),
        ((0.0, 0.0, 1.0), (32.30, 79.19, -107.86)),
        ((0.02, 0.02, 0.02), (1.40, 0.0, 0.0)),  # below the curve's linear toe
    ],
)
def test_lab_of_known_colours(rgb: tuple[float, ...], lab: tuple[float, ...]) -> None:
    image = torch.tensor(rgb).view(1, 3, 1, 1)
    half = torch.full((1, 1, 1, 1), 0.5)
    for opacity in (torch.ones_like(half), half):  # half of what is seen may be the white behind
        seen = RenderOutput(image * opacity + 1 - opacity, opacity, opacity, None, {})
        assert lab_colours(seen).flatten().tolist() == pytest.approx(lab, abs=0.05)


def test_the_place_in_the_picture_does_not_matter_across(worn: Worn) -> None:
    planes = (worn["duck", "brick"].image, worn["duck", "brick"].opacity)
    image, opacity = (plane[..., 2:-2] for plane in planes)
    here, there = (
        RenderOutput(x, m, m, None, {}) for x, m in ((image, opacity), (image.roll(1, -1), opacity.roll(1, -1)))
    )
    np.testing.assert_allclose(descriptor(pixel_cloud(there)), descriptor(pixel_cloud(here)), atol=1e-3)


def test_pictures_that_cannot_be_compared_are_refused(library: AttributeLibrary, worn: Worn) -> None:
    pictures = worn["car", "red"]
    with pytest.raises(ValueError, match="show no object"):
        library.retrieve(replace(pictures, opacity=torch.zeros_like(pictures.opacity)), Caption("car"))
    with pytest.raises(ValueError, match=r"\(3, 3, 40, 40\)"):
        library.retrieve(replace(pictures, image=pictures.image[:3]), Caption("car"))


def test_references_are_read_back_and_never_those_of_other_settings(worn: Worn, tmp_path: Path) -> None:
    pictures = worn["duck", "metal"]
    options = {"samples": 1, "size": SIZE, "views": VIEWS}
    first = AttributeLibrary(tmp_path, **options).retrieve(pictures, Caption("duck"))
    (stored,) = tmp_path.iterdir()
    written = stored.stat().st_mtime_ns
    assert AttributeLibrary(tmp_path, **options).retrieve(pictures, Caption("duck")) == first
    assert stored.stat().st_mtime_ns == written
    AttributeLibrary(tmp_path, **(options | {"first_seed": OTHER_SEED})).retrieve(pictures, Caption("duck"))
    assert len(list(tmp_path.iterdir())) == 2
