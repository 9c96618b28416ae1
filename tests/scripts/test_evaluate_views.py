"""Reference: the instrument for novel views, on a prior that knows the truth and on made-up pictures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from evaluate_views import Trial, figures, render_trial, run_trial, save_sheet
from mini_prior.data import Dataset
from mini_prior.denoiser import make_scheduler
from PIL import Image
from torch import Tensor

from dreampgc.metrics.pictures import psnr
from dreampgc.priors.base import Reference, ViewCondition

SIZE = 16


class Oracle:
    """A prior of views whose latents are pictures, and that knows what every camera sees."""

    def __init__(self, data: Dataset) -> None:
        self.data = data
        self.pictures = data.over_white(torch.arange(len(data))).float() / 255
        self.alphas = make_scheduler().alphas_cumprod

    def encode(self, image: Tensor) -> Tensor:
        return torch.cat([image, torch.zeros_like(image[:, :1])], dim=1)

    def decode(self, latents: Tensor) -> Tensor:
        return latents[:, :3].clamp(0, 1)

    def condition(self, image: Tensor, elevation: float) -> Reference:
        [number] = (self.pictures == image).flatten(1).all(dim=1).nonzero().flatten().tolist()
        assert elevation == self.data.elevation[number]
        return Reference(torch.full((1, 1), float(number)), self.encode(image), elevation)

    def view(self, reference: Reference, azimuth: Tensor, elevation: Tensor, distance: Tensor) -> ViewCondition:
        data, number = self.data, int(reference.embedding)
        wanted = torch.stack([azimuth, elevation, distance], dim=1)
        all_of_them = torch.stack([x - x[number] for x in (data.azimuth, data.elevation, data.distance)], dim=1)
        seen = torch.cdist(wanted, all_of_them).argmin(dim=1)
        return ViewCondition(seen[:, None, None].float(), self.encode(self.pictures[seen]))

    def predict_noise(self, noisy: Tensor, timesteps: Tensor, view: ViewCondition) -> Tensor:
        assert not view.tokens[: len(view) // 2].any()  # the unconditional half comes first
        latents = torch.cat([view.latents[len(view) // 2 :]] * 2)
        alpha = self.alphas[timesteps][:, None, None, None]
        return (noisy - alpha.sqrt() * latents) / (1 - alpha).sqrt()


@pytest.fixture(scope="module")
def data() -> Dataset:
    return render_trial(3, 2, SIZE, "cpu")


@pytest.fixture(scope="module")
def trial(data: Dataset) -> Trial:
    oracle: Any = Oracle(data)
    return run_trial(oracle, data, steps=10)


def test_who_knows_the_truth_is_found_right(trial: Trial, data: Dataset) -> None:
    # The last of DDIM's steps leaves the noise of the schedule's first time step, 0.03 of these latents: 31 dB.
    assert psnr(trial.samples, trial.truths).mean() > 30
    assert torch.equal(trial.coded, trial.truths)
    assert torch.equal(trial.references, data.over_white(torch.tensor([0, 3, 6])).float() / 255)
    found = figures(trial)
    samples, itself, mean = (found[name] for name in ("samples", "the reference itself", "the mean picture"))
    assert samples["PSNR_dB"] > max(itself["PSNR_dB"], mean["PSNR_dB"]) + 10
    assert samples["mask_IoU"] > max(itself["mask_IoU"], mean["mask_IoU"]) + 0.1


def test_answers_in_another_order_are_found_wrong(trial: Trial) -> None:
    mixed = figures(replace(trial, samples=trial.samples.roll(1, dims=0)))["samples"]
    assert mixed["PSNR_dB"] < figures(trial)["samples"]["PSNR_dB"] - 10


def test_the_sheet_has_a_row_an_object(trial: Trial, tmp_path: Path) -> None:
    save_sheet(trial, tmp_path / "views.png", objects=2)
    with Image.open(tmp_path / "views.png") as sheet:
        assert sheet.size == (5 * SIZE, 2 * SIZE)
        pixels = torch.from_numpy(np.array(sheet))
    # Of three objects the first and the last; a row is the reference, then samples and truths by turns.
    second = pixels[SIZE:].reshape(SIZE, 5, SIZE, 3).permute(1, 3, 0, 2) / 255
    expected = torch.stack([trial.references[2], trial.samples[4], trial.truths[4], trial.samples[5], trial.truths[5]])
    torch.testing.assert_close(second, expected, atol=0.003, rtol=0)
