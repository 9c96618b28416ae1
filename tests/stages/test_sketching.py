"""Integration: runs that begin with what the prior draws from all around; a tiny random Zero123, made-up sketches."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from dreampgc import pipeline
from dreampgc.building import build_image_stage, view_guide
from dreampgc.cameras import fixed_views
from dreampgc.console import Console
from dreampgc.errors import Interrupted
from dreampgc.guidance.guides import ViewGuide
from dreampgc.priors.zero123 import Zero123Prior
from dreampgc.references import Picture
from dreampgc.render import render_image
from dreampgc.runs import create_run
from dreampgc.stages.sketching import STEPS, drawn_sketch, sketch, sketch_steps
from tests.photographs import image_config
from tests.small_runs import StopsAt, require_same
from tests.stages.test_image import ABLE, GREEN, pictures_of, train

QUIET = Console(quiet=True)


def green(azimuth: float) -> Picture:
    """A green ellipse, as it would be drawn from some side."""
    y, x = torch.meshgrid(*[torch.linspace(-1, 1, 64)] * 2, indexing="ij")
    mask = ((x / 0.5) ** 2 + (y / 0.7) ** 2 < 1).float()[None, None]
    return Picture(mask * torch.tensor(GREEN).view(1, 3, 1, 1), mask, azimuth, 10.0)


def test_the_prior_draws_evenly_around_the_picture(views: Zero123Prior, photo: Path, tmp_path: Path) -> None:
    config = image_config(photo, image__sketch_views=5, cameras__elevation=(0.0, 30.0))
    [picture] = pictures_of(config, tmp_path / "pictures")
    guide, done = view_guide(config, views, [picture]), []
    drawn = sketch(guide, config, picture, done.append)
    assert done == list(range(1, STEPS + 1))
    assert [each.azimuth for each in drawn] == [60.0, 120.0, 180.0, 240.0, 300.0]
    assert [each.elevation for each in drawn] == [10.0, 30.0, 0.0, 10.0, 30.0]  # within what cameras see
    size = views.image_size
    for each in drawn:
        assert (each.colour.shape, each.mask.shape) == ((1, 3, size, size), (1, 1, size, size))
        assert each.mask.min() >= 0 and each.mask.max() <= 1
        assert each.colour.min() >= 0 and each.over_white(size).max() <= 1 + 1e-6
    assert not torch.equal(drawn[0].colour, drawn[3].colour)
    for each, again in zip(drawn, sketch(guide, config, picture), strict=True):
        assert torch.equal(each.colour, again.colour)


def test_nothing_is_drawn_where_it_is_not_wanted_any_more(photo: Path, tmp_path: Path) -> None:
    def never() -> ViewGuide:
        raise AssertionError("the prior was asked")

    for number, (options, step) in enumerate(
        [({"image__sketch": 0.0}, 0), ({"image__guidance": 0.0, "image__sketch": 0.5}, 0), ({"image__sketch": 0.5}, 5)]
    ):
        config = image_config(photo, loop__steps=10, **options)
        run = create_run(config, tmp_path / f"run-{number}")
        run.update(step=step)
        [picture] = pictures_of(config, tmp_path / "pictures")
        assert drawn_sketch(run, config, never, picture, QUIET) == []


@pytest.mark.parametrize(("share", "steps", "expected"), [(0.0, 10, 0), (0.01, 10, 1), (0.25, 10, 3), (1.0, 10, 10)])
def test_how_long_it_is_copied(photo: Path, share: float, steps: int, expected: int) -> None:
    assert sketch_steps(image_config(photo, image__sketch=share, loop__steps=steps)) == expected


def test_the_field_copies_it_where_nothing_is_known_and_the_picture_in_front(
    views: Zero123Prior, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = image_config(photo, **ABLE, loop__steps=150, image__sketch=1.0, cameras__batch=2)
    drawn = [green(azimuth) for azimuth in (90.0, 180.0, 270.0)]
    pictures = pictures_of(config, tmp_path / "pictures")
    stage = build_image_stage(config, views, pictures, sketch=drawn)
    monkeypatch.setattr(stage.guidance, "image_gradient", lambda *_: pytest.fail("the prior was asked"))
    lines = train(stage, tmp_path / "run")
    assert lines[-1]["sketch_rgb"] < 0.3 * lines[0]["sketch_rgb"]
    assert lines[-1]["rgb"] < 0.5 * lines[0]["rgb"]
    assert "t" not in lines[0]
    white, state = torch.ones(2, 3), stage.state
    cameras = fixed_views([0.0, 180.0], elevation=10.0)
    out = render_image(state.field, cameras, state.grid, height=32, width=32, samples=96, background=white)
    wanted = torch.cat([pictures[0].over_white(32), drawn[1].over_white(32)])
    errors = (out.image - wanted).square().mean(dim=(1, 2, 3))
    other = (out.image[1] - wanted[0]).square().mean()
    assert errors.max() < 0.025 and other > 0.05


def test_then_the_prior_is_asked(views: Zero123Prior, photo: Path, tmp_path: Path) -> None:
    config = image_config(photo, loop__steps=6, image__sketch=0.5, cameras__batch=3)
    drawn = [green(azimuth) for azimuth in (90.0, 180.0, 270.0)]
    stage = build_image_stage(config, views, pictures_of(config, tmp_path / "pictures"), sketch=drawn)
    seen = [stage._occasion(step) for step in range(6)]
    for occasion in seen[:3]:
        assert set(occasion.views.azimuth.tolist()) <= {90.0, 180.0, 270.0}
        assert [90.0 * (1 + number) for number in occasion.sketched.tolist()] == occasion.views.azimuth.tolist()
    assert all(len(occasion.sketched) == 0 for occasion in seen[3:])
    assert seen[0].kind != seen[3].kind
    lines = train(stage, tmp_path / "run")
    assert ["t" in line for line in lines] == ["sketch_rgb" not in line for line in lines] == [False] * 3 + [True] * 3


def test_a_run_that_stops_while_it_copies_goes_on_bit_for_bit(
    tiny_zero123: Path, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There are pictures of gradients only of steps that had some; the sketch is there to be looked at."""
    options = {"prior": str(tiny_zero123), "image__sketch": 0.6, "image__sketch_views": 3, "loop__gradient_every": 5}
    config = image_config(photo, loop__steps=20, **options)
    whole = pipeline.create(config, tmp_path / "whole", QUIET)
    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "Loop", StopsAt)
        with pytest.raises(Interrupted, match="after step 10"):
            pipeline.create(config, tmp_path / "parts", QUIET)
    pipeline.resume(tmp_path / "parts", QUIET)
    require_same(whole, tmp_path / "parts", 20)
    assert [path.stem for path in sorted((whole / "gradients").iterdir())] == ["step-000015", "step-000020"]
    with Image.open(whole / "sketch.png") as sheet:
        assert sheet.width > 32 and sheet.height > 32
    assert json.loads((whole / "run.json").read_text())["state"] == "done"
