"""Reads the parts of a model directory one by one with their plain classes, and says in a sentence what is wrong.

No pipeline, no remote code, no pickles. Weights that a file lacks are an error: the libraries would fill them with
random numbers and only warn.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from diffusers.utils import logging as diffusers_logging
from safetensors import SafetensorError, safe_open
from transformers import (
    CLIPImageProcessorPil,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    CLIPVisionModelWithProjection,
)
from transformers.utils import logging as transformers_logging

from dreampgc.priors.layout import PartError, check_files, find_weights, read_config
from dreampgc.priors.projection import POSE_FEATURES, CLIPCameraProjection

_MODELS: dict[str, Any] = {
    "unet": UNet2DConditionModel,
    "vae": AutoencoderKL,
    "text_encoder": CLIPTextModel,
    "text_encoder_2": CLIPTextModelWithProjection,
    "image_encoder": CLIPVisionModelWithProjection,
    "clip_camera_projection": CLIPCameraProjection,
}
#: The classes that a part may say it is; a text encoder's projection does no harm where none is needed.
_DECLARED = {name: {model.__name__} for name, model in _MODELS.items()}
_DECLARED["text_encoder"] |= {"CLIPTextModelWithProjection", "CLIPModel"}
_PREDICTIONS = ("epsilon", "v_prediction")
_TRAIN_STEPS = 1000
#: What a Git LFS checkout leaves in place of a file that was not fetched.
_LFS_POINTER = b"version https://git-lfs"


def read_part(directory: Path, part: str, dtype: torch.dtype = torch.float32) -> Any:
    """A part as an object: a frozen model with weights of ``dtype`` on the CPU, or one of the parts without weights.

    Raises:
        PartError: it is missing, damaged, or of another kind.
    """
    for logging in (diffusers_logging, transformers_logging):
        logging.disable_progress_bar()  # stderr belongs to the run's own progress bar
    check_files(directory, part)
    try:
        if part in _MODELS:
            return _read_model(directory, part, dtype)
        if part == "scheduler":
            read_config(directory, part)
            return DDIMScheduler.from_pretrained(directory / part)
        if part == "feature_extractor":
            return CLIPImageProcessorPil(**read_config(directory, part))
        return CLIPTokenizer.from_pretrained(directory / part)
    except PartError:
        raise
    except Exception as error:  # each library has its own errors for a damaged or foreign file
        sentence = str(error).strip().partition("\n")[0] or type(error).__name__
        raise PartError(part, f"cannot be read: {sentence}") from error


def _read_model(directory: Path, part: str, dtype: torch.dtype) -> Any:
    model_class, config = _MODELS[part], read_config(directory, part)
    declared = config.get("_class_name") or next(iter(config.get("architectures") or ()), model_class.__name__)
    if declared not in _DECLARED[part]:
        raise PartError(part, f"is a {declared}, not a {model_class.__name__}")
    weights = find_weights(directory, part)
    for file in weights.files:
        _check_file(part, file)
    model, info = model_class.from_pretrained(
        directory / part, use_safetensors=True, variant=weights.variant, output_loading_info=True, dtype=dtype
    )
    if missing := sorted(info["missing_keys"]):
        raise PartError(part, f"lacks {len(missing)} weights, for instance {missing[0]}")
    return model.requires_grad_(False).eval()


def _check_file(part: str, file: Path) -> None:
    """Open a file of weights: its header must agree with its length."""
    with file.open("rb") as stream:
        if stream.read(len(_LFS_POINTER)) == _LFS_POINTER:
            raise PartError(part, f"has only the Git LFS pointer of {file.name}: run `git lfs pull` there")
    try:
        with safe_open(file, framework="pt"):
            pass
    except SafetensorError as error:
        raise PartError(part, f"has a truncated or damaged {file.name} ({file.stat().st_size} bytes)") from error


def misfits(facts: Mapping[str, Any]) -> dict[str, str]:
    """What keeps parts from working together or with score distillation, a sentence for each part concerned.

    ``facts`` has the configuration of each part that could be read, and the number of words of each tokenizer.
    """
    unet = facts.get("unet")
    found = _common_misfits(facts)
    if unet is not None and unet.in_channels != 4:
        found["unet"] = f"takes {unet.in_channels} channels, not 4: a model for inpainting, depth or reference images"
    elif unet is not None and (sentence := _text_misfit(unet, facts)):
        found["unet"] = sentence
    for encoder, tokenizer in (("text_encoder", "tokenizer"), ("text_encoder_2", "tokenizer_2")):
        known, words = facts.get(encoder), facts.get(tokenizer)
        if known is not None and words is not None and words > known.vocab_size:
            found[tokenizer] = f"has {words} words, but {encoder} embeds only {known.vocab_size}"
    return found


def view_misfits(facts: Mapping[str, Any]) -> dict[str, str]:
    """`misfits` of a Zero123; of the ``feature_extractor``, ``facts`` has the side of the pictures that it makes."""
    parts = ("unet", "image_encoder", "clip_camera_projection", "feature_extractor")
    unet, encoder, projection, side = (facts.get(part) for part in parts)
    found = _common_misfits(facts)
    if unet is not None and unet.in_channels != 8:
        found["unet"] = f"takes {unet.in_channels} channels, not 8: noisy latents and those of the reference picture"
    elif unet is not None and (unet.addition_embed_type or unet.class_embed_type or unet.encoder_hid_dim_type):
        found["unet"] = "wants conditions other than a picture and a pose"
    elif unet is not None and projection is not None and unet.cross_attention_dim != projection.embedding_dim:
        found["unet"] = (
            f"wants conditions of width {unet.cross_attention_dim}, "
            f"but clip_camera_projection gives {projection.embedding_dim}"
        )
    if projection is not None and projection.additional_embeddings != POSE_FEATURES:
        found["clip_camera_projection"] = f"takes poses of {projection.additional_embeddings} numbers, not 4"
    elif projection is not None and encoder is not None and projection.embedding_dim != encoder.projection_dim:
        found["clip_camera_projection"] = (
            f"takes embeddings of width {projection.embedding_dim}, but image_encoder gives {encoder.projection_dim}"
        )
    if side is not None and encoder is not None and side != encoder.image_size:
        found["feature_extractor"] = f"makes pictures of {side} px, but image_encoder takes {encoder.image_size}"
    return found


def _common_misfits(facts: Mapping[str, Any]) -> dict[str, str]:
    """What is wrong with the VAE or the scheduler of any model."""
    vae, scheduler = facts.get("vae"), facts.get("scheduler")
    found: dict[str, str] = {}
    if vae is not None and vae.latent_channels != 4:
        found["vae"] = f"makes latents of {vae.latent_channels} channels, not 4"
    if scheduler is not None and scheduler.prediction_type not in _PREDICTIONS:
        found["scheduler"] = f"predicts {scheduler.prediction_type!r}; {' and '.join(_PREDICTIONS)} are supported"
    elif scheduler is not None and scheduler.num_train_timesteps != _TRAIN_STEPS:
        found["scheduler"] = f"has {scheduler.num_train_timesteps} time steps, not {_TRAIN_STEPS}"
    return found


def _text_misfit(unet: Any, facts: Mapping[str, Any]) -> str | None:
    """How the UNet's conditions differ from what the text encoders give; None where they agree."""
    if unet.addition_embed_type not in (None, "text_time") or unet.class_embed_type or unet.encoder_hid_dim_type:
        return "wants conditions other than a text"
    encoders = [facts.get("text_encoder")]
    if unet.addition_embed_type == "text_time":
        encoders.append(facts.get("text_encoder_2"))
    if any(encoder is None for encoder in encoders):
        return None
    width = sum(encoder.hidden_size for encoder in encoders if encoder is not None)
    if unet.cross_attention_dim != width:
        return f"wants text of width {unet.cross_attention_dim}, but the text encoder gives {width}"
    if encoders[1:] and encoders[1] is not None:
        # six time ids: height and width of the original, of the crop's corner, and of the target
        added = encoders[1].projection_dim + 6 * unet.addition_time_embed_dim
        if unet.projection_class_embeddings_input_dim != added:
            return f"wants {unet.projection_class_embeddings_input_dim} added numbers, but text and sizes give {added}"
    return None
