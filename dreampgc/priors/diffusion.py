"""A latent diffusion model in the diffusers layout of Stable Diffusion 1.x, 2.x or SDXL, as a `Prior`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dreampgc.errors import InputError
from dreampgc.priors import layout
from dreampgc.priors.base import Affine, TextCondition
from dreampgc.priors.latent import SDXL_SCALING, LatentDiffusion, default_dtype, linear_map
from dreampgc.priors.parts import misfits, read_part
from dreampgc.priors.prompts import MINI, STABLE_DIFFUSION, ViewPhrases
from dreampgc.priors.text import TextEncoders
from dreampgc.priors.vocabulary import Vocabulary


class DiffusionPrior(LatentDiffusion):
    """Stable Diffusion 1.x, 2.x or XL, or the mini prior: see `dreampgc.priors.base.Prior` for the methods.

    Build one with `load`.
    """

    def __init__(
        self,
        name: str,
        *,
        unet: Any,
        vae: Any,
        text: TextEncoders,
        scheduler: Any,
        linear_rgb_to_latent: Affine | None = None,
        vocabulary: Vocabulary | None = None,
    ) -> None:
        super().__init__(name, unet=unet, vae=vae, scheduler=scheduler, linear_rgb_to_latent=linear_rgb_to_latent)
        self.text = text
        self.vocabulary = vocabulary
        self.view_phrases: ViewPhrases = STABLE_DIFFUSION if vocabulary is None else MINI
        self._time_ids: dict[tuple[int, int], Tensor] = {}

    @classmethod
    def load(
        cls, directory: Path, device: str = "cpu", dtype: torch.dtype | None = None, name: str | None = None
    ) -> DiffusionPrior:
        """Load a directory in diffusers layout (`dreampgc.priors.layout`).

        ``dtype`` is that of the arithmetic: by default float32 on the CPU and float16 elsewhere. Weights may be
        stored in another one. ``name`` defaults to the directory's.

        Raises:
            InputError: a part is missing, damaged, of another kind, or does not fit the others.
        """
        dtype = dtype or default_dtype(device)
        names = layout.parts_of(directory)
        second = layout.SECOND_ENCODER[0] in names

        def text_encoders() -> list[tuple[Any, Any]]:
            suffixes = ("", "_2") if second else ("",)
            return [
                (read_part(directory, f"tokenizer{x}"), read_part(directory, f"text_encoder{x}", dtype).to(device))
                for x in suffixes
            ]

        try:
            scheduler = read_part(directory, "scheduler")
            unet = read_part(directory, "unet", dtype)
            vae = read_part(directory, "vae", _vae_dtype(directory, dtype, device))
            text = TextEncoders(text_encoders, silent_empty=second and _silences_empty(directory))
            _check_fit(unet, vae, scheduler, text)
        except layout.PartError as error:
            raise InputError(f"{directory} is not a Stable Diffusion model in diffusers layout: {error}") from error
        return cls(
            name or directory.name,
            unet=unet.to(device),
            vae=vae.to(device),
            text=text,
            scheduler=scheduler,
            linear_rgb_to_latent=linear_map(directory, vae.config, device),
            vocabulary=Vocabulary.load(directory),
        )

    def encode_text(self, texts: list[str]) -> TextCondition:
        """One condition for each text; longer texts are cut off at the encoder's length.

        Raises:
            InputError: words outside the vocabulary of a prior that has one.
        """
        if self.vocabulary is not None:
            self.vocabulary.check(" ".join(texts))
        return self.text.encode(texts)

    def release_text_encoders(self) -> None:
        """Free the memory of the text encoders; another text brings them back."""
        self.text.release()

    @torch.no_grad()
    def predict_noise(self, noisy: Tensor, timesteps: Tensor, text: TextCondition) -> Tensor:
        """The noise in ``noisy`` ``[B,4,s,s]`` at ``timesteps`` ``[B]``, given ``B`` texts."""
        output = self.networks.denoise(noisy, timesteps, text.tokens, *self._added_conditions(noisy, text))
        return self._noise(output, noisy, timesteps)

    def _added_conditions(self, noisy: Tensor, text: TextCondition) -> tuple[Tensor, ...]:
        """SDXL's pooled text and sizes: an original of just the size that is rendered, not cropped."""
        if text.pooled is None:
            return ()
        height, width = (side * self.downsampling for side in noisy.shape[-2:])
        if (height, width) not in self._time_ids:  # kept, because a copy to the device would halt every step
            self._time_ids[height, width] = torch.tensor([[height, width, 0, 0, height, width]], device=self.device)
        return text.pooled, self._time_ids[height, width].expand(len(noisy), -1)


def _vae_dtype(directory: Path, dtype: torch.dtype, device: str) -> torch.dtype:
    """The dtype for the VAE: SDXL's own overflows in float16 (its repaired version says ``force_upcast: false``)."""
    config = layout.read_config(directory, "vae")
    fragile = config.get("scaling_factor") == SDXL_SCALING and config.get("force_upcast", True)
    if dtype != torch.float16 or not fragile:
        return dtype
    on_cuda = torch.device(device).type == "cuda" and torch.cuda.is_bf16_supported()
    return torch.bfloat16 if on_cuda else torch.float32


def _silences_empty(directory: Path) -> bool:
    """Whether the unconditional text is zeros: SDXL's rule unless its ``model_index.json`` says otherwise."""
    try:
        index = json.loads((directory / "model_index.json").read_text(encoding="utf-8"))
        return bool(index.get("force_zeros_for_empty_prompt", True))
    except (OSError, ValueError, AttributeError):
        return True


def _check_fit(unet: Any, vae: Any, scheduler: Any, text: TextEncoders) -> None:
    """Refuse parts that do not go together. Raises PartError."""
    facts = {"unet": unet.config, "vae": vae.config, "scheduler": scheduler.config}
    for (tokenizer, encoder), suffix in zip(text.encoders, ("", "_2"), strict=False):
        facts |= {f"tokenizer{suffix}": len(tokenizer), f"text_encoder{suffix}": encoder.config}
    for part, sentence in misfits(facts).items():
        raise layout.PartError(part, sentence)
