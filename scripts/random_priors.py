"""Full-size diffusion models with random weights, made on the device: they cost what the real ones cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from transformers import CLIPImageProcessorPil, CLIPVisionConfig, CLIPVisionModelWithProjection

from dreampgc.priors.base import TextCondition
from dreampgc.priors.diffusion import DiffusionPrior
from dreampgc.priors.projection import CLIPCameraProjection
from dreampgc.priors.zero123 import Zero123Prior

#: The published configurations, where they differ from diffusers' defaults.
UNETS: dict[str, dict[str, Any]] = {
    "sd15": {"sample_size": 64, "attention_head_dim": 8, "cross_attention_dim": 768},
    "sd21": {
        "sample_size": 64,
        "attention_head_dim": (5, 10, 20, 20),
        "cross_attention_dim": 1024,
        "use_linear_projection": True,
    },
    "sdxl": {
        "sample_size": 128,
        "block_out_channels": (320, 640, 1280),
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        "transformer_layers_per_block": (1, 2, 10),
        "attention_head_dim": (5, 10, 20),
        "cross_attention_dim": 2048,
        "use_linear_projection": True,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 256,
        "projection_class_embeddings_input_dim": 2816,
    },
}
#: The UNet of Zero123-XL: that of SD 1.5, which is shown the picture's latents beside the noisy ones.
VIEWS: dict[str, Any] = {"sample_size": 32, "attention_head_dim": 8, "cross_attention_dim": 768, "in_channels": 8}
VAE: dict[str, Any] = {
    "block_out_channels": (128, 256, 512, 512),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 2,
    "latent_channels": 4,
}


class RandomTexts:
    """Stands in for the text encoders: every text is noise of its own."""

    encoders = ()

    def __init__(self, width: int, pooled: int | None, device: str) -> None:
        self._width, self._pooled, self._device = width, pooled, device

    def encode(self, texts: Sequence[str]) -> TextCondition:
        """One condition for each text."""
        tokens = torch.randn(len(texts), 77, self._width, device=self._device)
        if self._pooled is None:
            return TextCondition(tokens)
        return TextCondition(tokens, torch.randn(len(texts), self._pooled, device=self._device))

    def release(self) -> None:
        """There is nothing to free."""


def make_network(kind: type[torch.nn.Module], settings: dict[str, Any], device: str, dtype: torch.dtype) -> Any:
    """A frozen network whose weights are made where they stay, in ``dtype``."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            return kind(**settings).requires_grad_(False).eval()
    finally:
        torch.set_default_dtype(before)


def make_prior(name: str, device: str) -> DiffusionPrior:
    """The prior ``name`` of `UNETS`, half precision; SDXL's VAE in bfloat16, as `DiffusionPrior.load` has it."""
    sdxl = name == "sdxl"
    vae_dtype = torch.bfloat16 if sdxl else torch.float16
    vae = {**VAE, "sample_size": 1024 if sdxl else 512, "scaling_factor": 0.13025 if sdxl else 0.18215}
    texts: Any = RandomTexts(UNETS[name]["cross_attention_dim"], 1280 if sdxl else None, device)
    return DiffusionPrior(
        name,
        unet=make_network(UNet2DConditionModel, UNETS[name], device, torch.float16),
        vae=make_network(AutoencoderKL, vae, device, vae_dtype),
        text=texts,
        scheduler=DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear"),
    )


def make_view_prior(device: str) -> Zero123Prior:
    """A prior of views as large as Zero123-XL, half precision: its image encoder is ViT-L/14."""
    vision = CLIPVisionConfig(
        hidden_size=1024,
        intermediate_size=4096,
        num_hidden_layers=24,
        num_attention_heads=16,
        image_size=224,
        patch_size=14,
        projection_dim=768,
    )
    half = torch.float16
    return Zero123Prior(
        "zero123-xl",
        "zero123",
        unet=make_network(UNet2DConditionModel, VIEWS, device, half),
        vae=make_network(AutoencoderKL, {**VAE, "sample_size": 256, "scaling_factor": 0.18215}, device, half),
        scheduler=DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear"),
        image_encoder=make_network(CLIPVisionModelWithProjection, {"config": vision}, device, half),
        projection=make_network(CLIPCameraProjection, {}, device, half),
        processor=CLIPImageProcessorPil(size={"shortest_edge": 224}, crop_size={"height": 224, "width": 224}),
    )
