"""Integration: the benchmark of steps on a CPU, and that its random priors have the published sizes."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import bench_step
import pytest
import step_timing
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from random_priors import UNETS, VAE, VIEWS, make_network, make_view_prior

from dreampgc.priors.catalog import PriorSource
from dreampgc.priors.diffusion import DiffusionPrior


@pytest.mark.parametrize(
    ("name", "millions"), [("sd15", 859.52), ("sd21", 865.91), ("sdxl", 2567.46), ("zero123-xl", 859.53)]
)
def test_unets_are_of_the_published_sizes(name: str, millions: float) -> None:
    unet = make_network(UNet2DConditionModel, {**UNETS, "zero123-xl": VIEWS}[name], "meta", torch.float16)
    assert unet.dtype == torch.float16
    assert sum(p.numel() for p in unet.parameters()) / 1e6 == pytest.approx(millions, abs=0.01)
    assert torch.get_default_dtype() == torch.float32


def test_the_vae_is_of_the_published_size() -> None:
    vae = make_network(AutoencoderKL, VAE, "meta", torch.bfloat16)
    assert sum(p.numel() for p in vae.parameters()) / 1e6 == pytest.approx(83.65, abs=0.01)
    assert not any(p.requires_grad for p in vae.parameters())


def test_the_prior_of_views_is_asked_for_as_many_latents_as_it_makes() -> None:
    """The benchmark's inputs fit a prior of Zero123-XL's parts, of which the image encoder is ViT-L/14."""
    prior = make_view_prior("meta")
    image, (noisy, timesteps, tokens) = step_timing.network_inputs(prior, 4)
    assert image.shape == (4, 3, 256, 256)
    assert (noisy.shape, timesteps.shape, tokens.shape) == ((8, 8, 32, 32), (8,), (8, 1, 768))
    assert prior.unet(noisy.half(), timesteps, encoder_hidden_states=tokens.half()).sample.shape == (8, 4, 32, 32)
    assert sum(p.numel() for p in prior.image_encoder.parameters()) / 1e6 == pytest.approx(303.97, abs=0.01)


def test_a_row_is_measured_and_a_part_that_fails_is_a_row_too(
    mini: DiffusionPrior, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "rows.json"
    line = ["--device", "cpu", "--only", "mini", "--ways", "off", "graphs", "--steps", "2", "--output", str(output)]
    monkeypatch.setattr(sys, "argv", ["bench_step.py", *line])
    monkeypatch.setitem(step_timing.WARM_UP, "off", 1)
    monkeypatch.setitem(bench_step.CASES, "mini", ("mini", 1))
    monkeypatch.setattr(PriorSource, "load", lambda source, device, dtype=None: mini)
    honest = bench_step.build_text_stage

    def broken(config: Any, prior: Any) -> Any:
        if config.loop.acceleration == "graphs":
            raise RuntimeError("no graphs today")
        return honest(config, prior)

    monkeypatch.setattr(bench_step, "build_text_stage", broken)
    before = mini.networks
    try:
        bench_step.main()
    finally:
        mini.networks = before
    measured, failed = json.loads(output.read_text())["rows"]
    assert measured["steps"] == 2
    assert failed == {"case": "mini", "way": "graphs", "error": "RuntimeError: no graphs today"}
    networks = ["VAE forward", "VAE backward", "UNet (guided)"]
    assert [*measured["parts"]] == [*networks, "field and all else"]
    assert min(measured["parts"][name] for name in networks) > 0
    assert sum(measured["parts"].values()) == pytest.approx(measured["ms"], abs=0.01)
    assert measured["bad steps"] == 0
    assert measured["networks, TFLOP/s"] > 0
    assert "RuntimeError: no graphs today" in capsys.readouterr().out


def test_no_row_is_begun_after_the_time_is_over(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["bench_step.py", "--device", "cpu", "--total", "-1"])
    bench_step.main()
    assert "no time left for mini, off" in capsys.readouterr().out
