"""Score distillation sampling: what the prior thinks of a render, as a gradient of its pixels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from dreampgc.cameras import Views
from dreampgc.errors import InputError
from dreampgc.guidance.guides import Guide
from dreampgc.guidance.propagation import METHODS, Propagated, propagate
from dreampgc.guidance.schedule import Schedule, Weighting, weight
from dreampgc.ops.reference import Norm, gradient_statistics
from dreampgc.priors.base import LatentPrior
from dreampgc.transfer import draw


@dataclass(frozen=True)
class Record:
    """What one call of `ScoreDistillation.image_gradient` saw, for logs and pictures.

    ``gradient.raw`` and ``gradient.shaped`` are ``[B,C,S,S]`` at the encoder's size; ``timesteps`` is ``[B]``.
    """

    timesteps: Tensor
    gradient: Propagated
    threshold: float
    norm: Norm

    @cached_property
    def statistics(self) -> dict[str, Tensor]:
        """The raw gradient's pixel norms: median, p99, maximum, mean, clipped (share), non_finite (count); 0-d."""
        return gradient_statistics(self.gradient.raw, self.gradient.counted, self.norm)

    @property
    def metrics(self) -> dict[str, Tensor]:
        """What a stage logs of it: the mean time step ``t`` and the statistics, as ``gradient_NAME``."""
        statistics = {f"gradient_{name}": value for name, value in self.statistics.items()}
        return {"t": self.timesteps.float().mean(), **statistics}


class ScoreDistillation:
    """Score distillation with what a frozen prior was told (``guide``) and one propagation method.

    All randomness comes from ``generator``, on the CPU, so that every device sees the same numbers.

    Raises:
        InputError: an unknown ``method``.
    """

    def __init__(
        self,
        guide: Guide,
        *,
        schedule: Schedule,
        generator: torch.Generator,
        method: str = "pgc-n",
        clip: float = 0.1,
        norm: Norm = "l2",
        weighting: Weighting = "sigma2",
    ) -> None:
        if method not in METHODS:
            raise InputError(f"unknown method {method!r}: choose one of {', '.join(METHODS)}")
        self.guide = guide
        self.prior = guide.prior
        self.schedule = schedule
        self.generator = generator
        self.method = METHODS[method]
        self.clip = clip
        self.norm: Norm = norm
        self.weighting: Weighting = weighting
        self.last: Record | None = None
        self._step = 0

    def at(self, step: int) -> None:
        """The step that is drawn for where a recording of an earlier one is replayed."""
        self._step = step

    def image_gradient(self, image: Tensor, views: Views, step: int) -> Tensor:
        """The shaped gradient of the loss in each pixel of ``image``, same shape, float32: data, not a graph.

        ``image`` is ``[B,3,H,W]`` in [0,1] on the prior's device (``[B,4,h,w]`` latents for the method
        ``latent``), seen from ``views``; smaller renders than the prior's are upsampled inside.
        """
        self.at(step)
        count = len(image)
        timesteps = draw(lambda: self.schedule.sample(self._step, count, self.generator), self.prior.device)
        gradient = propagate(
            self.method,
            self.prior,
            image.detach(),
            lambda latents: self.latent_gradient(latents, timesteps, views),
            threshold=self.clip,
            norm=self.norm,
        )
        self.last = Record(timesteps, gradient, self.clip, self.norm)
        return gradient.image

    @property
    def metrics(self) -> dict[str, Tensor]:
        """What is to be logged of the last call; nothing before the first."""
        return self.last.metrics if self.last is not None else {}

    @property
    def priors(self) -> tuple[LatentPrior, ...]:
        """The models that are asked."""
        return (self.prior,)

    def spare(self) -> str | None:
        """Need less memory from now on, if there is a way: what it is."""
        self.last = None
        return "the prior looks at one view at a time and computes twice" if self.prior.save_memory() else None

    @torch.no_grad()
    def latent_gradient(self, latents: Tensor, timesteps: Tensor, views: Views) -> Tensor:
        """``g_z = w(t) (eps_hat - eps)`` for latents ``[B,4,s,s]``, time steps ``[B]``, ``B`` views (Eq. 1)."""
        shape = latents.shape
        noise = draw(lambda: torch.randn(shape, generator=self.generator), latents.device)
        alpha = self.prior.alphas_cumprod[timesteps].view(-1, 1, 1, 1)
        noisy = alpha.sqrt() * latents + (1 - alpha).sqrt() * noise
        w = weight(self.prior.alphas_cumprod, timesteps, self.weighting).view(-1, 1, 1, 1)
        return w * (self.guide.noise(noisy, timesteps, views) - noise)


class Blend:
    """Several score distillations of the same views at once: ``parts`` are their names and weights.

    It is used as one of them is. None at all is a gradient of zero, and nobody is asked.
    """

    def __init__(self, parts: Mapping[str, tuple[float, ScoreDistillation]]) -> None:
        self.parts = dict(parts)

    @property
    def last(self) -> Record | None:
        """What the first of them saw."""
        return next((part.last for _, part in self.parts.values()), None)

    def at(self, step: int) -> None:
        """See `ScoreDistillation.at`."""
        for _, part in self.parts.values():
            part.at(step)

    def image_gradient(self, image: Tensor, views: Views, step: int) -> Tensor:
        """The weighted sum of their gradients: see `ScoreDistillation.image_gradient`."""
        gradient = torch.zeros_like(image, dtype=torch.float32)
        for share, part in self.parts.values():
            gradient += share * part.image_gradient(image, views, step)
        return gradient

    @property
    def metrics(self) -> dict[str, Tensor]:
        """What is to be logged of the last call: of the first of them under plain names, of others ``NAME_t`` etc."""
        named = [(name, part.metrics) for name, (_, part) in self.parts.items()]
        plain = dict(named[0][1]) if named else {}
        return plain | {f"{name}_{key}": value for name, found in named[1:] for key, value in found.items()}

    @property
    def priors(self) -> tuple[LatentPrior, ...]:
        """The models that are asked."""
        return tuple(part.prior for _, part in self.parts.values())

    def spare(self) -> str | None:
        """See `ScoreDistillation.spare`; all of them at once."""
        return next(filter(None, [part.spare() for _, part in self.parts.values()]), None)
