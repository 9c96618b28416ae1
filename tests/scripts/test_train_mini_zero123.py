"""Integration: the training of mini-zero123 in its smoke mode, and the text prior's on the same pictures and VAE."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import dreampgc
from dreampgc.priors.catalog import MINI_DIRECTORY
from dreampgc.priors.checking import examine
from dreampgc.priors.zero123 import Zero123Prior

SCRIPTS = Path(dreampgc.__file__).parents[1] / "scripts"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("training")


class Scripts:
    """Runs a training script in this process, on the CPU."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self.monkeypatch, self.capsys = folder, monkeypatch, capsys

    def run(self, name: str, *options: str) -> list[dict[str, Any]]:
        """What ``name`` reports of a smoke run."""
        script = str(SCRIPTS / f"train_{name}.py")
        places = ["--smoke", "--work", str(self.folder / "work"), "--output", str(self.folder / name)]
        self.monkeypatch.setattr(sys, "argv", [script, *places, *options])
        self.monkeypatch.setattr(sys, "path", [*sys.path])
        self.monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        runpy.run_path(script, run_name="__main__")
        return [json.loads(line) for line in self.capsys.readouterr().out.splitlines()]


@pytest.fixture
def scripts(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Scripts:
    return Scripts(folder, monkeypatch, capsys)


def test_smoke_mode_in_parts_makes_a_prior_of_views(scripts: Scripts) -> None:
    only = scripts.run("mini_zero123", "--only", "data-1")
    assert [(line["part"], line["images"]) for line in only] == [("data", 4)]
    assert {path.name for path in (scripts.folder / "work").iterdir()} == {"data-1.pt"}

    first = scripts.run("mini_zero123")
    assert [(line["part"], line["step"]) for line in first if "loss" in line] == [
        ("views-32-32-32", 0),
        ("views-32-32-32", 1),
    ]
    again = scripts.run("mini_zero123")  # goes on where it was: at the end
    assert not [line for line in again if "loss" in line]
    keys = ("held_out_loss", "PSNR", "mask_IoU")
    assert [line[key] for line in first for key in keys if key in line] == [
        line[key] for line in again for key in keys if key in line
    ]
    assert [line["part"] for line in again] == ["data", "latents", "views", "done"]

    made = scripts.folder / "mini_zero123"
    assert not (made / "vae").exists()
    assert [verdict for verdict in examine(made, vae=MINI_DIRECTORY).verdicts if not verdict.right] == []
    prior = Zero123Prior.load(made, vae=MINI_DIRECTORY)
    assert (prior.image_size, prior.kind) == (32, "zero123")
    poses = [torch.tensor([10.0, -170.0])] * 2 + [torch.tensor([0.0, 0.5])]
    view = prior.view(prior.condition(torch.rand(1, 3, 32, 32), 20.0), *poses)
    noise = prior.predict_noise(torch.zeros(2, 4, 4, 4), torch.tensor([10, 900]), view)
    assert noise.shape == (2, 4, 4, 4) and noise.isfinite().all()

    card = (made / "README.md").read_text()
    assert "(samples.webp)" in card and (made / "samples.webp").is_file()
    figures = json.loads((made / "figures.json").read_text())
    assert figures["held_out_noise_MSE"] == pytest.approx(first[-2]["held_out_loss"])
    assert {"samples", "the reference itself", "the mean picture"} <= figures["novel_views"].keys()


def test_the_text_prior_learns_from_the_same_pictures_with_the_same_vae(scripts: Scripts) -> None:
    scripts.run("mini_zero123", "--only", "data-0")  # there already, or made now
    options = ("--vae", str(MINI_DIRECTORY), "--distance", "1.8", "3", "--fov", "45", "45")
    lines = scripts.run("mini_prior", "--views", "4", *options)
    assert [line["part"] for line in lines if "loss" in line] == ["unet-32-32-32"]
    assert [line["images"] for line in lines if "images" in line] == [8]  # not the 2 of its own smoke mode
    vae = scripts.folder / "mini_prior" / "vae"
    assert json.loads((vae / "config.json").read_text())["scaling_factor"] == 0.22457
    ours, shipped = (load_file(d / "diffusion_pytorch_model.safetensors") for d in (vae, MINI_DIRECTORY / "vae"))
    assert all(torch.equal(ours[name], shipped[name]) for name in shipped)
    with pytest.raises(SystemExit, match="groups of 4 views, not of --views 2"):
        scripts.run("mini_prior", "--views", "2", *options)
    with pytest.raises(SystemExit):
        scripts.run("mini_zero123", "--views", "1")
    assert "--views must be 2 or more" in scripts.capsys.readouterr().err
