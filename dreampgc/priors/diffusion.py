"""A latent diffusion model in the diffusers layout of Stable Diffusion, as a `Prior`.

The parts are loaded one by one with their plain classes; no pipeline, no remote code, no pickles.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from diffusers.utils import logging as diffusers_logging
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer
from transformers.utils import logging as transformers_logging

from dreampgc.errors import InputError
from dreampgc.priors import linear
from dreampgc.priors.base import Affine
from dreampgc.priors.prompts import MINI, STABLE_DIFFUSION, ViewPhrases
from dreampgc.priors.vocabulary import Vocabulary

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_Model = TypeVar("_Model", bound=torch.nn.Module)

#: The block widths of the VAE that SD 1, SD 2 and SDXL share; the scaling factor tells SDXL from the others.
_STABLE_DIFFUSION_VAE = (128, 256, 512, 512)
_SDXL_SCALING = 0.13025


class DiffusionPrior:
    """Stable Diffusion 1.x or 2.x, or the mini prior: see `dreampgc.priors.base.Prior` for the methods.

    The weights are frozen and computed with in their own dtype; everything that goes in and comes out is
    float32. Build one with `load`.
    """

    latent_channels = 4

    def __init__(
        self,
        name: str,
        *,
        unet: UNet2DConditionModel,
        vae: AutoencoderKL,
        text_encoder: CLIPTextModel,
        tokenizer: PreTrainedTokenizerBase,
        scheduler: DDIMScheduler,
        linear_rgb_to_latent: Affine | None = None,
        vocabulary: Vocabulary | None = None,
    ) -> None:
        # diffusers annotates its configurations and outputs as plain dictionaries and tensors: Any
        vae_config: Any = vae.config
        unet_config: Any = unet.config
        scheduler_config: Any = scheduler.config
        self.name = name
        self.unet: Any = _frozen(unet)
        self.vae: Any = _frozen(vae)
        self.text_encoder: Any = _frozen(text_encoder)
        self.tokenizer = tokenizer
        self.vocabulary = vocabulary
        self.device: torch.device = unet.device
        self.dtype: torch.dtype = unet.dtype
        self.scaling_factor: float = vae_config.scaling_factor
        self.downsampling: int = 2 ** (len(vae_config.block_out_channels) - 1)
        self.image_size: int = unet_config.sample_size * self.downsampling
        self.alphas_cumprod: Tensor = scheduler.alphas_cumprod.to(self.device, torch.float32)
        self.prediction_type: str = scheduler_config.prediction_type
        self.view_phrases: ViewPhrases = STABLE_DIFFUSION if vocabulary is None else MINI
        self.linear_rgb_to_latent = linear_rgb_to_latent
        if self.prediction_type not in ("epsilon", "v_prediction"):
            raise InputError(f"{name} predicts {self.prediction_type!r}; epsilon and v_prediction are supported")

    @classmethod
    def load(
        cls, directory: Path, device: str = "cpu", dtype: torch.dtype | None = None, name: str | None = None
    ) -> DiffusionPrior:
        """Load a directory that holds unet/, vae/, text_encoder/, tokenizer/ and scheduler/ (safetensors only).

        ``dtype`` is that of the arithmetic: by default float32 on the CPU and float16 elsewhere. Weights may be
        stored in another one. ``name`` defaults to the directory's.

        Raises:
            InputError: a part is missing, damaged, or of another kind.
        """
        dtype = dtype or (torch.float32 if torch.device(device).type == "cpu" else torch.float16)
        for logging in (diffusers_logging, transformers_logging):
            logging.disable_progress_bar()  # stderr belongs to the run's own progress bar
        try:
            unet = _read(UNet2DConditionModel, directory / "unet", torch_dtype=dtype)
            vae = _read(AutoencoderKL, directory / "vae", torch_dtype=dtype)
            text_encoder = _read(CLIPTextModel, directory / "text_encoder", dtype=dtype)
            tokenizer = CLIPTokenizer.from_pretrained(directory / "tokenizer")
            scheduler: Any = DDIMScheduler.from_pretrained(directory / "scheduler")
        except Exception as error:  # each library has its own errors for a missing, truncated or foreign file
            raise InputError(f"{directory} is not a Stable Diffusion model in diffusers layout: {error}") from error
        return cls(
            name or directory.name,
            unet=unet.to(device),
            vae=vae.to(device),
            text_encoder=text_encoder.to(device),
            tokenizer=tokenizer,
            scheduler=scheduler,
            linear_rgb_to_latent=_linear_map(directory, vae.config, device),
            vocabulary=Vocabulary.load(directory),
        )

    @torch.no_grad()
    def encode_text(self, texts: list[str]) -> Tensor:
        """Embeddings ``[N,L,D]``; longer texts are cut off at the encoder's length.

        Raises:
            InputError: words outside the vocabulary of a prior that has one.
        """
        if self.vocabulary is not None:
            self.vocabulary.check(" ".join(texts))
        length = min(self.tokenizer.model_max_length, self.text_encoder.config.max_position_embeddings)
        tokens = self.tokenizer(
            texts, padding="max_length", max_length=length, truncation=True, return_tensors="pt"
        ).input_ids
        return self.text_encoder(tokens.to(self.device)).last_hidden_state.float()

    def encode(self, image: Tensor) -> Tensor:
        """Latents ``[B,4,H/8,W/8]`` of images ``[B,3,H,W]`` in [0,1]: the posterior's mean, scaled; differentiable."""
        mean = self.vae.encode((2 * image - 1).to(self.dtype)).latent_dist.mode()
        return mean.float() * self.scaling_factor

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """Images ``[B,3,H,W]`` in [0,1] of latents ``[B,4,H/8,W/8]``."""
        image = self.vae.decode((latents / self.scaling_factor).to(self.dtype)).sample
        return (image.float() / 2 + 0.5).clamp(0, 1)

    @torch.no_grad()
    def predict_noise(self, noisy: Tensor, timesteps: Tensor, text: Tensor) -> Tensor:
        """The noise in ``noisy`` ``[B,4,s,s]`` at ``timesteps`` ``[B]``, given ``text`` ``[B,L,D]``.

        A model that predicts ``v = sqrt(a) eps - sqrt(1-a) z`` is converted: ``eps = sqrt(a) v + sqrt(1-a) z_t``.
        """
        output = self.unet(noisy.to(self.dtype), timesteps, text.to(self.dtype)).sample.float()
        if self.prediction_type == "epsilon":
            return output
        alpha = self.alphas_cumprod[timesteps].view(-1, 1, 1, 1)
        return alpha.sqrt() * output + (1 - alpha).sqrt() * noisy


def _read(kind: Any, directory: Path, **options: Any) -> Any:
    """A model of that kind; its libraries would fill missing weights with random numbers and only warn."""
    model, info = kind.from_pretrained(directory, use_safetensors=True, output_loading_info=True, **options)
    if missing := sorted(info["missing_keys"]):
        raise ValueError(f"{directory.name} lacks {len(missing)} weights, for instance {missing[0]}")
    return model


def _frozen(model: _Model) -> _Model:
    """``model`` in evaluation mode, its weights without gradients."""
    return model.requires_grad_(False).eval()


def _linear_map(directory: Path, vae_config: Any, device: str) -> Affine | None:
    """The map fitted for this prior, else the published one of a VAE that the whole family shares."""
    fitted = linear.LinearMap.load(directory)
    if fitted is None and tuple(vae_config.block_out_channels) == _STABLE_DIFFUSION_VAE:
        fitted = linear.SDXL if vae_config.scaling_factor == _SDXL_SCALING else linear.STABLE_DIFFUSION
    if fitted is None:
        return None
    matrix, bias = fitted.rgb_to_latent
    return matrix.to(device), bias.to(device)
