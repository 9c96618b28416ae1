"""Integration: the training script of the embedded prior in its smoke mode, killed after the VAE and started again."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import torch

import dreampgc
from dreampgc.priors.diffusion import DiffusionPrior

SCRIPT = Path(dreampgc.__file__).parents[1] / "scripts" / "train_mini_prior.py"
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


def events(lines: Iterable[str], until: str = "") -> list[dict[str, Any]]:
    """What the script reports, up to the end of the part ``until``; or all."""
    found = []
    for line in lines:
        found.append(json.loads(line))
        if found[-1]["part"] == until and "held_out_psnr" in found[-1]:
            break
    return found


def test_smoke_mode_killed_after_the_vae_goes_on_and_makes_a_prior(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [str(SCRIPT), "--smoke", "--work", str(tmp_path / "work"), "--output", str(tmp_path / "mini")]
    with subprocess.Popen([sys.executable, *arguments], stdout=subprocess.PIPE, text=True, env=ENVIRONMENT) as first:
        assert first.stdout is not None
        before = events(first.stdout, until="vae")
        first.kill()
    assert [line["step"] for line in before if "loss" in line] == [0, 1]

    # The second start spares itself the imports.
    monkeypatch.setattr(sys, "argv", arguments)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    runpy.run_path(str(SCRIPT), run_name="__main__")
    after = events(capsys.readouterr().out.splitlines())
    # The VAE is not trained again, and is the same: its figure on held-out pictures does not change.
    assert [(line["part"], line["step"]) for line in after if "loss" in line] == [("unet-32-32-32", 0)]
    assert [line["held_out_psnr"] for line in after if "held_out_psnr" in line] == [before[-1]["held_out_psnr"]]
    assert after[-1]["part"] == "done"

    made = {path.name for path in (tmp_path / "mini").iterdir()}
    assert {"README.md", "figures.json", "samples.webp", "reconstructions.webp", "vocabulary.json"} <= made
    prior = DiffusionPrior.load(tmp_path / "mini")
    assert prior.image_size == 32
    text = prior.encode_text(["a wooden car, front view"])
    noise = prior.predict_noise(torch.zeros(1, 4, 4, 4), torch.tensor([500]), text)
    assert noise.isfinite().all()
