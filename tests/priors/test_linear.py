"""Affine maps between pixels and latents."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from dreampgc.priors.catalog import MINI_DIRECTORY
from dreampgc.priors.diffusion import DiffusionPrior
from dreampgc.priors.linear import SDXL, STABLE_DIFFUSION, LinearMap, fit_linear_map, inverse

MATRIX, BIAS = torch.randn(3, 4, generator=torch.Generator().manual_seed(0)), torch.tensor([1.0, -2.0, 3.0, 0.5])


def affine_encoder(images: Tensor) -> Tensor:
    return torch.einsum("bchw,cz->bzhw", functional.avg_pool2d(images, 8), MATRIX) + BIAS[:, None, None]


def test_recovers_an_affine_encoder() -> None:
    images = torch.rand(8, 3, 64, 64)
    fitted = fit_linear_map(affine_encoder, images, ridge=0)
    torch.testing.assert_close(fitted.rgb_to_latent, (MATRIX, BIAS), rtol=1e-4, atol=1e-4)
    rgb = functional.avg_pool2d(images, 8).movedim(1, -1)
    back = fit_linear_map(affine_encoder, images, ridge=1e-8).latent_to_rgb
    assert back is not None
    weight, bias = back
    torch.testing.assert_close(affine_encoder(images).movedim(1, -1) @ weight + bias, rgb, rtol=0, atol=1e-3)


def test_satisfies_the_normal_equations_of_ridge_regression() -> None:
    images, noise = torch.rand(4, 3, 32, 32), torch.randn(4, 4, 4, 4)
    latents = affine_encoder(images) + noise
    lookup = iter(latents.split(1))
    weight, bias = fit_linear_map(lambda _: next(lookup), images, ridge=0.5).rgb_to_latent
    rgb = functional.avg_pool2d(images, 8).movedim(1, -1).reshape(-1, 3)
    residual = latents.movedim(1, -1).reshape(-1, 4) - rgb @ weight - bias
    torch.testing.assert_close(rgb.T @ residual, 0.5 * weight, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(residual.sum(0), torch.zeros(4), rtol=0, atol=1e-3)


def test_more_ridge_means_less_matrix() -> None:
    images = torch.rand(4, 3, 32, 32)
    sizes = [fit_linear_map(affine_encoder, images, ridge).rgb_to_latent[0].norm() for ridge in (1e-3, 1, 100)]
    assert sizes[0] > sizes[1] > sizes[2]


@pytest.mark.parametrize("maps", [SDXL, STABLE_DIFFUSION], ids=["sdxl", "sd"])
def test_round_trip_through_a_file(tmp_path: Path, maps: LinearMap) -> None:
    assert LinearMap.load(tmp_path) is None
    maps.save(tmp_path)
    loaded = LinearMap.load(tmp_path)
    assert loaded is not None
    torch.testing.assert_close(loaded.rgb_to_latent, maps.rgb_to_latent, rtol=0, atol=0)
    assert (loaded.latent_to_rgb is None) == (maps.latent_to_rgb is None)


def test_sdxls_published_maps_invert_each_other_roughly() -> None:
    """Tells a transposed or mislabelled matrix: grey stays grey to within a tenth."""
    matrix, bias = SDXL.rgb_to_latent
    assert SDXL.latent_to_rgb is not None
    back, offset = SDXL.latent_to_rgb
    grey = torch.linspace(0.2, 0.8, 5)[:, None].expand(-1, 3)
    torch.testing.assert_close((grey @ matrix + bias) @ back + offset, grey, rtol=0, atol=0.1)


def test_the_inverse_of_a_published_map_undoes_it() -> None:
    matrix, bias = inverse((MATRIX, BIAS))
    rgb = torch.rand(16, 3)
    torch.testing.assert_close((rgb @ MATRIX + BIAS) @ matrix + bias, rgb, rtol=0, atol=1e-4)


@pytest.mark.parametrize("rgb", [(0.8, 0.1, 0.1), (0.1, 0.2, 0.8), (1.0, 1.0, 1.0), (0.5, 0.3, 0.15)])
def test_the_map_of_mini_brings_flat_colours_back(mini: DiffusionPrior, rgb: tuple[float, float, float]) -> None:
    fitted = LinearMap.load(MINI_DIRECTORY)
    assert fitted is not None
    assert fitted.latent_to_rgb is not None
    flat = torch.tensor(rgb)[None, :, None, None].expand(1, 3, 128, 128)
    weight, bias = fitted.latent_to_rgb
    back = mini.encode(flat).mean(dim=(2, 3)) @ weight + bias
    # Three numbers of four: the VAE is not linear, but a mesh's colours must keep their hue.
    assert (back - torch.tensor(rgb)).abs().max() < 0.25
