"""What guidance asks of a prior, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from dreampgc.ops.linearise import Transpose
from dreampgc.priors.prompts import ViewPhrases

#: ``x @ A + b`` on the last axis: ``A`` is ``[in, out]``, ``b`` is ``[out]``.
Affine = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class TextCondition:
    """What a prior is told about each of ``N`` images, float32.

    ``tokens`` is ``[N,L,D]``, one embedding for each token; ``pooled`` is ``[N,P]``, one for the whole text, or
    None for the models that know none (all but SDXL).
    """

    tokens: Tensor
    pooled: Tensor | None = None

    def __len__(self) -> int:
        return len(self.tokens)

    def map(self, function: Callable[[Tensor], Tensor]) -> TextCondition:
        """The condition with ``function`` applied to each of its tensors."""
        return TextCondition(function(self.tokens), None if self.pooled is None else function(self.pooled))

    def mixed(self, weights: Tensor) -> TextCondition:
        """``B`` conditions from these ``N``: row ``b`` is their sum with the weights ``weights[b]``, ``[B,N]``."""
        return self.map(lambda x: torch.einsum("bn,n...->b...", weights.to(x), x))

    def repeated(self, batch: int) -> TextCondition:
        """This single condition for each of ``batch`` images."""
        return self.map(lambda x: x.expand(batch, *x.shape[1:]))

    @staticmethod
    def joined(conditions: Sequence[TextCondition]) -> TextCondition:
        """All of ``conditions`` (of one model) as one batch."""
        pooled = [condition.pooled for condition in conditions if condition.pooled is not None]
        return TextCondition(
            torch.cat([condition.tokens for condition in conditions]), torch.cat(pooled) if pooled else None
        )


@dataclass(frozen=True)
class Reference:
    """A picture as a prior of views knows it, float32, and the elevation it was taken from, in degrees.

    ``embedding`` is ``[1,E]``, of what is in the picture; ``latents`` is ``[1,4,s,s]``, of how it looks.
    """

    embedding: Tensor
    latents: Tensor
    elevation: float


@dataclass(frozen=True)
class ViewCondition:
    """What a prior of views is told about each of ``N`` images, float32: what is seen from somewhere else, and where.

    ``tokens`` is ``[N,1,D]``, the reference picture's embedding joined with the pose relative to it; ``latents`` is
    ``[N,4,s,s]``, the reference picture's latents.
    """

    tokens: Tensor
    latents: Tensor

    def __len__(self) -> int:
        return len(self.tokens)

    def unconditional(self) -> ViewCondition:
        """As many conditions that say nothing: zeros, the other branch of classifier-free guidance."""
        return ViewCondition(torch.zeros_like(self.tokens), torch.zeros_like(self.latents))

    @staticmethod
    def joined(conditions: Sequence[ViewCondition]) -> ViewCondition:
        """All of ``conditions`` as one batch."""
        return ViewCondition(
            torch.cat([each.tokens for each in conditions]), torch.cat([x.latents for x in conditions])
        )

    @staticmethod
    def chosen(conditions: Sequence[ViewCondition], which: Tensor) -> ViewCondition:
        """Of several conditions of the same ``N`` images the one numbered ``which[n]`` for each, ``which`` ``[N]``."""
        rows = torch.arange(len(which), device=which.device)
        tokens, latents = torch.stack([x.tokens for x in conditions]), torch.stack([x.latents for x in conditions])
        return ViewCondition(tokens[which, rows], latents[which, rows])


class LatentPrior(Protocol):
    """A frozen latent diffusion model, whatever it is told.

    Tensors in and out are float32 on ``device``; ``S`` is ``image_size``.
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
    #: The fitted ``z = x @ A + b`` of one latent pixel and the mean of its 8x8 image pixels (Eq. 5), or None.
    linear_rgb_to_latent: Affine | None

    def encode(self, image: Tensor) -> Tensor:
        """The latents of an image (the posterior's mean); differentiable in the image."""
        ...

    def encode_with_vjp(self, image: Tensor) -> tuple[Tensor, Transpose]:
        """The latents without a graph, and what carries their gradient back to the image (once)."""
        ...

    def decode(self, latents: Tensor) -> Tensor:
        """The image of latents."""
        ...

    def save_memory(self) -> bool:
        """From now on rather slow than large; whether there was anything left to save."""
        ...


class Prior(LatentPrior, Protocol):
    """A `LatentPrior` that is told what to see in words."""

    view_phrases: ViewPhrases

    def encode_text(self, texts: list[str]) -> TextCondition:
        """One condition for each text. Raises InputError for words that the prior does not know."""
        ...

    def release_text_encoders(self) -> None:
        """Free the memory of the text encoders; another text brings them back."""
        ...

    def predict_noise(self, noisy: Tensor, timesteps: Tensor, text: TextCondition) -> Tensor:
        """The noise in ``noisy`` ``[B,4,s,s]`` at ``timesteps`` ``[B]`` (0..999) given ``B`` texts."""
        ...


class ViewPrior(LatentPrior, Protocol):
    """A `LatentPrior` that is told what to see by a picture, and from where.

    Poses are differences from the camera that took the picture, in the project's conventions: azimuth (growing
    towards +x of a picture taken from +z) and elevation in degrees, distance in the prior's own unit of length.
    """

    def condition(self, image: Tensor, elevation: float) -> Reference:
        """A picture ``[1,3,S,S]`` in [0,1], over white, taken from ``elevation``."""
        ...

    def view(self, reference: Reference, azimuth: Tensor, elevation: Tensor, distance: Tensor) -> ViewCondition:
        """What ``reference`` shows, seen from ``B`` poses relative to it, each ``[B]``."""
        ...

    def predict_noise(self, noisy: Tensor, timesteps: Tensor, view: ViewCondition) -> Tensor:
        """The noise in ``noisy`` ``[B,4,s,s]`` at ``timesteps`` ``[B]`` (0..999) given ``B`` views."""
        ...
