"""Property and validation: ground truth is known for what it is, shuffled labels are not, and the cache is true."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dreampgc.metrics.shape import (
    PIXELS,
    Shape,
    ShapeLibrary,
    chamfer_distance,
    compare,
    compare_aligned,
    coverage,
    descriptor,
    kind_of,
    nearness,
    silhouettes,
    volume_iou,
)
from dreampgc.metrics.solids import Solid, mesh_solid, object_solid, surface_points
from dreampgc.world.mesh import world_mesh
from dreampgc.world.objects import CARRIERS, CLASSES, HELD_OUT_SEED, Caption, make_object
from dreampgc.world.scene import make_scene
from dreampgc.world.sculpture import Part

SIDE = 32
#: A held-out seed that no reference has.
UNSEEN = HELD_OUT_SEED + 1000


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ShapeLibrary:
    return ShapeLibrary(tmp_path_factory.mktemp("shapes"), samples=3, pair_samples=1, side=SIDE)


@pytest.fixture(scope="module")
def tops(library: ShapeLibrary) -> dict[str, str]:
    """What an unseen mesh of each class is taken for."""
    meshes = {name: world_mesh(make_scene([(name, "red", UNSEEN)]), resolution=32) for name in CLASSES}
    return {name: library.retrieve(mesh_solid(mesh, SIDE))[0].name for name, mesh in meshes.items()}


def cube(side: int, low: int, high: int) -> Solid:
    solid = np.zeros((side, side, side), dtype=bool)
    solid[low:high, low:high, low:high] = True
    return solid


def test_ground_truth_meshes_retrieve_their_class(tops: dict[str, str]) -> None:
    assert np.mean([name == top for name, top in tops.items()]) >= 0.95


def test_shuffled_labels_score_at_chance(tops: dict[str, str]) -> None:
    labels = np.array(list(tops))
    rng = np.random.default_rng(0)
    shares = [np.mean(rng.permutation(labels) == np.array(list(tops.values()))) for _ in range(200)]
    # The number of hits has mean 1 and deviation 1 for permuted labels: the mean of 200 is within 0.4.
    assert np.mean(shares) * len(labels) == pytest.approx(1, abs=0.4)


@pytest.mark.parametrize(("upper", "base"), [("snowman", CARRIERS[0]), ("mug", CARRIERS[-1])])
def test_pairs_retrieve_both_of_their_classes(upper: str, base: str, tmp_path: Path) -> None:
    few = tuple(dict.fromkeys([upper, base, "car", "duck", "castle", "tree"]))
    library = ShapeLibrary(tmp_path, few, samples=1, pair_samples=1, side=SIDE)
    asked = Caption(upper, "golden", Caption(base, "red"))
    ranking = library.retrieve(object_solid(upper, UNSEEN, (base, UNSEEN), SIDE), asked)
    assert ranking[0] == kind_of(asked) == Caption(upper, base=Caption(base))
    assert len(ranking) == len(set(ranking)) == len(few) + len(CARRIERS) - 1 + 2
    # One of the two alone is known to be that.
    assert library.retrieve(object_solid(base, UNSEEN, side=SIDE), asked)[0] == Caption(base)


def test_a_reference_measures_perfectly_and_another_class_does_not(library: ShapeLibrary) -> None:
    mug = object_solid("mug", HELD_OUT_SEED + 1, side=SIDE)
    itself, other = library.measure(mug, Caption("mug", "red")), library.measure(mug, Caption("airplane"))
    assert (itself.iou, itself.chamfer, itself.coverage) == (1, 0, 1)
    assert other.iou < 0.5
    assert other.chamfer > 0.1
    assert other.coverage < 1


def test_an_unseen_object_measures_well(library: ShapeLibrary) -> None:
    found = library.measure(object_solid("car", UNSEEN, side=SIDE), Caption("car"))
    assert found.iou > 0.7
    assert found.chamfer < 2 * 2 / SIDE  # two voxels
    assert found.coverage > 0.85


def test_references_are_read_from_the_cache(library: ShapeLibrary, monkeypatch: pytest.MonkeyPatch) -> None:
    made = library.references(Caption("mug"))
    again = ShapeLibrary(library.cache, samples=3, side=SIDE)
    monkeypatch.setattr("dreampgc.metrics.shape.object_solid", None)
    np.testing.assert_array_equal(again.references(Caption("mug")).descriptors, made.descriptors)
    np.testing.assert_array_equal(again.references(Caption("mug")).bits, made.bits)


def test_a_changed_recipe_makes_new_references(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = ShapeLibrary(tmp_path, samples=1, side=SIDE).references(Caption("mug"))

    def changed(name: str, seed: int, base: tuple[str, int] | None = None) -> list[Part]:
        return make_object("car" if name == "mug" else name, seed, base)

    for place in ("dreampgc.metrics.shape", "dreampgc.world.scene"):
        monkeypatch.setattr(f"{place}.make_object", changed)
    after = ShapeLibrary(tmp_path, samples=1, side=SIDE).references(Caption("mug"))
    assert not np.array_equal(before.bits, after.bits)
    assert len(list(tmp_path.iterdir())) == 2


def test_views_tell_front_from_back_and_left_from_right() -> None:
    solid = cube(PIXELS, 8, 24)
    solid[20:24, 20:24, 24:] = True  # a knob in front, at the right, above
    maps = nearness(solid)
    assert maps.shape == (10, PIXELS, PIXELS)
    mirrored = [descriptor(turned) for turned in (solid[::-1], solid[:, :, ::-1], solid[:, ::-1])]
    for other in mirrored:
        assert np.abs(descriptor(solid).astype(int) - other).mean() > 1
    # Seen along +z the cube's back comes first; from the front, the knob is at the lattice's very front.
    assert maps[4].max() == pytest.approx(1 - 8 / PIXELS)
    assert maps[5].max() == 1


def test_diagonal_views_show_a_turned_solid() -> None:
    solid = np.zeros((PIXELS,) * 3, dtype=bool)
    # A wall along the diagonal x = z is seen edge-on along one diagonal and full width along the other.
    for k in range(PIXELS):
        solid[max(0, k - 2) : k + 3, :, k] = True
    first, second = (int(silhouettes(solid)[k].any(axis=0).sum()) for k in (3, 4))
    assert sorted((first, second))[0] <= 4
    assert sorted((first, second))[1] >= PIXELS - 2


def test_a_described_solid_needs_whole_pixels() -> None:
    with pytest.raises(ValueError, match="40"):
        descriptor(cube(40, 0, 40))


def test_iou_of_half_a_cube_is_a_half() -> None:
    whole, half = cube(16, 0, 16), cube(16, 0, 16)
    half[8:] = False
    assert volume_iou(whole, whole) == 1
    assert volume_iou(half, whole) == 0.5


def test_chamfer_distance_of_a_shifted_sheet_is_the_shift() -> None:
    sheet = np.stack([*np.meshgrid(np.linspace(-1, 1, 40), np.linspace(-1, 1, 40)), np.zeros((40, 40))], axis=-1)
    points = sheet.reshape(-1, 3)
    assert chamfer_distance(points, points) == 0
    assert chamfer_distance(points, points + np.array([0, 0, 0.3])) == pytest.approx(0.3)
    cubes = [surface_points(cube(32, *ends)) for ends in ((8, 24), (6, 26))]
    # Faces two voxels (0.125) apart; at corners and edges a little more one way.
    assert chamfer_distance(*cubes) == pytest.approx(0.13, abs=0.015)


def test_only_aligned_solids_are_moved_before_they_are_compared() -> None:
    whole, beside = cube(32, 4, 20), np.roll(cube(32, 4, 20), 8, axis=2)
    assert compare(whole, whole) == Shape(iou=1, chamfer=0, coverage=1)
    left, moved = compare(beside, whole), compare_aligned(beside, whole)
    assert left.iou == pytest.approx(1 / 3)
    assert left.coverage == pytest.approx(0.5)
    assert left.chamfer > 0.1
    assert moved == Shape(iou=1, chamfer=0, coverage=1)


def test_coverage_is_that_of_the_worst_side() -> None:
    whole, behind = cube(32, 4, 28), cube(32, 4, 28)
    behind[:, :, 16:] = False  # nothing in front: half of the view from the side
    assert coverage(whole, whole) == 1
    assert coverage(behind, whole) == pytest.approx(0.5, abs=0.01)
    assert coverage(np.zeros_like(whole), whole) == 0
