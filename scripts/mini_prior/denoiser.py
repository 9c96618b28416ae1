"""The UNet and the text encoder of the mini prior, learned together on the VAE's latents."""

from __future__ import annotations

from collections.abc import Callable

import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from torch import Tensor, nn
from torch.nn import functional
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from mini_prior.captions import Captions
from mini_prior.training import Trainer

WIDTH = 128  # of the embeddings that UNets are told


def make_scheduler() -> DDIMScheduler:
    """Stable Diffusion's noise schedule."""
    return DDIMScheduler(
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        prediction_type="epsilon",
    )


def make_unet(
    latent_size: int, channels: tuple[int, int, int], *, in_channels: int, heads: int | tuple[int, int, int]
) -> UNet2DConditionModel:
    """A UNet of three levels, one layer each; ``heads`` are the numbers of attention heads."""
    return UNet2DConditionModel(
        sample_size=latent_size,
        in_channels=in_channels,
        out_channels=4,
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        block_out_channels=channels,
        layers_per_block=1,
        cross_attention_dim=WIDTH,
        attention_head_dim=heads,  # despite the name
        norm_num_groups=16,
    )


class Denoiser(nn.Module):
    """A text encoder and a UNet, so that one optimiser and one moving average hold both."""

    def __init__(self, tokenizer: CLIPTokenizer, latent_size: int, channels: tuple[int, int, int]) -> None:
        super().__init__()
        self.text_encoder = CLIPTextModel(
            CLIPTextConfig(
                vocab_size=len(tokenizer),
                hidden_size=WIDTH,
                intermediate_size=2 * WIDTH,
                projection_dim=WIDTH,
                num_hidden_layers=2,
                num_attention_heads=4,
                max_position_embeddings=tokenizer.model_max_length,
                bos_token_id=tokenizer.bos_token_id,
                eos_token_id=tokenizer.eos_token_id,
                pad_token_id=tokenizer.pad_token_id,
            )
        )
        self.unet = make_unet(latent_size, channels, in_channels=4, heads=4)


def train_denoiser(model: Denoiser, captions: Captions, latents: Tensor, trainer: Trainer, *, batch: int) -> None:
    """Predict the noise in latents ``[2,N,4,s,s]`` of unit variance, under captions mixed as guidance mixes them."""
    alphas = make_scheduler().alphas_cumprod.to(latents.device)

    def draw(generator: torch.Generator) -> tuple[Tensor, ...]:
        return draw_noisy(captions, latents, alphas, batch, generator)

    trainer.run(model, draw, lambda *inputs: denoising_loss(model, *inputs))


def draw_noisy(
    captions: Captions, latents: Tensor, alphas: Tensor, batch: int, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """The inputs of `denoising_loss`: noisy latents, time steps, noise, tokens and their shares.

    ``alphas`` ``[1000]`` are the noise schedule's cumulative products.
    """
    device = latents.device
    index = torch.randint(latents.shape[1], (batch,), generator=generator, device=device)
    side = torch.randint(len(latents), (batch,), generator=generator, device=device)
    clean = latents[side, index].float()
    noise = torch.randn(clean.shape, generator=generator, device=device)
    t = torch.randint(1000, (batch,), generator=generator, device=device)
    alpha = alphas[t][:, None, None, None]
    noisy = alpha.sqrt() * clean + (1 - alpha).sqrt() * noise
    tokens, shares = captions.draw(index, torch.rand(3, batch, generator=generator, device=device))
    return noisy, t, noise, tokens, shares


def denoising_loss(model: Denoiser, noisy: Tensor, t: Tensor, noise: Tensor, tokens: Tensor, shares: Tensor) -> Tensor:
    """The mean squared error of the predicted noise."""
    text = mixed_conditions(model.text_encoder, tokens, shares)
    return functional.mse_loss(model.unet(noisy, t, encoder_hidden_states=text).sample.float(), noise)


@torch.no_grad()
def held_out_loss(model: Denoiser, captions: Captions, latents: Tensor, *, batch: int = 256, rounds: int = 32) -> float:
    """`denoising_loss` of latents that were never trained on; the same noise and time steps for every model."""
    generator = torch.Generator(latents.device).manual_seed(0)
    alphas = make_scheduler().alphas_cumprod.to(latents.device)
    losses = [denoising_loss(model, *draw_noisy(captions, latents, alphas, batch, generator)) for _ in range(rounds)]
    return torch.stack(losses).mean().item()


def mixed_conditions(encoder: CLIPTextModel, tokens: Tensor, shares: Tensor) -> Tensor:
    """Conditions ``[B,L,D]``: embeddings of ``tokens`` ``[B,P,L]``, mixed by ``shares`` ``[B,P]``."""
    embeddings = encoder(tokens.flatten(0, 1)).last_hidden_state.unflatten(0, tokens.shape[:2])
    return (embeddings.float() * shares[..., None, None]).sum(dim=1)


@torch.no_grad()
def sample_latents(
    model: Denoiser, text: Tensor, empty: Tensor, latent_size: int, *, seed: int, scale: float = 4.0, steps: int = 30
) -> Tensor:
    """DDIM samples ``[B,4,s,s]`` under conditions ``text`` ``[B,L,D]`` with classifier-free guidance."""
    both = torch.cat([empty.expand_as(text), text])

    def predict(latents: Tensor, t: Tensor) -> Tensor:
        return model.unet(latents, t, encoder_hidden_states=both).sample

    noise = torch.randn(len(text), 4, latent_size, latent_size, generator=torch.Generator().manual_seed(seed))
    return guided_samples(predict, noise.to(text.device), scale=scale, steps=steps)


def guided_samples(predict: Callable[[Tensor, Tensor], Tensor], latents: Tensor, *, scale: float, steps: int) -> Tensor:
    """DDIM from noise ``[B,4,s,s]`` with classifier-free guidance.

    ``predict`` gives the noise in latents ``[2B,4,s,s]`` at time steps ``[2B]``, unconditional ones first.
    """
    scheduler = make_scheduler()
    scheduler.set_timesteps(steps)
    for t in scheduler.timesteps:
        both = predict(torch.cat([latents] * 2), t.to(latents.device).expand(2 * len(latents)))
        unconditional, conditional = both.chunk(2)
        noise = unconditional + scale * (conditional - unconditional)
        latents = scheduler.step(noise, int(t), latents).prev_sample
    return latents
