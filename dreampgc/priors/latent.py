"""What every latent diffusion model in diffusers layout has in common, whatever its UNet is told of the image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor

from dreampgc.errors import InputError
from dreampgc.ops.linearise import Transpose
from dreampgc.priors import linear
from dreampgc.priors.base import Affine
from dreampgc.priors.networks import Networks, SparingNetworks

#: The block widths of the VAE that SD 1, SD 2 and SDXL share; the scaling factor tells SDXL from the others.
_STABLE_DIFFUSION_VAE = (128, 256, 512, 512)
SDXL_SCALING = 0.13025


class LatentDiffusion:
    """A frozen VAE, a frozen UNet and a noise schedule: see `dreampgc.priors.base.LatentPrior` for the methods.

    The weights are computed with in their own dtype; everything that goes in and comes out is float32.
    """

    latent_channels = 4

    def __init__(
        self, name: str, *, unet: Any, vae: Any, scheduler: Any, linear_rgb_to_latent: Affine | None = None
    ) -> None:
        self.name = name
        self.unet = unet
        self.vae = vae
        #: How the networks are run; they may be exchanged for faster or smaller ones.
        self.networks = Networks(unet, vae)
        self.device: torch.device = unet.device
        self.scaling_factor: float = vae.config.scaling_factor
        self.downsampling: int = 2 ** (len(vae.config.block_out_channels) - 1)
        self.image_size: int = unet.config.sample_size * self.downsampling
        self.alphas_cumprod: Tensor = scheduler.alphas_cumprod.to(self.device, torch.float32)
        self.prediction_type: str = scheduler.config.prediction_type
        self.linear_rgb_to_latent = linear_rgb_to_latent

    def encode(self, image: Tensor) -> Tensor:
        """Latents ``[B,4,H/8,W/8]`` of images ``[B,3,H,W]`` in [0,1]: the posterior's mean, scaled; differentiable."""
        return self.networks.encode(image)

    def encode_with_vjp(self, image: Tensor) -> tuple[Tensor, Transpose]:
        """`encode` without a graph, and what carries a gradient of the latents back to the image (once)."""
        return self.networks.encode_with_vjp(image)

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """Images ``[B,3,H,W]`` in [0,1] of latents ``[B,4,H/8,W/8]``."""
        image = self.vae.decode((latents / self.scaling_factor).to(self.vae.dtype)).sample
        return (image.float() / 2 + 0.5).clamp(0, 1)

    def save_memory(self) -> bool:
        """One sample at a time, activations computed twice; whether that is new."""
        if isinstance(self.networks, SparingNetworks):
            return False
        self.networks = SparingNetworks(self.unet, self.vae)
        return True

    def _noise(self, output: Tensor, noisy: Tensor, timesteps: Tensor) -> Tensor:
        """The noise that the UNet's ``output`` means.

        A model that predicts ``v = sqrt(a) eps - sqrt(1-a) z`` is converted: ``eps = sqrt(a) v + sqrt(1-a) z_t``.
        """
        if self.prediction_type == "epsilon":
            return output
        alpha = self.alphas_cumprod[timesteps].view(-1, 1, 1, 1)
        return alpha.sqrt() * output + (1 - alpha).sqrt() * noisy


def default_dtype(device: str) -> torch.dtype:
    """The dtype of the arithmetic where none is asked for: float32 on the CPU and float16 elsewhere."""
    return torch.float32 if torch.device(device).type == "cpu" else torch.float16


def linear_map(directory: Path, vae_config: Any, device: str) -> Affine | None:
    """The map fitted for this prior, else the published one of a VAE that the whole family shares; None without either.

    Raises:
        InputError: the fitted one is damaged.
    """
    try:
        fitted = linear.LinearMap.load(directory)
    except (SafetensorError, KeyError) as error:
        raise InputError(f"{directory / linear.FILE_NAME} is damaged: {error}") from error
    if fitted is None and tuple(vae_config.block_out_channels) == _STABLE_DIFFUSION_VAE:
        fitted = linear.SDXL if vae_config.scaling_factor == SDXL_SCALING else linear.STABLE_DIFFUSION
    if fitted is None:
        return None
    matrix, bias = fitted.rgb_to_latent
    return matrix.to(device), bias.to(device)
