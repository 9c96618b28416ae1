"""Integration: what only networks of the full size show; their weights are random."""

from __future__ import annotations

import pytest
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from random_priors import VAE, make_network

from dreampgc.priors.networks import Networks, SparingNetworks

pytestmark = pytest.mark.requires_cuda


class NoUNet:
    """These tests look at the VAE alone."""

    dtype = torch.float16


@pytest.mark.parametrize(
    ("size", "batch", "dtype"), [(512, 1, torch.float16), (512, 4, torch.float16), (1024, 1, torch.bfloat16)]
)
def test_the_encoder_s_backward_works(size: int, batch: int, dtype: torch.dtype) -> None:
    """Other programs fail here with "negative dimension". Its value: directional differences in float32 weights."""
    torch.manual_seed(0)
    vae = make_network(AutoencoderKL, {**VAE, "scaling_factor": 0.18215}, "cuda", dtype)
    image = torch.rand(batch, 3, size, size, device="cuda")
    latents, transpose = Networks(NoUNet, vae).encode_with_vjp(image)
    cotangent = torch.randn_like(latents)
    gradient = transpose(cotangent)
    assert gradient.shape == image.shape
    assert gradient.dtype == torch.float32
    assert gradient.isfinite().all()

    exact = Networks(NoUNet, vae.float())
    with torch.no_grad(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        direction = gradient / gradient.norm()
        step = 0.005 * image.numel() ** 0.5  # of a pixel's range, over all pixels: larger ones meet the curvature
        ahead, behind = (exact.encode(image + sign * step * direction) for sign in (0.5, -0.5))
    slope = ((ahead - behind) * cotangent).sum() / step
    # Along itself a gradient's slope is its length; on a CPU at 64 pixels it is within 0.3 % of it, with bfloat16 too.
    assert slope.item() == pytest.approx(gradient.norm().item(), rel=0.05)


def test_sparing_needs_less_memory_for_the_same() -> None:
    torch.manual_seed(0)
    vae = make_network(AutoencoderKL, {**VAE, "scaling_factor": 0.18215}, "cuda", torch.float16)
    image = torch.rand(4, 3, 512, 512, device="cuda")
    cotangent = torch.randn(4, 4, 64, 64, device="cuda")
    results, peaks = [], []
    for kind in (Networks, SparingNetworks):
        networks = kind(NoUNet, vae)
        torch.cuda.empty_cache()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        results.append(networks.encode_with_vjp(image)[1](cotangent))
        peaks.append(torch.cuda.max_memory_allocated() - before)
    difference = (results[1] - results[0]).norm() / results[0].norm()
    assert difference < 0.03
    assert peaks[1] < peaks[0] / 4
