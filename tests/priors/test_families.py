"""Reference and integration: tiny models of SD 1.5, 2.1-base, 2.1 and SDXL, against diffusers' own pipelines."""

from __future__ import annotations

import json
import shutil
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import StableDiffusionPipeline
from diffusers.pipelines.stable_diffusion_xl.pipeline_stable_diffusion_xl import StableDiffusionXLPipeline

from dreampgc.building import build_text_stage
from dreampgc.cameras import fixed_views
from dreampgc.config import load_config
from dreampgc.console import Console
from dreampgc.errors import InputError
from dreampgc.guidance.guides import TextGuide
from dreampgc.guidance.schedule import Schedule
from dreampgc.guidance.sds import ScoreDistillation
from dreampgc.priors.base import TextCondition
from dreampgc.priors.catalog import resolve
from dreampgc.priors.checking import examine
from dreampgc.priors.diffusion import DiffusionPrior
from dreampgc.runs import create_run
from dreampgc.stages.loop import Loop
from tests.priors.families import FAMILIES, write_family
from tests.small_runs import SMALL, metrics

TEXTS = ["a car", "", "a long wooden train"]


@pytest.fixture(scope="module")
def directories(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    torch.set_num_threads(1)
    return {family: write_family(tmp_path_factory.mktemp("families") / family, family) for family in FAMILIES}


@pytest.fixture(scope="module")
def priors(directories: dict[str, Path]) -> dict[str, DiffusionPrior]:
    return {family: resolve(str(directory)).load() for family, directory in directories.items()}


@pytest.fixture(scope="module")
def pipelines(directories: dict[str, Path]) -> dict[str, Any]:
    """The same directories as diffusers reads them, in float32."""
    kinds: dict[str, Any] = dict.fromkeys(FAMILIES, StableDiffusionPipeline) | {"sdxl": StableDiffusionXLPipeline}
    variants = dict.fromkeys(FAMILIES, None) | {"sdxl": "fp16"}
    return {
        family: kinds[family].from_pretrained(directory, variant=variants[family], dtype=torch.float32)
        for family, directory in directories.items()
    }


def test_what_they_are(priors: dict[str, DiffusionPrior]) -> None:
    facts = {family: (prior.image_size, prior.prediction_type) for family, prior in priors.items()}
    assert facts == {
        "sd15": (32, "epsilon"), "sd21": (32, "epsilon"), "sd21-v": (48, "v_prediction"), "sdxl": (32, "epsilon"),
    }  # fmt: skip


@pytest.mark.parametrize("family", FAMILIES)
def test_text_is_that_of_the_pipeline(priors: dict[str, DiffusionPrior], pipelines: Any, family: str) -> None:
    """Padding, hidden layer and pooling; what SDXL is told without a prompt is zeros."""
    condition = priors[family].encode_text(TEXTS)
    for number, text in enumerate(TEXTS):
        tokens, negative, *pooled = pipelines[family].encode_prompt(
            text, device="cpu", num_images_per_prompt=1, do_classifier_free_guidance=True, negative_prompt=None
        )
        expected = (negative, *pooled[1:]) if text == "" else (tokens, *pooled[:1])
        found = (condition.tokens, *([] if condition.pooled is None else [condition.pooled]))
        for ours, theirs in zip(found, expected, strict=True):
            # batches of three and of one differ in the order of float32 sums
            torch.testing.assert_close(ours[number : number + 1], theirs, rtol=1e-4, atol=1e-5)
    assert (family == "sdxl") == (condition.pooled is not None and not condition.tokens[1].any())


@pytest.mark.parametrize("family", FAMILIES)
def test_noise_is_that_of_the_pipeline(priors: dict[str, DiffusionPrior], pipelines: Any, family: str) -> None:
    prior, pipeline = priors[family], pipelines[family]
    text = prior.encode_text(TEXTS[:2])
    side = prior.image_size // 8
    noisy, t = torch.randn(2, 4, side, side), torch.tensor([30, 800])
    added = {}
    if family == "sdxl":
        size = (prior.image_size,) * 2
        ids = pipeline._get_add_time_ids(size, (0, 0), size, torch.float32, text_encoder_projection_dim=12)
        added = {"added_cond_kwargs": {"text_embeds": text.pooled, "time_ids": ids.repeat(2, 1)}}
    expected = pipeline.unet(noisy, t, text.tokens, **added).sample
    if family == "sd21-v":
        alpha = pipeline.scheduler.alphas_cumprod[t].view(-1, 1, 1, 1)
        expected = alpha.sqrt() * expected + (1 - alpha).sqrt() * noisy
    torch.testing.assert_close(prior.predict_noise(noisy, t, text), expected, rtol=1e-4, atol=1e-5)


def test_sdxl_hears_the_pooled_text_and_the_size(priors: dict[str, DiffusionPrior]) -> None:
    prior = priors["sdxl"]
    text = prior.encode_text(["a car"])
    noisy, t = torch.randn(1, 4, 8, 8), torch.tensor([500])
    whole = prior.predict_noise(noisy, t, text)
    assert text.pooled is not None
    deaf = prior.predict_noise(noisy, t, TextCondition(text.tokens, torch.zeros_like(text.pooled)))
    assert not torch.allclose(whole, deaf)
    assert prior._added_conditions(noisy, text)[1].tolist() == [[64, 64, 0, 0, 64, 64]]


def test_views_mix_all_that_a_text_is() -> None:
    condition = TextCondition(torch.randn(3, 5, 4), torch.randn(3, 6))
    weights = torch.tensor([[0.25, 0.75, 0.0], [0.0, 0.0, 1.0]])
    mixed = condition.mixed(weights)
    assert mixed.pooled is not None and condition.pooled is not None
    torch.testing.assert_close(mixed.tokens[0], 0.25 * condition.tokens[0] + 0.75 * condition.tokens[1])
    torch.testing.assert_close(mixed.pooled[0], 0.25 * condition.pooled[0] + 0.75 * condition.pooled[1])
    torch.testing.assert_close(mixed.pooled[1], condition.pooled[2])
    joined = TextCondition.joined([condition, mixed])
    assert (len(joined), joined.pooled is not None and len(joined.pooled)) == (5, 5)


@pytest.mark.parametrize("family", FAMILIES)
def test_twenty_training_steps(priors: dict[str, DiffusionPrior], tmp_path: Path, family: str) -> None:
    options = {"prior": "tiny", "prompt": "a car", "loop.steps": 20, "guidance.perp_neg": 2.0 * (family == "sdxl")}
    small = {"render.resolution": 16, "render.samples": 24, "loop.checkpoint_every": 20}
    config = load_config(options={**SMALL, **small, **options})
    stage = build_text_stage(config, priors[family])
    run, state = create_run(config, tmp_path / "run"), stage.state
    assert isinstance(stage.guidance, ScoreDistillation) and isinstance(stage.guidance.guide, TextGuide)
    assert stage.guidance.guide.perp_neg == config.guidance.perp_neg
    before = state.field.encoding.table.detach().clone()
    with run.active(), Loop(run, config.loop, Console(quiet=True), save=state.save, load=state.load) as loop:
        stage.train(loop)
    lines = metrics(run.path)
    assert [line["step"] for line in lines] == list(range(20))
    assert all(line["bad_steps"] == line["gradient_non_finite"] == 0 for line in lines)
    assert all(line["gradient_median"] > 0 for line in lines)
    table = state.field.encoding.table.detach()
    assert table.isfinite().all()
    assert not torch.equal(table, before)


@pytest.mark.parametrize("family", ["sd15", "sdxl"])
def test_text_encoders_leave_the_memory_and_come_back(directories: dict[str, Path], family: str) -> None:
    prior = DiffusionPrior.load(directories[family])
    encoders = [weakref.ref(encoder) for _, encoder in prior.text.encoders]
    assert len(encoders) == (2 if family == "sdxl" else 1)
    fresh = prior.encode_text(["a dog"])
    views = fixed_views([0, 100])
    guide = TextGuide(prior, "a car")
    sds = ScoreDistillation(guide, schedule=Schedule(9), generator=torch.Generator().manual_seed(0))
    assert not any(reference() for reference in encoders)
    sds.image_gradient(torch.rand(2, 3, 16, 16), views, 0)
    again = TextGuide(prior, "a car")
    assert prior.text.encoders == ()  # texts once computed need no encoder
    assert torch.equal(again.condition(views).tokens, guide.condition(views).tokens)
    prior.encode_text(["a cat"])
    assert len(prior.text.encoders) == len(encoders)
    prior.text._known.clear()
    assert torch.equal(prior.encode_text(["a dog"]).tokens, fresh.tokens)


def test_each_view_phrase_is_encoded_once(directories: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    prior = DiffusionPrior.load(directories["sd21"])
    seen: list[str] = []
    embed = prior.text._embed
    monkeypatch.setattr(prior.text, "_embed", lambda texts: (seen.extend(texts), embed(texts))[1])
    for _ in range(2):
        TextGuide(prior, "a car")
    assert seen == ["a car, front view", "a car, side view", "a car, back view", "a car, overhead view", ""]


def test_half_precision_spares_sdxl_s_own_vae(directories: dict[str, Path], tmp_path: Path) -> None:
    """It overflows in float16; the repaired one, which says so in its configuration, and the others do not."""
    sdxl = DiffusionPrior.load(directories["sdxl"], dtype=torch.float16)
    assert (sdxl.unet.dtype, sdxl.vae.dtype) == (torch.float16, torch.float32)
    assert DiffusionPrior.load(directories["sd15"], dtype=torch.float16).vae.dtype == torch.float16
    copy = shutil.copytree(directories["sdxl"], tmp_path / "copy")
    config = json.loads((copy / "vae" / "config.json").read_text())
    (copy / "vae" / "config.json").write_text(json.dumps(config | {"force_upcast": False}))
    assert DiffusionPrior.load(copy, dtype=torch.float16).vae.dtype == torch.float16
    image = torch.rand(1, 3, 32, 32, requires_grad=True)
    latents = sdxl.encode(image)
    (gradient,) = torch.autograd.grad(latents.sum(), image)
    assert latents.dtype == gradient.dtype == sdxl.decode(latents).dtype == torch.float32


@pytest.mark.parametrize("family", FAMILIES)
def test_they_pass_examination(directories: dict[str, Path], family: str) -> None:
    found = examine(directories[family])
    assert found.wrong == []
    assert len(found.verdicts) == (7 if family == "sdxl" else 5)
    assert ("v_prediction" if family == "sd21-v" else "epsilon") in found.summary
    assert ("XL" in found.summary) == (family == "sdxl")
    assert f"images of {48 if family == 'sd21-v' else 32} px" in found.summary


def test_sdxl_without_its_second_encoder_is_refused(directories: dict[str, Path], tmp_path: Path) -> None:
    copy = shutil.copytree(directories["sdxl"], tmp_path / "copy")
    shutil.rmtree(copy / "text_encoder_2")
    with pytest.raises(InputError, match="text_encoder_2 is missing"):
        resolve(str(copy))
    assert [verdict.part for verdict in examine(copy).wrong] == ["text_encoder_2"]
