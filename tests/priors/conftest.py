"""A tiny random Stable Diffusion in diffusers layout, written to disk once."""

from __future__ import annotations

import json
import string
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from transformers import CLIPTextConfig, CLIPTextModel

#: A UNet of two levels, as small as diffusers builds them.
TINY_UNET: dict[str, Any] = {
    "sample_size": 4,
    "block_out_channels": (8, 16),
    "layers_per_block": 1,
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
    "cross_attention_dim": 16,
    "norm_num_groups": 4,
}


def write_tokenizer(directory: Path, pad: str = "<|endoftext|>") -> int:
    """A CLIP tokenizer that knows single letters; returns the size of its vocabulary."""
    directory.mkdir(parents=True)
    letters = [*string.ascii_lowercase, *string.digits, ",", "!"]
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    (directory / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(tokens)}))
    (directory / "merges.txt").write_text("#version: 0.2\n")
    config = {
        "tokenizer_class": "CLIPTokenizer",
        "model_max_length": 16,
        "bos_token": "<|startoftext|>",
        "eos_token": "<|endoftext|>",
        "unk_token": "<|endoftext|>",
        "pad_token": pad,
    }
    (directory / "tokenizer_config.json").write_text(json.dumps(config))
    return len(tokens)


def write_tiny_model(directory: Path, prediction_type: str = "epsilon", unet: dict[str, Any] | None = None) -> Path:
    """Save random weights in float16, as the embedded prior's are; ``unet`` changes the UNet's configuration."""
    torch.manual_seed(0)
    words = write_tokenizer(directory / "tokenizer")
    text = CLIPTextConfig(
        vocab_size=words,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=16,
        bos_token_id=words - 2,
        eos_token_id=words - 1,
    )
    denoiser = UNet2DConditionModel(**(TINY_UNET | {"attention_head_dim": 4} | (unet or {})))
    vae = AutoencoderKL.from_config(
        {
            "block_out_channels": (4, 8, 8, 8),
            "down_block_types": ("DownEncoderBlock2D",) * 4,
            "up_block_types": ("UpDecoderBlock2D",) * 4,
            "layers_per_block": 1,
            "norm_num_groups": 4,
            "sample_size": 32,
            "scaling_factor": 0.25,
        }
    )
    scheduler = DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
    scheduler.register_to_config(prediction_type=prediction_type)
    for name, model in {"unet": denoiser, "vae": vae, "text_encoder": CLIPTextModel(text)}.items():
        model.half().save_pretrained(directory / name, safe_serialization=True)
    scheduler.save_pretrained(directory / "scheduler")
    return directory


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that predicts the noise."""
    return write_tiny_model(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture(scope="session")
def tiny_v_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same weights, declared to predict v."""
    return write_tiny_model(tmp_path_factory.mktemp("model") / "tiny-v", "v_prediction")
