"""The VAE of the mini prior: Stable Diffusion's AutoencoderKL, 8× downsampling, 4 latent channels, small."""

from __future__ import annotations

from collections.abc import Callable

import torch
from diffusers import AutoencoderKL
from torch import Tensor
from torch.nn import functional

from mini_prior.data import Dataset, random_backgrounds
from mini_prior.training import Trainer


def make_autoencoder(size: int) -> AutoencoderKL:
    """The untrained network. Groups of 4 to 16 channels: one channel a group would wash flat colours out."""
    channels = (32, 64, 128, 128)
    return AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=channels,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=8,
        sample_size=size,
    )


def train_autoencoder(vae: AutoencoderKL, data: Dataset, trainer: Trainer, *, batch: int) -> None:
    """Reconstruct pictures over random backgrounds, a fifth of them blurred as young fields are."""
    device = data.rgba.device

    def objective(image: Tensor, noise: Tensor) -> Tensor:
        mean, log_variance = vae.quant_conv(vae.encoder(image)).float().chunk(2, dim=1)
        log_variance = log_variance.clamp(-20, 10)
        latents = mean + (0.5 * log_variance).exp() * noise
        rebuilt = vae.decoder(vae.post_quant_conv(latents)).float()
        divergence = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).mean()
        return reconstruction_loss(rebuilt, image) + 1e-5 * divergence

    latent_shape = (batch, 4, data.rgba.shape[-1] // 8, data.rgba.shape[-1] // 8)

    def draw(generator: torch.Generator) -> tuple[Tensor, ...]:
        index = torch.randint(len(data), (batch,), generator=generator, device=device)
        image = data.over(index, random_backgrounds(batch, generator, device)) * 2 - 1
        image = _blur_some(image, max(1, batch // 5))
        return image, torch.randn(latent_shape, generator=generator, device=device)

    trainer.run(vae, draw, objective)


def _blur_some(image: Tensor, count: int) -> Tensor:
    """The first ``count`` pictures at a quarter of their resolution, the rest as they are."""
    size = image.shape[-2:]
    soft = functional.interpolate(functional.avg_pool2d(image[:count], 4), size, mode="bilinear")
    return torch.cat([soft, image[count:]])


def reconstruction_loss(rebuilt: Tensor, image: Tensor) -> Tensor:
    """L1 + MSE + L1 of 4×4 averages + half the L1 of differences between neighbours."""
    error = rebuilt - image
    pooled = functional.avg_pool2d(error, 4).abs().mean()
    across = error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()
    return error.abs().mean() + error.square().mean() + pooled + 0.5 * across


def encode_dataset(vae: AutoencoderKL, data: Dataset, generator: torch.Generator) -> Tensor:
    """Latents ``[2,N,4,s,s]`` float16 of every picture over two random backgrounds, before scaling."""

    def background(count: int) -> Tensor:
        return random_backgrounds(count, generator, data.rgba.device)

    return torch.stack([encode_over(vae, data, background) for _ in range(2)])


def encode_over_white(vae: AutoencoderKL, data: Dataset) -> Tensor:
    """Latents ``[N,4,s,s]`` float16 of every picture over white, before scaling."""
    return encode_over(vae, data, lambda count: torch.ones(count, 3, device=data.rgba.device))


@torch.no_grad()
def encode_over(vae: AutoencoderKL, data: Dataset, background: Callable[[int], Tensor], batch: int = 512) -> Tensor:
    """Latents ``[N,4,s,s]`` float16 of every picture, before scaling; ``background`` gives colours ``[count,3]``."""
    device, parts = data.rgba.device, []
    for start in range(0, len(data), batch):
        index = torch.arange(start, min(start + batch, len(data)), device=device)
        image = data.over(index, background(len(index))) * 2 - 1
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            parts.append(vae.encode(image).latent_dist.mean.half())
    return torch.cat(parts)


@torch.no_grad()
def held_out_psnr(vae: AutoencoderKL, data: Dataset, batch: int = 64) -> tuple[float, Tensor]:
    """Mean PSNR in dB over all held-out pictures on white, and the first pictures beside their reconstructions."""
    device, ratios, shown = data.rgba.device, [], torch.empty(0)
    for start in range(0, len(data), batch):
        index = torch.arange(start, min(start + batch, len(data)), device=device)
        image = data.over(index, torch.ones(len(index), 3, device=device))
        rebuilt = (vae.decode(vae.encode(image * 2 - 1).latent_dist.mean).sample / 2 + 0.5).clamp(0, 1)
        ratios.append(-10 * (image - rebuilt).square().mean(dim=(1, 2, 3)).log10())
        if start == 0:
            shown = torch.cat([image[:12], rebuilt[:12]]).cpu()
    return torch.cat(ratios).mean().item(), shown
