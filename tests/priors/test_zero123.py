"""Reference, property and fault: Zero123 on a tiny random model in the layout of the published ones."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import CLIPVisionModelWithProjection

from dreampgc.cameras import Views
from dreampgc.cli import run_command
from dreampgc.cli.options import family
from dreampgc.errors import InputError, MissingError
from dreampgc.guidance.propagation import METHODS, propagate
from dreampgc.priors import catalog
from dreampgc.priors.base import Reference, ViewCondition, ViewPrior
from dreampgc.priors.catalog import resolve
from dreampgc.priors.checking import examine
from dreampgc.priors.diffusion import DiffusionPrior
from dreampgc.priors.layout import VIEW_PARTS, choose_files
from dreampgc.priors.linear import LinearMap
from dreampgc.priors.projection import CLIPCameraProjection
from dreampgc.priors.zero123 import Kind, Zero123Prior, pose_features
from tests.priors.families import assert_found, write_zero123

AZIMUTH, ELEVATION, DISTANCE = torch.tensor([0.0, 90.0]), torch.tensor([10.0, -30.0]), torch.tensor([0.0, 0.5])


@pytest.fixture(scope="module")
def prior(tiny_zero123: Path) -> Zero123Prior:
    return Zero123Prior.load(tiny_zero123)


@pytest.fixture
def copy(tiny_zero123: Path, tmp_path: Path) -> Path:
    return shutil.copytree(tiny_zero123, tmp_path / "copy")


@pytest.fixture
def image() -> Tensor:
    return torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def reference(prior: Zero123Prior, image: Tensor) -> Reference:
    return prior.condition(image, 20.0)


def noisy() -> tuple[Tensor, Tensor]:
    return torch.randn(2, 4, 4, 4, generator=torch.Generator().manual_seed(1)), torch.tensor([10, 900])


def test_facts_come_from_the_directory(tiny_zero123: Path, prior: Zero123Prior) -> None:
    as_protocol: ViewPrior = prior
    assert (as_protocol.name, prior.image_size, prior.downsampling, prior.kind) == ("tiny", 32, 8, "zero123")
    assert Zero123Prior.load(tiny_zero123, name="owner/Stable-Zero123-diffusers").kind == "stable-zero123"
    assert Zero123Prior.load(tiny_zero123, kind="stable-zero123").kind == "stable-zero123"
    for model in (prior.unet, prior.vae, prior.image_encoder, prior.projection):
        assert not model.training
        assert not any(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize("kind", ["zero123", "stable-zero123"])
@torch.no_grad()
def test_the_noise_is_that_of_the_bare_modules(tiny_zero123: Path, image: Tensor, kind: Kind) -> None:
    prior = Zero123Prior.load(tiny_zero123, kind=kind)
    z, t = noisy()
    found = prior.predict_noise(z, t, prior.view(prior.condition(image, 20.0), AZIMUTH, ELEVATION, DISTANCE))
    encoder = CLIPVisionModelWithProjection.from_pretrained(tiny_zero123 / "image_encoder")
    embedding = encoder(prior.processor(image, do_rescale=False, return_tensors="pt").pixel_values).image_embeds
    latents = AutoencoderKL.from_pretrained(tiny_zero123 / "vae").encode(2 * image - 1).latent_dist.mode()
    last = [math.radians(70)] * 2 if kind == "stable-zero123" else [0.0, 0.5]
    pose = torch.tensor(
        [[math.radians(-10), 0.0, 1.0, last[0]], [math.radians(30), 1.0, 0.0, last[1]]], dtype=torch.float32
    )
    weights = load_file(tiny_zero123 / "clip_camera_projection" / "diffusion_pytorch_model.safetensors")
    tokens = torch.cat([embedding.expand(2, -1), pose], 1) @ weights["proj.weight"].T + weights["proj.bias"]
    unet = UNet2DConditionModel.from_pretrained(tiny_zero123 / "unet")
    expected = unet(torch.cat([z, latents.expand(2, -1, -1, -1)], 1), t, tokens[:, None]).sample
    # the processor may round colours to bytes before it resizes, or after
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)


def test_the_reference_s_latents_are_the_mode_and_not_scaled(
    prior: Zero123Prior, reference: Reference, image: Tensor
) -> None:
    torch.testing.assert_close(reference.latents, prior.vae.encode(2 * image - 1).latent_dist.mode())
    assert (reference.latents.shape, reference.embedding.shape) == ((1, 4, 4, 4), (1, 16))


def test_poses_at_known_angles() -> None:
    one = torch.ones(1)
    same = pose_features("zero123", 20.0, 0 * one, 0 * one, 0 * one)
    torch.testing.assert_close(same, torch.tensor([[0.0, 0.0, 1.0, 0.0]]))
    right = pose_features("zero123", 20.0, 90 * one, -45 * one, 0.3 * one)
    torch.testing.assert_close(right, torch.tensor([[math.pi / 4, 1.0, 0.0, 0.3]]))
    stable = pose_features("stable-zero123", 30.0, -90 * one, 45 * one, 0.3 * one)
    torch.testing.assert_close(stable, torch.tensor([[-math.pi / 4, -1.0, 0.0, math.pi / 3]]))


def test_poses_are_those_that_zero123_would_compute_of_the_same_cameras() -> None:
    """Its training code: spherical coordinates with z upwards, polar angle from the zenith, azimuth atan2(y, x)."""
    views = Views(torch.tensor([30.0, 100.0]), torch.tensor([20.0, -10.0]), torch.tensor([1.5, 2.0]), torch.ones(2))
    x, y, z = views.positions().unbind(-1)
    forward, side, up = z, x, y  # our world turned, not mirrored, so that its upward axis is z
    polar, azimuth = torch.atan2(torch.hypot(forward, side), up), torch.atan2(side, forward)
    turn = azimuth[1] - azimuth[0]
    expected = torch.stack([polar[1] - polar[0], turn.sin(), turn.cos(), views.distance[1] - views.distance[0]])
    axes = [torch.eye(3)[row] for row in (2, 0, 1)]
    assert torch.linalg.det(torch.stack(axes)) == 1
    differences = (x[1:] - x[:1] for x in (views.azimuth, views.elevation, views.distance))
    torch.testing.assert_close(pose_features("zero123", 20.0, *differences)[0], expected)


def test_the_unconditional_branch_is_zeros(prior: Zero123Prior, reference: Reference) -> None:
    nothing = prior.view(reference, AZIMUTH, ELEVATION, DISTANCE).unconditional()
    z, t = noisy()
    expected = prior.unet(torch.cat([z, torch.zeros_like(z)], 1), t, torch.zeros(2, 1, 16)).sample
    torch.testing.assert_close(prior.predict_noise(z, t, nothing), expected)


def test_guidance_of_scale_1_in_one_batch_is_the_conditional_prediction(
    prior: Zero123Prior, reference: Reference
) -> None:
    view, (z, t) = prior.view(reference, AZIMUTH, ELEVATION, DISTANCE), noisy()
    joined = ViewCondition.joined([view.unconditional(), view])
    assert len(joined) == 4
    unconditional, conditional = prior.predict_noise(torch.cat([z, z]), torch.cat([t, t]), joined).chunk(2)
    torch.testing.assert_close(unconditional + 1 * (conditional - unconditional), prior.predict_noise(z, t, view))
    assert not torch.allclose(unconditional, conditional)


def test_picture_and_pose_make_a_difference(prior: Zero123Prior, reference: Reference) -> None:
    z, t = noisy()
    blank = prior.condition(torch.ones(1, 3, 32, 32), 20.0)
    answers = [
        prior.predict_noise(z, t, prior.view(*each))
        for each in (
            (reference, AZIMUTH, ELEVATION, DISTANCE),
            (reference, -AZIMUTH, ELEVATION, DISTANCE),
            (blank, AZIMUTH, ELEVATION, DISTANCE),
        )
    ]
    assert not torch.equal(answers[0][1], answers[1][1]) and not torch.equal(answers[0], answers[2])
    assert torch.equal(answers[0][0], answers[1][0])  # azimuth 0 has no sign


def test_gradients_flow_through_the_encoder(prior: Zero123Prior, image: Tensor) -> None:
    leaf, cotangent = image.clone().requires_grad_(), torch.ones(1, 4, 4, 4)
    (expected,) = torch.autograd.grad(prior.encode(leaf), leaf, cotangent)
    latents, transpose = prior.encode_with_vjp(image)
    torch.testing.assert_close(transpose(cotangent), expected)
    assert expected.abs().sum() > 0
    assert prior.decode(latents).shape == image.shape


@pytest.mark.parametrize("method", [name for name in METHODS if name != "linear"])
def test_the_methods_of_propagation_take_it(prior: Zero123Prior, reference: Reference, method: str) -> None:
    view, t = prior.view(reference, AZIMUTH, ELEVATION, DISTANCE), torch.tensor([10, 900])
    start = torch.rand(2, 4, 4, 4) if method == "latent" else torch.rand(2, 3, 16, 16)
    found = propagate(METHODS[method], prior, start, lambda z: prior.predict_noise(z, t, view), threshold=0.1)
    assert found.image.shape == start.shape
    assert found.image.isfinite().all() and found.image.abs().sum() > 0


def test_the_same_numbers_twice_and_sample_by_sample(tiny_zero123: Path, prior: Zero123Prior, image: Tensor) -> None:
    other, (z, t) = Zero123Prior.load(tiny_zero123), noisy()

    def answer(asked: Zero123Prior) -> Tensor:
        return asked.predict_noise(z, t, asked.view(asked.condition(image, 20.0), AZIMUTH, ELEVATION, DISTANCE))

    assert torch.equal(answer(prior), answer(other))
    assert other.save_memory() and not other.save_memory()
    torch.testing.assert_close(answer(other), answer(prior))


def configure(tiny_zero123: Path, part: str, **values: object) -> None:
    path = tiny_zero123 / part / ("preprocessor_config.json" if part == "feature_extractor" else "config.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def truncate(tiny_zero123: Path) -> None:
    path = tiny_zero123 / "image_encoder" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def lose_the_bias(tiny_zero123: Path) -> None:
    path = tiny_zero123 / "clip_camera_projection" / "diffusion_pytorch_model.safetensors"
    save_file({"proj.weight": load_file(path)["proj.weight"]}, path, metadata={"format": "pt"})


def replace_the_projection(tiny_zero123: Path) -> None:
    CLIPCameraProjection(16, 6).save_pretrained(tiny_zero123 / "clip_camera_projection")


FAULTS: dict[str, tuple[Callable[[Path], object], str, str]] = {
    **{f"no {part}": (lambda d, part=part: shutil.rmtree(d / part), part, "is missing") for part in VIEW_PARTS},
    "truncated": (truncate, "image_encoder", "truncated or damaged model.safetensors"),
    "a weight missing": (lose_the_bias, "clip_camera_projection", "lacks 1 weights, for instance proj.bias"),
    "other poses": (replace_the_projection, "clip_camera_projection", "takes poses of 6 numbers"),
    "other pictures": (
        lambda d: configure(d, "feature_extractor", crop_size={"height": 8, "width": 8}),
        "feature_extractor",
        "makes pictures of 8 px, but image_encoder takes 16",
    ),
    "no JSON": (lambda d: (d / "feature_extractor/preprocessor_config.json").write_text("{"), "feature_extractor", ""),
    "a crop without a size": (
        lambda d: configure(d, "feature_extractor", crop_size="small"), "feature_extractor", "cannot be read",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_found_by_the_check_and_by_a_run(copy: Path, fault: str) -> None:
    spoil, part, says = FAULTS[fault]
    spoil(copy)
    assert_found(copy, part, says, Zero123Prior.load, "Zero123")


def test_a_unet_of_text_is_refused(copy: Path, tiny_model: Path) -> None:
    shutil.rmtree(copy / "unet")
    shutil.copytree(tiny_model / "unet", copy / "unet")
    assert [verdict.note[:16] for verdict in examine(copy).wrong] == ["takes 4 channels"]
    with pytest.raises(InputError, match="unet takes 4 channels, not 8"):
        Zero123Prior.load(copy)


def test_the_check_recognises_it(tiny_zero123: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["priors", "check", str(tiny_zero123)]) == 0
    captured = capsys.readouterr()
    assert captured.out.count("right") == len(VIEW_PARTS)
    assert "Zero123 or Stable-Zero123, picture and pose of width 16" in captured.err


def test_the_catalogue_keeps_text_and_views_apart(tiny_zero123: Path, tiny_model: Path) -> None:
    source = resolve(str(tiny_zero123))
    assert source.load_views().image_size == 32
    for ask in (lambda: source.check_prompt("a dog"), source.load):
        with pytest.raises(InputError, match="understands no text"):
            ask()
    with pytest.raises(InputError, match="image_encoder is missing"):
        resolve(str(tiny_model)).load_views()
    with pytest.raises(InputError, match="not a Stable Diffusion"):
        DiffusionPrior.load(tiny_zero123)


def test_its_files_are_fetched_and_no_others(tiny_zero123: Path) -> None:
    names = [path.relative_to(tiny_zero123).as_posix() for path in tiny_zero123.rglob("*") if path.is_file()]
    assert choose_files([*names, "README.md", "safety_checker/config.json", "unet/other.bin"]) == sorted(names)


@pytest.fixture
def embedded(copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the embedded priors: mini-zero123 without a VAE, and mini with that VAE and its map."""
    shutil.copytree(copy / "vae", tmp_path / "mini" / "vae")
    shutil.rmtree(copy / "vae")
    LinearMap((torch.ones(3, 4), torch.zeros(4)), None).save(tmp_path / "mini")
    copy.rename(tmp_path / "mini_zero123")
    monkeypatch.setattr(catalog, "MINI_DIRECTORY", tmp_path / "mini")
    monkeypatch.setattr(catalog, "MINI_ZERO123_DIRECTORY", tmp_path / "mini_zero123")
    return tmp_path


def test_the_embedded_one_uses_the_vae_of_mini(embedded: Path, prior: Zero123Prior, image: Tensor) -> None:
    source = resolve("mini-zero123")
    assert (source.name, source.family, source.directory) == ("mini-zero123", "mini", embedded / "mini_zero123")
    loaded = source.load_views()
    assert (loaded.name, loaded.kind, loaded.image_size) == ("mini-zero123", "zero123", 32)
    assert torch.equal(loaded.encode(image), prior.encode(image))
    assert loaded.linear_rgb_to_latent is not None and bool((loaded.linear_rgb_to_latent[0] == 1).all())
    with pytest.raises(InputError, match="mini-zero123 is a Zero123: it is shown a picture"):
        source.check_prompt("a car")


def test_the_check_reads_it_with_the_vae_of_mini(embedded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["priors", "check", "mini-zero123"]) == 0
    assert capsys.readouterr().out.count("right") == len(VIEW_PARTS)
    assert run_command(["priors", "pull", "mini-zero123"]) == 0
    assert str(embedded / "mini_zero123") in capsys.readouterr().err
    # As a plain directory it is not complete.
    assert run_command(["priors", "check", str(embedded / "mini_zero123")]) == 2


@pytest.mark.parametrize(("lost", "says"), [("mini/vae", "vae is missing"), ("mini_zero123/unet", "unet is missing")])
def test_the_embedded_one_incomplete(embedded: Path, lost: str, says: str) -> None:
    shutil.rmtree(embedded / lost)
    assert catalog.installed("mini-zero123") is None
    with pytest.raises(MissingError, match=f"lacks the mini-zero123 prior .*{says}.*: reinstall dreampgc"):
        resolve("mini-zero123")


def test_small_views_want_the_presets_of_small_priors(tmp_path: Path, tiny_zero123: Path) -> None:
    assert (
        family("mini-zero123", "cpu") == family(str(tiny_zero123), "cpu") == resolve(str(tiny_zero123)).family == "mini"
    )
    large = write_zero123(tmp_path / "large", sample_size=32)
    assert family("zero123-xl", "cpu") == family(str(large), "cpu") == resolve(str(large)).family == "full"
    (large / "unet" / "config.json").write_text("{")
    assert family(str(large), "cpu") == "full"
