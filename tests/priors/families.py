"""Tiny random models of the four full-size families, saved by diffusers' own pipelines in exactly their layouts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, get_args

import pytest
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import StableDiffusionPipeline
from diffusers.pipelines.stable_diffusion_xl.pipeline_stable_diffusion_xl import StableDiffusionXLPipeline
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from diffusers.schedulers.scheduling_euler_discrete import EulerDiscreteScheduler
from diffusers.schedulers.scheduling_pndm import PNDMScheduler
from transformers import (
    CLIPImageProcessorPil,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
)

from dreampgc.errors import InputError
from dreampgc.priors.checking import examine
from dreampgc.priors.projection import CLIPCameraProjection
from tests.priors.conftest import TINY_UNET, write_tokenizer

Family = Literal["sd15", "sd21", "sd21-v", "sdxl"]
FAMILIES: tuple[Family, ...] = get_args(Family)

_NOISE: dict[str, Any] = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
#: What tells the families apart, at sizes of a few kilobytes: the names are those of the real configurations.
_UNETS: dict[Family, dict[str, Any]] = {
    "sd15": {"attention_head_dim": 2},
    "sd21": {"attention_head_dim": (1, 2), "use_linear_projection": True},
    "sd21-v": {"attention_head_dim": (1, 2), "use_linear_projection": True, "upcast_attention": True, "sample_size": 6},
    "sdxl": {
        "attention_head_dim": (1, 2),
        "use_linear_projection": True,
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
        "transformer_layers_per_block": (1, 2),
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 8,
        "cross_attention_dim": 16 + 24,
        "projection_class_embeddings_input_dim": 12 + 6 * 8,
    },
}


def write_family(directory: Path, family: Family) -> Path:
    """Save a tiny model of a family; SDXL in half precision and in shards, with the names that this gives."""
    torch.manual_seed(FAMILIES.index(family))
    pipeline = _sdxl(directory) if family == "sdxl" else _stable_diffusion(directory, family)
    if family == "sdxl":
        pipeline.to(dtype=torch.float16).save_pretrained(directory, variant="fp16", max_shard_size="60KB")
    else:
        pipeline.save_pretrained(directory)
    return directory


def write_zero123(directory: Path, **unet: Any) -> Path:
    """Save a tiny Zero123, part by part: diffusers has no pipeline. ``unet`` changes its UNet's configuration."""
    torch.manual_seed(5)
    vision = CLIPVisionConfig(
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=16,
        patch_size=8,
        projection_dim=16,
    )
    parts: dict[str, Any] = {
        "unet": UNet2DConditionModel(**(TINY_UNET | {"attention_head_dim": 4, "in_channels": 8} | unet)),
        "vae": _vae(scaling_factor=0.18215),
        "image_encoder": CLIPVisionModelWithProjection(vision),
        "clip_camera_projection": CLIPCameraProjection(embedding_dim=16),
        "scheduler": DDIMScheduler(**_NOISE, clip_sample=False, steps_offset=1),
        "feature_extractor": CLIPImageProcessorPil(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16}),
    }
    for part, model in parts.items():
        model.save_pretrained(directory / part)
    return directory


def assert_found(directory: Path, part: str, says: str, load: Callable[[Path], object], layout: str) -> None:
    """The check and ``load`` find the same one fault, in ``part``; the latter in one line that names the ``layout``."""
    [verdict] = examine(directory).wrong
    assert verdict.part == part
    assert says in verdict.note
    with pytest.raises(InputError, match=f"is not a {layout} model in diffusers layout: {part} ") as raised:
        load(directory)
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)


def _stable_diffusion(directory: Path, family: Family) -> StableDiffusionPipeline:
    prediction = "v_prediction" if family == "sd21-v" else "epsilon"
    settings: dict[str, Any] = {**_NOISE, "prediction_type": prediction, "steps_offset": 1}
    sd15 = family == "sd15"
    tokenizer = _tokenizer(directory.parent / f"{family}-tokenizer", "<|endoftext|>" if sd15 else "!")
    return StableDiffusionPipeline(
        unet=_unet(family),
        vae=_vae(scaling_factor=0.18215),
        text_encoder=CLIPTextModel(_text(tokenizer, 16, "quick_gelu" if sd15 else "gelu")),
        tokenizer=tokenizer,
        scheduler=PNDMScheduler(**settings) if sd15 else DDIMScheduler(**settings, clip_sample=False),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def _sdxl(directory: Path) -> StableDiffusionXLPipeline:
    first, second = (_tokenizer(directory.parent / f"sdxl-{number}", pad) for number, pad in ((1, "e"), (2, "!")))
    return StableDiffusionXLPipeline(
        unet=_unet("sdxl"),
        vae=_vae(scaling_factor=0.13025, force_upcast=True),
        text_encoder=CLIPTextModel(_text(first, 16, "quick_gelu")),
        text_encoder_2=CLIPTextModelWithProjection(_text(second, 24, "gelu", projection_dim=12)),
        tokenizer=first,
        tokenizer_2=second,
        scheduler=EulerDiscreteScheduler(**_NOISE, timestep_spacing="leading", steps_offset=1),
        force_zeros_for_empty_prompt=True,
        add_watermarker=False,
    )


def _unet(family: Family) -> UNet2DConditionModel:
    return UNet2DConditionModel(**(TINY_UNET | _UNETS[family]))


def _vae(**settings: Any) -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=(4, 8, 8, 8),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=1,
        norm_num_groups=4,
        sample_size=32,
        **settings,
    )


def _text(tokenizer: CLIPTokenizer, width: int, activation: str, projection_dim: int = 16) -> CLIPTextConfig:
    return CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=32,
        num_hidden_layers=3,
        num_attention_heads=2,
        max_position_embeddings=16,
        hidden_act=activation,
        projection_dim=projection_dim,
        bos_token_id=len(tokenizer) - 2,
        eos_token_id=len(tokenizer) - 1,
    )


def _tokenizer(directory: Path, pad: str) -> CLIPTokenizer:
    write_tokenizer(directory, pad)
    return CLIPTokenizer.from_pretrained(directory)
