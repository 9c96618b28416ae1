"""Reference, integration and fault: what is right is found right, what is wrong wrong, and nothing is done twice."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import evaluate_images as script
import numpy as np
import pytest
import torch
from evaluation import image_tasks, objects
from evaluation.image_report import elevation_errors, save_sheet, table_of_variants, text_of
from evaluation.image_tasks import RunTask, Settings, ViewsTask, make_tasks, read_variants
from evaluation.novel import compare_shapes, compare_views, look_at, resized
from evaluation.objects import ELEVATIONS, HeldOut, Truth, draw_objects
from PIL import Image

from dreampgc import pipeline
from dreampgc.cameras import Views
from dreampgc.config import from_toml, to_toml
from dreampgc.errors import Interrupted, TrainingError
from dreampgc.guidance.elevation import Estimate, silhouette
from dreampgc.mesh.export import export_mesh
from dreampgc.photos import load_photo
from dreampgc.types import Mesh
from dreampgc.world import render as world
from dreampgc.world.mesh import world_mesh
from dreampgc.world.objects import CLASSES, HELD_OUT_SEED, Caption
from dreampgc.world.paints import ATTRIBUTES
from dreampgc.world.scene import albedo, make_scene
from tests.guidance.oracle import OraclePrior
from tests.photographs import image_config
from tests.priors.families import write_zero123
from tests.small_runs import SMALL

SIZE = 32
DUCK = HeldOut(0, Caption("duck", "orange"), HELD_OUT_SEED + 3, 20.0)
MUG = HeldOut(1, Caption("mug", "blue"), HELD_OUT_SEED + 4, 35.0)
#: A run small enough for tests, as part of a variant.
TINY = ",".join(f"{k}={v}" for k, v in {**SMALL, "loop.steps": 2, "image.size": 64}.items() if "." in k)


@pytest.fixture(scope="module", autouse=True)
def coarse() -> Iterator[None]:
    """Pictures that are made quickly."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(objects, "STEPS", 48)
        patch.setattr(objects, "PICTURE", 64)
        yield


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def duck(cache: Path, coarse: None) -> Truth:
    return Truth.of(DUCK, cache, SIZE)


def lit_mesh(subject: HeldOut) -> Mesh:
    """The object as a mesh whose colours hold the studio's light, as those of a good run do."""
    scene = make_scene([subject.item])
    mesh = world_mesh(scene, resolution=80)
    points = torch.from_numpy(mesh.vertices)[None]
    normals = world._normals(scene, points, world.signed_distance)
    openness = world._openness(scene, points, normals, world.signed_distance)
    everywhere = torch.ones(points.shape[:2])
    surface = world.Surface(points, normals, everywhere > 0, everywhere, openness)
    lit = surface.lit(albedo(scene, points), world.studio_light(1))
    return replace(mesh, colors=lit[0].numpy(), normals=normals[0].numpy())


def moved(mesh: Mesh, *offset: float) -> Mesh:
    return replace(mesh, vertices=mesh.vertices + np.array(offset, dtype=np.float32))


def finish(task: RunTask, mesh: Mesh, **record: Any) -> None:
    """A run folder as if training had made ``mesh``."""
    task.path.mkdir(parents=True)
    facts = {"format": 1, "state": "done", "timings": {"train": 7.0}, **record}
    (task.path / "run.json").write_text(json.dumps(facts))
    (task.path / "config.toml").write_text(to_toml(image_config(Path("reference.png"))))
    export_mesh(mesh, task.path / "mesh.ply")


def run_task(subject: HeldOut, folder: Path, cache: Path, variant: str = "pgc-n", **settings: Any) -> RunTask:
    [task] = make_tasks([subject], [0], read_variants([variant]), Settings(folder, cache, size=SIZE, **settings))
    assert isinstance(task, RunTask)
    return task


def test_the_objects_are_as_mixed_as_they_should_be() -> None:
    drawn = draw_objects(24)
    captions = [one.caption for one in drawn]
    assert len({caption.name for caption in captions}) == 24
    assert set(Counter(caption.attribute for caption in captions)) == set(ATTRIBUTES)
    assert 5 <= sum(caption.held_out for caption in captions) <= 7
    assert all(caption.base is None for caption in captions)
    assert all(one.seed >= HELD_OUT_SEED and ELEVATIONS[0] <= one.elevation <= ELEVATIONS[1] for one in drawn)
    assert len({one.elevation for one in drawn}) > 20
    assert len({one.slug for one in drawn}) == 24
    # Asked for more, the first ones stay, and classes come again in other shapes.
    more = draw_objects(len(CLASSES) + 2)
    assert more[:24] == drawn
    assert more[0].caption.name == more[len(CLASSES)].caption.name
    assert more[0].seed != more[len(CLASSES)].seed
    assert draw_objects(24, seed=1) != drawn


@pytest.mark.parametrize("elevation", [0.0, 14.9, 40.0])
def test_unseen_views_are_far_from_the_picture_s(elevation: float) -> None:
    subject = replace(DUCK, elevation=elevation)
    views, unseen = subject.views(), subject.unseen()
    a, b = (torch.deg2rad(x) for x in (views.azimuth, views.elevation))
    cosine = b[0].sin() * b.sin() + b[0].cos() * b.cos() * (a - a[0]).cos()  # on the sphere of directions
    assert torch.equal(unseen, torch.rad2deg(cosine.clamp(-1, 1).acos()) > 29.99)
    assert (len(views), views.elevation[0].item(), bool(unseen[0])) == (17, pytest.approx(elevation), False)
    assert 14 <= int(unseen.sum()) <= 15


def test_the_picture_is_what_its_camera_sees_of_the_truth(tmp_path: Path, cache: Path, duck: Truth) -> None:
    settings = Settings(tmp_path, cache, size=SIZE)
    settings.prepare(DUCK)
    rgba = load_photo(settings.place(DUCK) / "reference.png", SIZE, background="alpha", framing="keep").rgba[None]
    seen = rgba[:, :3] * rgba[:, 3:] + 1 - rgba[:, 3:]
    # Two renders with unlike samples: their outlines differ a little.
    assert (seen - duck.image[:1]).abs().mean() < 0.01
    assert ((rgba[:, 3] > 0.5) == duck.mask[:1]).float().mean() > 0.98
    with Image.open(settings.place(DUCK) / "sides.png") as sides:
        assert sides.size == (2 * SIZE, SIZE)
        behind, right = np.split(np.asarray(sides), 2, axis=1)
    places = list(zip(duck.views.azimuth.tolist(), duck.views.elevation.tolist(), strict=True))
    for frame, place in ((behind, (135, 30)), (right, (270, 30))):
        truth = duck.image[places.index(place)].permute(1, 2, 0).numpy()
        np.testing.assert_allclose(frame / 255, truth, atol=0.003)


def test_the_truth_is_made_once(duck: Truth, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "_made", None)
    again = Truth.of(DUCK, cache, SIZE)
    assert torch.equal(again.image, duck.image)
    assert np.array_equal(again.placed, duck.placed)
    with pytest.raises(TypeError):  # pictures from elsewhere are others
        Truth.of(replace(DUCK, elevation=21.0), cache, SIZE)


def test_pictures_of_the_truth_are_right_and_others_are_not(duck: Truth, cache: Path) -> None:
    perfect = compare_views(duck.image, duck.mask, duck)
    assert (perfect["psnr"], perfect["silhouette_iou"]) == (pytest.approx(100), pytest.approx(1))
    assert perfect["picture_psnr"] == pytest.approx(100)
    mug = Truth.of(MUG, cache, SIZE)
    wrong = compare_views(mug.image, mug.mask, duck)
    assert wrong["psnr"] < 20
    assert wrong["silhouette_iou"] < 0.8
    # What only the picture's side gets right counts only there.
    image, mask = mug.image.clone(), mug.mask.clone()
    image[0], mask[0] = duck.image[0], duck.mask[0]
    assert compare_views(image, mask, duck) == {**wrong, "picture_psnr": pytest.approx(100)}


def test_the_object_s_own_mesh_is_right(duck: Truth, cache: Path) -> None:
    mesh = lit_mesh(DUCK)
    seen = compare_views(*look_at(mesh, duck), duck)
    assert min(seen["psnr"], seen["picture_psnr"]) > 27  # outlines and fine details are a mesh's
    assert seen["silhouette_iou"] > 0.95
    shape = compare_shapes(mesh, duck)
    assert min(shape["iou"], shape["aligned_iou"]) > 0.9
    assert max(shape["chamfer"], shape["aligned_chamfer"]) < 0.03

    beside = compare_shapes(moved(mesh, 0.2, 0.1, 0), duck)
    assert beside["iou"] < 0.6
    assert beside["chamfer"] > 0.08
    assert beside["aligned_iou"] > 0.9
    other = Truth.of(MUG, cache, SIZE)
    wrong = {**compare_shapes(mesh, other), **compare_views(*look_at(mesh, other), other)}
    assert max(wrong["iou"], wrong["aligned_iou"]) < 0.6
    assert wrong["psnr"] < 20
    assert wrong["silhouette_iou"] < 0.8


def test_a_mesh_that_encloses_nothing_shares_no_volume(duck: Truth) -> None:
    sheet = Mesh(np.eye(3, dtype=np.float32), np.array([[0, 1, 2], [0, 2, 1]]))
    assert compare_shapes(sheet, duck) == {"iou": 0.0, "chamfer": None, "aligned_iou": 0.0, "aligned_chamfer": None}


def test_a_perfect_run_and_a_wrong_one(tmp_path: Path, duck: Truth, cache: Path) -> None:
    right = run_task(DUCK, tmp_path, cache)
    finish(right, lit_mesh(DUCK))
    row = script.evaluate(right)
    assert (row["object"], row["held_out"], row["variant"]) == ("an orange duck", DUCK.caption.held_out, "pgc-n")
    assert (row["watertight"], row["seconds"], "elevation_error" in row) == (True, 7.0, False)
    assert row["iou"] > 0.9
    assert row["psnr"] > 27
    wrong = run_task(DUCK, tmp_path, cache, "vae")
    finish(wrong, lit_mesh(MUG))
    rows = [row, script.evaluate(wrong)]
    assert rows[1]["iou"] < 0.6
    table = table_of_variants(rows)
    assert f"{row['psnr']:.2f}" in table.splitlines()[2]
    assert "100 % (1/1)" in table

    (right.path / "mesh.ply").unlink()  # what was measured is not measured again
    assert script.evaluate(right) == row
    anew = run_task(DUCK, tmp_path, cache, only_measure=True)  # but where that is asked for
    assert "error" in script.evaluate(anew)


def test_an_estimated_elevation_is_judged(tmp_path: Path, duck: Truth, cache: Path) -> None:
    task = run_task(DUCK, tmp_path, cache, estimate=True)
    assert task.path.parts[-3] == "pgc-n+estimated"
    finish(task, lit_mesh(DUCK), elevation=27.5)
    row = script.evaluate(task)
    assert row["elevation_error"] == pytest.approx(7.5)


def test_configurations(tmp_path: Path, cache: Path) -> None:
    given = run_task(DUCK, tmp_path, cache, "vae").config()
    assert (given.task, given.guidance.method, given.image.elevation, given.image.framing) == (
        "image",
        "vae",
        20.0,
        "keep",
    )
    assert (given.image.distance, given.image.fov, given.cameras.distance) == (2.4, 45.0, (2.4, 2.4))
    alone = run_task(DUCK, tmp_path, cache, "reference", estimate=True, preset="high").config()
    assert (alone.image.guidance, alone.image.elevation, alone.preset, alone.cameras.batch) == (0.0, "auto", "high", 4)
    soft = run_task(DUCK, tmp_path, cache, "soft:guidance.clip=0.3,image.elevation=5").config()
    assert (soft.guidance.clip, soft.image.elevation) == (0.3, 5.0)
    assert from_toml(to_toml(soft)) == soft


def test_a_prior_that_knows_the_truth(
    tmp_path: Path, duck: Truth, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its novel views are right, poses are relative to the picture's, and it finds the elevation."""
    scene = make_scene([DUCK.item])

    def paint(views: Views) -> torch.Tensor:
        copies = scene[torch.zeros(len(views), dtype=torch.long)]
        return world.render_world(copies, views, 2 * SIZE, supersample=1, steps=48).over(torch.ones(3))

    oracle = OraclePrior(paint, DUCK.elevation, size=2 * SIZE)
    monkeypatch.setattr(image_tasks, "_read", lambda name, device: oracle)
    settings = Settings(tmp_path, cache, size=SIZE)
    settings.prepare(DUCK)
    # Guidance beyond 1 would exaggerate what an oracle says.
    [task] = make_tasks([DUCK], [0], read_variants(["views:guidance.scale=1"]), settings)
    assert isinstance(task, ViewsTask)
    row = script.evaluate(task)
    best = resized(oracle.decode(oracle.encode(paint(DUCK.views()))), SIZE)  # its latents are half as fine
    possible = compare_views(best, silhouette(best)[:, 0] > 0.5, duck)
    assert row["psnr"] > possible["psnr"] - 1
    assert row["silhouette_iou"] > possible["silhouette_iou"] - 0.03
    # Where a picture is not nearly white, there is an edge's width of what is hardly object.
    assert possible["silhouette_iou"] < row["silhouette_limit"] < 0.95
    assert row["elevation_error"] < 6
    assert oracle.poses[-1][0].tolist() == [0, 0, 0]
    asked = len(oracle.poses)
    assert script.evaluate(task) == row
    (task.path / "measurements.json").unlink()  # measured again, but not sampled again
    assert script.evaluate(task) == row
    assert len(oracle.poses) == asked

    # Poses are told relative to an estimate only where elevations are not given.
    wrong = Estimate(DUCK.elevation + 20, ())
    monkeypatch.setattr(image_tasks, "judged_elevation", lambda config, prior, picture: wrong)
    shutil.rmtree(task.path)
    assert script.evaluate(task) == {**row, "estimate": wrong.elevation, "elevation_error": pytest.approx(20)}
    [untold] = make_tasks([DUCK], [0], read_variants(["views:guidance.scale=1"]), replace(settings, estimate=True))
    assert script.evaluate(untold)["psnr"] < row["psnr"] - 5


def test_samples_of_another_size_are_compared_at_one() -> None:
    image = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    assert torch.equal(resized(image, 64), image)
    assert resized(image, 32).shape == (2, 3, 32, 32)
    assert resized(image, 16).std() < image.std() / 2


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory, cache: Path, coarse: None) -> Path:
    """A whole evaluation by the command line with a tiny random Zero123, not to be changed."""
    folder = tmp_path_factory.mktemp("evaluation")
    write_zero123(folder / "prior")
    with pytest.MonkeyPatch.context() as patch:
        assert command(patch, folder, folder / "out", cache) == 0
    return folder


def command(patch: pytest.MonkeyPatch, folder: Path, output: Path, cache: Path, *more: str) -> int:
    line = ["--output", str(output), "--cache", str(cache), "--size", str(SIZE), "--device", "cpu"]
    line += ["--prior", str(folder / "prior"), "--preset", "draft"]
    line += ["--variants", "views", f"pgc-n:{TINY}", f"reference:image.guidance=0,{TINY}"]
    patch.setattr("sys.argv", ["evaluate_images.py", *line, *more])
    patch.setattr(script, "draw_objects", lambda count: [DUCK, MUG][:1])
    return script.main()


def test_the_whole_evaluation(evaluated: Path) -> None:
    report = (evaluated / "out" / "report.md").read_text(encoding="utf-8")
    rows = json.loads((evaluated / "out" / "report.json").read_text())["rows"]
    assert [row["variant"] for row in rows] == ["views", "pgc-n", "reference"]
    for row in rows:
        assert 0 <= row["silhouette_iou"] <= 1
        assert f"| {row['variant']} | all | 1 | 0 | {row['psnr']:.2f} |" in report
        assert ("iou" in row) == (row["variant"] != "views")
    assert "20 degrees for all" in report
    with Image.open(evaluated / "out" / "sheet.png") as sheet:
        assert sheet.width == 9 * (SIZE + 6) + 6
    run = evaluated / "out" / "reference" / "seed-0" / DUCK.slug
    assert from_toml((run / "config.toml").read_text()).image.guidance == 0


def test_it_goes_on_where_it_stopped(
    evaluated: Path, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = shutil.copytree(evaluated / "out", tmp_path / "out")
    lost = output / "pgc-n" / "seed-0" / DUCK.slug
    shutil.rmtree(lost)
    made: list[Path] = []
    create = pipeline.create
    monkeypatch.setattr(pipeline, "create", lambda c, path, console: (made.append(path), create(c, path, console))[1])
    assert command(monkeypatch, evaluated, output, cache) == 0
    assert made == [lost]
    before, after = (json.loads((folder / "report.json").read_text()) for folder in (evaluated / "out", output))
    for row in (*before["rows"], *after["rows"]):
        row.pop("seconds", None)
    assert before == after  # everything is seeded


def test_only_measuring_makes_nothing_and_needs_no_prior(
    evaluated: Path, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = shutil.copytree(evaluated / "out", tmp_path / "out")
    shutil.rmtree(output / "reference")
    (output / "pgc-n" / "seed-0" / DUCK.slug / "measurements.json").write_text("{}")
    assert command(monkeypatch, tmp_path, output, cache, "--only-measure") == 1
    rows = json.loads((output / "report.json").read_text())["rows"]
    assert [row.get("error") for row in rows] == [None, None, "MissingError: nothing was made yet"]
    assert rows[1]["iou"] == json.loads((evaluated / "out" / "report.json").read_text())["rows"][1]["iou"]
    assert not (output / "reference" / "seed-0" / DUCK.slug / "run.json").exists()


def test_a_prior_that_is_not_there_is_one_sentence(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(monkeypatch, tmp_path, tmp_path / "out", cache) == 2
    assert capsys.readouterr().err.startswith("error: no prior ")
    assert not (tmp_path / "out").exists()


def test_runs_of_other_settings_are_not_taken_for_these(
    evaluated: Path, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    output = shutil.copytree(evaluated / "out", tmp_path / "out")
    for more in (["--preset", "high"], ["--size", "16"], ["--variants", "pgc-n"]):
        assert command(monkeypatch, evaluated, output, cache, *more) == 2
        assert "was made with other settings" in capsys.readouterr().err
    assert command(monkeypatch, evaluated, output, cache, "--variants", "views") == 0
    assert set(json.loads((output / "settings.json").read_text())["variants"]) == {"views", "pgc-n", "reference"}
    # What was measured anew in another size is of that size from now on; the report says what the runs were made with.
    assert command(monkeypatch, evaluated, output, cache, "--only-measure", "--size", "16", "--preset", "high") == 0
    assert json.loads((output / "report.json").read_text())["settings"]["preset"] == "draft"
    assert json.loads((output / "settings.json").read_text())["size"] == 16


@pytest.mark.parametrize("error", [TrainingError("not finite"), RuntimeError("out of memory")])
def test_a_run_that_fails_is_a_row_with_its_error(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(task: RunTask) -> None:
        raise error

    monkeypatch.setattr(RunTask, "make", fail)
    task = run_task(DUCK, tmp_path, cache)
    row = script.evaluate(task)
    assert row["error"] == f"{type(error).__name__}: {error}"
    assert not (task.path / "measurements.json").exists()  # tried again the next time
    assert "| pgc-n | all | 1 | 1 | – | – | – |" in table_of_variants([row])
    text = text_of([row], {"prior": "tiny"})
    assert "No elevation was estimated." in text
    assert f"failed: {row['error']}" in text
    task.settings.prepare(DUCK)
    save_sheet([task], tmp_path / "sheet.png")  # with gray places


def test_who_stops_the_evaluation_stops_it(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(task: RunTask) -> None:
        raise Interrupted("stopped", 130)

    monkeypatch.setattr(RunTask, "make", stop)
    with pytest.raises(Interrupted):
        script.evaluate(run_task(DUCK, tmp_path, cache))
    write_zero123(tmp_path / "prior")
    assert command(monkeypatch, tmp_path, tmp_path / "out", cache) == 130


def test_the_distribution_of_elevation_errors() -> None:
    errors = [0.0, 1.0, 2.0, 3.0, 14.0]
    rows = [
        {"variant": "views", "number": k, "elevation": 10.0 + k, "elevation_error": error}
        for k, error in enumerate(errors)
    ]
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in elevation_errors(rows).splitlines()]
    assert lines[2] == ["views", "5", "4.0", "2.0", "9.6", "14.0"]
    assert lines[3] == ["20 degrees for all", "5", "8.0", "8.0", "9.6", "10.0"]
