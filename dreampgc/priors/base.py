"""What guidance asks of a prior, and nothing else."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from dreampgc.priors.prompts import ViewPhrases

#: ``x @ A + b`` on the last axis: ``A`` is ``[in, out]``, ``b`` is ``[out]``.
Affine = tuple[Tensor, Tensor]


class Prior(Protocol):
    """A frozen latent diffusion model. Tensors in and out are float32 on ``device``; ``S`` is ``image_size``.

    Latents are ``[B,4,s,s]`` with ``s = S / downsampling``, already multiplied by the model's scaling factor;
    images are ``[B,3,S,S]`` in [0,1].
    """

    name: str
    image_size: int
    latent_channels: int
    downsampling: int
    device: torch.device
    #: The noise schedule's cumulative products, ``[1000]``: ``z_t = sqrt(a_t) z + sqrt(1 - a_t) eps``.
    alphas_cumprod: Tensor
    view_phrases: ViewPhrases
    #: The fitted ``z = x @ A + b`` of one latent pixel and the mean of its 8x8 image pixels (Eq. 5), or None.
    linear_rgb_to_latent: Affine | None

    def encode_text(self, texts: list[str]) -> Tensor:
        """Embeddings ``[N,L,D]``. Raises InputError for words that the prior does not know."""
        ...

    def encode(self, image: Tensor) -> Tensor:
        """The latents of an image (the posterior's mean); differentiable in the image."""
        ...

    def decode(self, latents: Tensor) -> Tensor:
        """The image of latents."""
        ...

    def predict_noise(self, noisy: Tensor, timesteps: Tensor, text: Tensor) -> Tensor:
        """The noise in ``noisy`` ``[B,4,s,s]`` at ``timesteps`` ``[B]`` (0..999) given ``text`` ``[B,L,D]``."""
        ...
