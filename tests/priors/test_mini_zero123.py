"""Integration: the embedded prior of views that is shipped, as files and as a model of held-out objects."""

from __future__ import annotations

import json
import re

import pytest
import torch

from dreampgc.cameras import fixed_views
from dreampgc.priors.catalog import MINI_ZERO123_DIRECTORY, resolve
from dreampgc.priors.zero123 import Zero123Prior
from dreampgc.world.objects import HELD_OUT_SEED
from dreampgc.world.render import render_world
from dreampgc.world.scene import make_scene


@pytest.fixture(scope="module")
def prior() -> Zero123Prior:
    return resolve("mini-zero123").load_views()


def test_it_is_small_and_has_no_pickles_and_no_vae() -> None:
    files = [path for path in MINI_ZERO123_DIRECTORY.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 14 * 2**20
    assert {path.suffix for path in files} <= {".json", ".safetensors", ".md", ".webp"}
    assert not (MINI_ZERO123_DIRECTORY / "vae").exists()


def test_its_facts(prior: Zero123Prior) -> None:
    assert (prior.name, prior.kind, prior.image_size, prior.downsampling) == ("mini-zero123", "zero123", 128, 8)
    views = json.loads((MINI_ZERO123_DIRECTORY / "figures.json").read_text())["novel_views"]
    samples, reference, mean = (views[name] for name in ("samples", "the reference itself", "the mean picture"))
    for figure in ("PSNR_dB", "mask_IoU"):
        assert samples[figure] > max(reference[figure], mean[figure])
    pictures = re.findall(r"!\[.*?\]\((.*?)\)", (MINI_ZERO123_DIRECTORY / "README.md").read_text())
    assert pictures and all((MINI_ZERO123_DIRECTORY / picture).is_file() for picture in pictures)


def test_it_tells_views_and_objects_apart(prior: Zero123Prior) -> None:
    """The right pose, and the right reference, predict the noise in a view of a held-out dog better than wrong ones."""
    scene = make_scene(
        [("dog", "brown", HELD_OUT_SEED), ("dog", "brown", HELD_OUT_SEED), ("car", "blue", HELD_OUT_SEED)]
    )
    front, side, other = render_world(scene, fixed_views([0, 90, 0]), 128).over(torch.ones(3)).split(1)
    steps = torch.tensor([200, 400, 600, 800]).repeat(4)
    alpha = prior.alphas_cumprod[steps].view(-1, 1, 1, 1)
    noise = torch.randn(16, 4, 16, 16, generator=torch.Generator().manual_seed(1))
    noisy = alpha.sqrt() * prior.encode(side) + (1 - alpha).sqrt() * noise

    def error(reference: torch.Tensor, azimuth: float) -> float:
        same = torch.zeros(16)
        view = prior.view(prior.condition(reference, 15.0), torch.full((16,), azimuth), same, same)
        return (prior.predict_noise(noisy, steps, view) - noise).square().mean().item()

    right = error(front, 90)
    assert right < error(front, 0)
    assert right < error(front, 180)
    assert right < error(other, 90)
