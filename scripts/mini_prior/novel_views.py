"""A small Zero123: UNet, picture encoder and projection, learned together on pairs of views of one object."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import CLIPImageProcessorPil, CLIPVisionConfig, CLIPVisionModelWithProjection

from dreampgc.priors.projection import CLIPCameraProjection
from dreampgc.priors.zero123 import pose_features
from mini_prior.data import Dataset
from mini_prior.denoiser import WIDTH, make_scheduler, make_unet
from mini_prior.training import Trainer

PATCHES = 8  # a side, that the encoder cuts a picture into
HEAD = 16  # channels of an attention head in the UNet: GPUs are fast with multiples of 8
ITSELF = 0.05  # share of the samples whose target is the reference picture
UNCONDITIONAL = 0.1  # share of the samples that are told nothing


def make_processor(size: int) -> CLIPImageProcessorPil:
    """What the image encoder sees of a picture of ``size`` pixels: all of it, bytes normalised to [-1,1]."""
    half = [0.5, 0.5, 0.5]
    side = {"height": size, "width": size}
    return CLIPImageProcessorPil(size={"shortest_edge": size}, crop_size=side, image_mean=half, image_std=half)


def normalised(pictures: Tensor) -> Tensor:
    """What `make_processor` gives for pictures ``[B,3,S,S]`` uint8 of its size."""
    return pictures.float() / 127.5 - 1


class ViewDenoiser(nn.Module):
    """The three networks, so that one optimiser and one moving average hold all; ``channels`` are multiples of 16."""

    def __init__(self, size: int, channels: tuple[int, int, int], scaling_factor: float) -> None:
        super().__init__()
        self.image_encoder = CLIPVisionModelWithProjection(
            CLIPVisionConfig(
                hidden_size=WIDTH,
                intermediate_size=2 * WIDTH,
                projection_dim=WIDTH,
                num_hidden_layers=2,
                num_attention_heads=4,
                image_size=size,
                patch_size=size // PATCHES,
            )
        )
        self.projection = CLIPCameraProjection(embedding_dim=WIDTH)
        low, middle, high = (width // HEAD for width in channels)
        self.unet = make_unet(size // 8, channels, in_channels=8, heads=(low, middle, high))
        with torch.no_grad():
            # the reference's latents are not scaled: the weights that meet them start as much smaller
            self.unet.conv_in.weight[:, 4:] *= scaling_factor

    def forward(
        self, noisy: Tensor, t: Tensor, reference: Tensor, pictures: Tensor, pose: Tensor, told: Tensor
    ) -> Tensor:
        """The noise in ``noisy`` ``[B,4,s,s]`` at ``t`` ``[B]``: see `draw_views` for the other inputs."""
        embedding = self.image_encoder(pixel_values=normalised(pictures)).image_embeds
        tokens = self.projection(torch.cat([embedding, pose], dim=-1)) * told[:, None]
        inputs = torch.cat([noisy, reference * told[:, None, None, None]], dim=1)
        return self.unet(inputs, t, encoder_hidden_states=tokens[:, None]).sample.float()


class Pairs:
    """Pairs of views of one object from ``data``, with the VAE's unscaled ``latents`` ``[N,4,s,s]`` of its pictures.

    Raises:
        ValueError: the pictures come one by one, or pictures and latents are not as many.
    """

    def __init__(self, data: Dataset, latents: Tensor, scaling_factor: float) -> None:
        if data.views < 2:
            raise ValueError("pairs need at least two views of each object")
        if len(data) != len(latents):
            raise ValueError(f"{len(data)} pictures, but latents of {len(latents)}")
        self.data, self.latents, self.scaling_factor = data, latents, scaling_factor
        self.alphas = make_scheduler().alphas_cumprod.to(latents.device)

    def draw(self, batch: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Pictures' numbers ``[batch]`` twice: the reference, and another of its group or, seldom, itself."""
        views, device = self.data.views, self.latents.device
        reference = torch.randint(len(self.data), (batch,), generator=generator, device=device)
        further = torch.randint(1, views, (batch,), generator=generator, device=device)
        itself = torch.rand(batch, generator=generator, device=device) < ITSELF
        place = reference % views
        return reference, reference - place + (place + torch.where(itself, 0, further)) % views

    def poses(self, reference: Tensor, target: Tensor) -> Tensor:
        """The pose features ``[B,4]`` of the targets' cameras relative to those of their references."""
        cameras = (self.data.azimuth, self.data.elevation, self.data.distance)
        return pose_features("zero123", 0.0, *(values[target] - values[reference] for values in cameras))

    def draw_noisy(self, batch: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        """The inputs of `view_loss`, all on the device.

        They are the noise; the target's noisy latents and time steps; the reference's latents ``[B,4,s,s]`` and
        picture ``[B,3,S,S]`` uint8; the pose; and whether the model is ``told`` of them ``[B]``, 1 or 0.
        """
        device = self.latents.device
        reference, target = self.draw(batch, generator)
        clean = self.latents[target].float() * self.scaling_factor
        noise = torch.randn(clean.shape, generator=generator, device=device)
        t = torch.randint(1000, (batch,), generator=generator, device=device)
        alpha = self.alphas[t][:, None, None, None]
        told = (torch.rand(batch, generator=generator, device=device) >= UNCONDITIONAL).float()
        return (
            noise,
            alpha.sqrt() * clean + (1 - alpha).sqrt() * noise,
            t,
            self.latents[reference].float(),
            self.data.over_white(reference),
            self.poses(reference, target),
            told,
        )


def view_loss(model: ViewDenoiser, noise: Tensor, *inputs: Tensor) -> Tensor:
    """The mean squared error of the predicted noise."""
    return functional.mse_loss(model(*inputs), noise)


def train_views(model: ViewDenoiser, pairs: Pairs, trainer: Trainer, *, batch: int) -> None:
    """Predict the noise in one view of an object, given another and the pose between them."""
    trainer.run(model, lambda generator: pairs.draw_noisy(batch, generator), lambda *inputs: view_loss(model, *inputs))


@torch.no_grad()
def held_out_view_loss(model: ViewDenoiser, pairs: Pairs, *, batch: int = 256, rounds: int = 32) -> float:
    """`view_loss` of pairs that were never trained on; the same noise and time steps for every model."""
    generator = torch.Generator(pairs.latents.device).manual_seed(0)
    losses = [view_loss(model, *pairs.draw_noisy(batch, generator)) for _ in range(rounds)]
    return torch.stack(losses).mean().item()
