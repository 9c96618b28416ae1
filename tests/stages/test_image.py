"""Integration and property: fields from pictures, guided by a tiny random Zero123, or by nobody."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from dreampgc import references
from dreampgc.building import build_image_stage
from dreampgc.cameras import Views, fixed_views
from dreampgc.config import RunConfig
from dreampgc.console import Console
from dreampgc.errors import InputError
from dreampgc.guidance.guides import ViewGuide
from dreampgc.guidance.sds import Blend
from dreampgc.priors.diffusion import DiffusionPrior
from dreampgc.priors.zero123 import Zero123Prior
from dreampgc.references import Picture
from dreampgc.render import OccupancyGrid, render_image
from dreampgc.runs import Run, create_run
from dreampgc.stages.image import ImageStage, as_seen
from dreampgc.stages.loop import Loop
from dreampgc.stages.posing import ASSUMED, placed_pictures
from tests.photographs import image_config, write_photo
from tests.small_runs import metrics

QUIET = Console(quiet=True)
GREEN, YELLOW = (0.1, 0.8, 0.1), (0.9, 0.9, 0.1)


def pictures_of(config: RunConfig, folder: Path) -> list[Picture]:
    """The pictures of a run whose elevations are all given."""
    folder.mkdir(exist_ok=True)
    return references.load(config.image, folder, config.seed)


def built(config: RunConfig, prior: Any, folder: Path, text: Any = None) -> ImageStage:
    return build_image_stage(config, prior, pictures_of(config, folder), text)


def train(stage: ImageStage, folder: Path) -> list[dict[str, Any]]:
    """The metrics of the stage's whole run."""
    run, state = create_run(stage.config, folder), stage.state
    with run.active(), Loop(run, stage.config.loop, QUIET, save=state.save, load=state.load) as loop:
        stage.train(loop)
    return metrics(folder)


def azimuths(stage: ImageStage, step: int) -> Tensor:
    """Where a step looks from, in degrees."""
    return stage._occasion(step).views.azimuth


def compared(stage: ImageStage, step: int = 0) -> dict[str, float]:
    """By how much the field differs from a picture, weighted, as a mean over pixels."""
    stage.now = stage._occasion(step)
    _, misfits = stage._compare()
    return {name: misfit.item() / stage.prior.image_size**2 for name, misfit in misfits.items()}


def known(stage: ImageStage, number: int = 0, size: int = 32) -> tuple[Tensor, Tensor]:
    """Colours and opacities of the field from one picture's camera, over white."""
    camera, white = stage.cameras[number : number + 1], torch.ones(1, 3)
    state = stage.state
    out = render_image(state.field, camera, state.grid, height=size, width=size, samples=96, background=white)
    return out.image, out.opacity


#: A field that can hold a picture; the prior's have a sixteenth of the pixels that the regulariser is made for.
ABLE = {
    "field__log2_hashmap_size": 13,
    "field__hidden": 16,
    "regularisers__opacity_entropy": 2.0,
    "render__resolution": 32,
    "render__start_resolution": 32,
    "image__rgb": 1.0,
    "image__mask": 0.5,
}
FREE = {**ABLE, "loop__steps": 80, "image__guidance": 0.0}


def test_alone_the_picture_is_fitted_and_no_prior_is_asked(
    views: Zero123Prior, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: Any, **__: Any) -> Any:
        raise AssertionError("the prior was asked")

    for name in ("condition", "view", "predict_noise", "encode", "encode_with_vjp"):
        monkeypatch.setattr(views, name, never)
    stage = built(image_config(photo, **FREE), views, tmp_path / "pictures")
    lines = train(stage, tmp_path / "run")
    image, opacity = known(stage)
    picture = stage.pictures[0].resized(32)
    assert (image - picture.over_white(32)).square().mean() < 0.01  # a PSNR of 20 dB; white alone has 6
    inside, true = opacity > 0.5, picture.mask > 0.5
    assert (inside & true).sum() / (inside | true).sum() > 0.9
    assert "t" not in lines[0] and "gradient_median" not in lines[0]
    assert lines[-1]["rgb"] < 0.2 * lines[0]["rgb"]


def test_what_the_pictures_say_is_learned_beside_the_guidance(views: Zero123Prior, photo: Path, tmp_path: Path) -> None:
    lines = train(built(image_config(photo, **ABLE, loop__steps=80), views, tmp_path / "pictures"), tmp_path / "run")
    for name in ("rgb", "mask"):
        assert np.mean([line[name] for line in lines[-5:]]) < 0.5 * np.mean([line[name] for line in lines[:5]])
    assert all(line["gradient_median"] > 0 and line["bad_steps"] == 0 for line in lines)


def test_several_pictures_are_each_seen_from_their_own_side(views: Zero123Prior, photo: Path, tmp_path: Path) -> None:
    back = write_photo(tmp_path / "back.png", colours=(GREEN, YELLOW))
    config = image_config(photo, **FREE | {"loop__steps": 150}, image__views=((str(back), 180.0, 10.0),))
    stage = built(config, views, tmp_path / "pictures")
    assert sorted(path.name for path in (tmp_path / "pictures").iterdir()) == ["reference-1.png", "reference.png"]
    train(stage, tmp_path / "run")
    shown = [picture.over_white(32) for picture in stage.pictures]
    for number, other in ((0, 1), (1, 0)):
        image, _ = known(stage, number)
        errors = [(image - shown[which]).square().mean().item() for which in (number, other)]
        assert errors[0] < 0.015 and errors[1] > 0.05


def test_views_are_told_by_the_picture_that_is_nearest(views: Zero123Prior, photo: Path, tmp_path: Path) -> None:
    config = image_config(photo, image__views=((str(photo), 180.0, 30.0),))
    stage = built(config, views, tmp_path / "pictures")
    assert isinstance(stage.guidance, Blend)
    [(weight, part)] = stage.guidance.parts.values()
    assert weight == config.image.guidance
    assert isinstance(part.guide, ViewGuide)
    assert [reference.elevation for reference in part.guide._references] == [10.0, 30.0]
    assert part.guide._nearest(fixed_views([10.0, 170.0])).tolist() == [0, 1]


def test_a_prompt_adds_the_guidance_of_a_second_prior(
    views: Zero123Prior, mini: DiffusionPrior, photo: Path, tmp_path: Path
) -> None:
    config = image_config(photo, prompt="a wooden car", loop__steps=2, cameras__batch=2)
    stage = built(config, views, tmp_path / "pictures", mini)
    assert set(stage.guidance.priors) == {views, mini}
    lines = train(stage, tmp_path / "run")
    assert lines[0].keys() >= {"t", "text_t", "gradient_median", "text_gradient_median", "rgb", "mask"}
    alone = built(image_config(photo, image__guidance=0.0, prompt="a car"), views, tmp_path / "pictures", mini)
    assert alone.guidance.priors == (mini,)


def test_a_blend_is_the_weighted_sum_of_its_parts(
    views: Zero123Prior, mini: DiffusionPrior, photo: Path, tmp_path: Path
) -> None:
    def gradient(**weights: float) -> Tensor:
        config = image_config(photo, prompt="a wooden car", **{f"image__{k}": w for k, w in weights.items()})
        stage = built(config, views, tmp_path / "pictures", mini)
        torch.manual_seed(0)
        return stage.guidance.image_gradient(torch.full((1, 3, 24, 24), 0.5), fixed_views([20.0]), 0)

    one, three = gradient(guidance=1.0, text=0.0), gradient(guidance=3.0, text=0.0)
    torch.testing.assert_close(three, 3 * one)
    assert not torch.allclose(gradient(guidance=1.0, text=0.5), one)
    assert gradient(guidance=0.0, text=0.0).abs().max() == 0


def test_the_circle_opens_over_the_first_part_of_the_run(views: Zero123Prior, photo: Path, tmp_path: Path) -> None:
    options = {"loop__steps": 100, "image__azimuth_start": 30.0, "image__azimuth_ramp": 0.5, "cameras__batch": 64}
    stage = built(image_config(photo, **options), views, tmp_path / "pictures")
    for step, most in ((0, 30.0), (25, 105.0), (50, 180.0), (99, 180.0)):
        widest = ((azimuths(stage, step) + 180) % 360 - 180).abs().max().item()
        assert 0.9 * most < widest <= most


def test_around_which_picture_is_left_to_chance(views: Zero123Prior, photo: Path, tmp_path: Path) -> None:
    options = {"image__views": ((str(photo), 90.0, 0.0),), "image__azimuth_start": 10.0, "cameras__batch": 64}
    stage = built(image_config(photo, **options), views, tmp_path / "pictures")
    seen = azimuths(stage, 0)
    near = [(seen - centre).abs() <= 10 for centre in (0.0, 90.0)]
    assert (near[0] | near[1]).all()
    assert min(x.float().mean() for x in near) > 0.25  # four standard deviations of 64 coins


def test_the_preview_shows_the_picture_beside_the_render(views: Zero123Prior, photo: Path, tmp_path: Path) -> None:
    config = image_config(photo, image__views=((str(photo), 90.0, 0.0),))
    stage, size = built(config, views, tmp_path / "pictures"), views.image_size
    before = stage.state.save()[0]["generator"].clone()
    preview = stage.preview(1)
    assert (preview.shape, preview.dtype) == ((2 * size, 6 * size, 3), np.uint8)
    shown = (stage.pictures[0].over_white(size)[0].permute(1, 2, 0) * 255).round().byte().numpy()
    assert np.array_equal(preview[:size, :size], shown)
    assert torch.equal(stage.state.save()[0]["generator"], before)


def test_both_are_seen_over_the_same_colour(views: Zero123Prior, photo: Path, tmp_path: Path) -> None:
    """An empty field differs from the picture inside of its mask only, whatever the colour behind."""
    stage = built(image_config(photo, image__rgb=1.0, image__mask=1.0), views, tmp_path / "pictures")
    stage.state.grid = Nothing()
    picture = stage.pictures[0].resized(stage._resolution(0))
    for _ in range(3):
        misfits = compared(stage)
        assert misfits["mask"] == pytest.approx(picture.mask.square().mean().item(), rel=1e-4)
        assert 0 < misfits["rgb"] <= 3 * picture.mask.mean().item()


class Nothing(OccupancyGrid):
    """A grid without matter: rays meet nothing."""

    def __init__(self) -> None:
        super().__init__(8)
        self.lower.fill_(-1)


class Sphere:
    """In the place of a field: a grey ball of radius 0.5."""

    def __call__(self, positions: Tensor, directions: Tensor | None) -> tuple[Tensor, Tensor]:
        density = 200.0 * torch.sigmoid((0.5 - positions.norm(dim=-1)) * 100)
        return density, torch.full_like(positions, 0.5)


def test_depth_and_normals_that_are_right_cost_little(views: Zero123Prior, photo: Path, tmp_path: Path) -> None:
    stage = built(image_config(photo, image__depth=1.0, image__normals=1.0), views, tmp_path / "pictures")
    size, state = stage._resolution(0), stage.state
    state.field = Sphere()  # type: ignore[assignment]
    white = torch.ones(1, 3)
    frame: dict[str, Any] = {"height": size, "width": size, "samples": 192, "background": white, "normals": True}
    truth = render_image(state.field, stage.cameras, state.grid, **frame)
    assert truth.normals is not None
    true = replace(
        stage.pictures[0],
        mask=(truth.opacity > 0.9).float(),
        colour=truth.image,
        depth=5 * truth.depth + 1,  # in any scale
        normals=as_seen(truth.normals, stage.cameras),
    )
    found = {}
    assert true.depth is not None and true.normals is not None
    wrong = {"depth": -true.depth, "normals": true.normals.flip(1)}
    for name, picture in (("right", true), ("wrong", replace(true, **wrong))):
        stage.pictures = [picture]
        stage._picture.cache_clear()
        found[name] = compared(stage)
    assert max(found["right"][key] for key in ("depth", "normals")) < 0.1
    assert found["wrong"]["depth"] > 1.5 and found["wrong"]["normals"] > 0.5


@pytest.mark.parametrize(("azimuth", "elevation"), [(0.0, 0.0), (90.0, 0.0), (200.0, 50.0)])
def test_normals_as_seen_by_the_camera(azimuth: float, elevation: float) -> None:
    """What faces the camera is blue, whatever its place in the world; what faces up of the camera is green."""
    camera = Views(*(torch.tensor([x]) for x in (azimuth, elevation, 2.4, 45.0)))
    right, up, forward = camera.axes()
    for axis, expected in ((right, (1.0, 0.0, 0.0)), (up, (0.0, 1.0, 0.0)), (-forward, (0.0, 0.0, 1.0))):
        seen = as_seen(axis[:, :, None, None], camera)
        torch.testing.assert_close(seen[0, :, 0, 0], torch.tensor(expected), atol=1e-5, rtol=0)


def test_the_elevation_is_found_once_and_stays(
    views: Zero123Prior, photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = image_config(photo, image__elevation="auto")
    run = create_run(config, tmp_path / "run")
    first = placed_pictures(run, config, views, Console())[0].elevation
    assert "estimated" in capsys.readouterr().err
    assert run.record["elevation"] == first
    assert set(run.record["elevation_misfits"]) == {f"{degrees}" for degrees in range(-20, 71, 10)}
    run.update(elevation=12.5)
    assert placed_pictures(run, config, views, Console())[0].elevation == 12.5
    assert capsys.readouterr().err == ""


def test_without_guidance_no_prior_is_asked_for_the_elevation(
    photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = image_config(photo, image__elevation="auto", image__guidance=0.0)
    run = create_run(config, tmp_path / "run")
    [picture] = placed_pictures(run, config, None, Console())  # type: ignore[arg-type]
    assert picture.elevation == run.record["elevation"] == ASSUMED
    assert "assumed" in capsys.readouterr().err


def test_a_method_without_colours_is_refused(photo: Path) -> None:
    with pytest.raises(InputError, match="latent has no colours"):
        image_config(photo, guidance__method="latent")
    assert image_config(photo, guidance__method="vae").guidance.method == "vae"


def test_given_elevation_is_recorded(views: Zero123Prior, photo: Path, tmp_path: Path) -> None:
    run = create_run(image_config(photo), tmp_path / "run")
    placed_pictures(run, run.config, views, QUIET)
    assert Run(run.path).record["elevation"] == 10.0
