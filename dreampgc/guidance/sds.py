"""Score distillation sampling: what the prior thinks of a render, as a gradient of its pixels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from dreampgc.cameras import Views
from dreampgc.errors import InputError
from dreampgc.guidance.propagation import METHODS, Propagated, propagate
from dreampgc.guidance.schedule import Schedule, Weighting, weight
from dreampgc.ops.reference import Norm, gradient_statistics
from dreampgc.priors.base import Prior, TextCondition
from dreampgc.priors.prompts import view_prompts, view_weights
from dreampgc.transfer import upload


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
    """Score distillation with a frozen prior, one prompt and one propagation method.

    ``scale`` is the guidance scale ``s`` of ``eps = eps_0 + s (eps_y - eps_0)``: 1 is the conditional
    prediction (the paper's released code writes ``eps_y + s (eps_y - eps_0)``: its 100 is 101 here).
    ``perp_neg`` above 0 pushes views away from what only a front shows, by so much at the sides and the back: see
    `_guided_noise`. It costs a third evaluation of the noise predictor.
    All randomness comes from ``generator``, on the CPU, so that every device sees the same numbers.

    Raises:
        InputError: an unknown ``method``, or a prompt that the prior does not understand.
    """

    def __init__(
        self,
        prior: Prior,
        prompt: str,
        *,
        schedule: Schedule,
        generator: torch.Generator,
        negative_prompt: str = "",
        method: str = "pgc-n",
        clip: float = 0.1,
        norm: Norm = "l2",
        scale: float = 100.0,
        weighting: Weighting = "sigma2",
        perp_neg: float = 0.0,
    ) -> None:
        if method not in METHODS:
            raise InputError(f"unknown method {method!r}: choose one of {', '.join(METHODS)}")
        self.prior = prior
        self.schedule = schedule
        self.generator = generator
        self.method = METHODS[method]
        self.clip = clip
        self.norm: Norm = norm
        self.scale = scale
        self.weighting: Weighting = weighting
        self.perp_neg = perp_neg
        self.last: Record | None = None
        with torch.no_grad():
            self._view_text = prior.encode_text(view_prompts(prompt, prior.view_phrases))
            self._negative_text = prior.encode_text([negative_prompt])
        prior.release_text_encoders()

    def image_gradient(self, image: Tensor, views: Views, step: int) -> Tensor:
        """The shaped gradient of the loss in each pixel of ``image``, same shape, float32: data, not a graph.

        ``image`` is ``[B,3,H,W]`` in [0,1] on the prior's device (``[B,4,h,w]`` latents for the method
        ``latent``), seen from ``views``; smaller renders than the prior's are upsampled inside.
        """
        text, away = self._condition(views), self._away_from_front(views)
        timesteps = upload(self.schedule.sample(step, len(image), self.generator), self.prior.device)
        gradient = propagate(
            self.method,
            self.prior,
            image.detach(),
            lambda latents: self.latent_gradient(latents, timesteps, text, away),
            threshold=self.clip,
            norm=self.norm,
        )
        self.last = Record(timesteps, gradient, self.clip, self.norm)
        return gradient.image

    @torch.no_grad()
    def latent_gradient(
        self, latents: Tensor, timesteps: Tensor, text: TextCondition, away: Tensor | None = None
    ) -> Tensor:
        """``g_z = w(t) (eps_hat - eps)`` for latents ``[B,4,s,s]``, time steps ``[B]``, ``B`` texts (Eq. 1).

        ``away`` ``[B]`` is how strongly each view must not look like the front, None where that is of no concern.
        """
        noise = upload(torch.randn(latents.shape, generator=self.generator), latents.device)
        alpha = self.prior.alphas_cumprod[timesteps].view(-1, 1, 1, 1)
        noisy = alpha.sqrt() * latents + (1 - alpha).sqrt() * noise
        w = weight(self.prior.alphas_cumprod, timesteps, self.weighting).view(-1, 1, 1, 1)
        return w * (self._guided_noise(noisy, timesteps, text, away) - noise)

    def _guided_noise(self, noisy: Tensor, timesteps: Tensor, text: TextCondition, away: Tensor | None) -> Tensor:
        """Classifier-free guidance, all branches in one batch: ``eps_0 + s (eps_y - eps_0)``.

        With ``away``, Perp-Neg (Armandpour et al. 2023) for the view that the Janus problem repeats: the front's
        direction ``eps_f - eps_0`` is subtracted so many times, but only its part perpendicular to ``eps_y - eps_0``,
        so that what the front shares with the view at hand stays.
        """
        conditions = [self._negative_text.repeated(len(noisy)), text]
        if away is not None:
            conditions.append(self._view_text.map(lambda x: x[:1]).repeated(len(noisy)))
        count = len(conditions)
        unconditional, conditional, *front = self.prior.predict_noise(
            torch.cat([noisy] * count), torch.cat([timesteps] * count), TextCondition.joined(conditions)
        ).chunk(count)
        direction = conditional - unconditional
        if away is not None:
            direction = direction - away.view(-1, 1, 1, 1) * perpendicular(front[0] - unconditional, direction)
        return unconditional + self.scale * direction

    def _condition(self, views: Views) -> TextCondition:
        """The text of each view: the phrases' embeddings mixed by where the camera is."""
        return self._view_text.mixed(self._view_weights(views))

    def _away_from_front(self, views: Views) -> Tensor | None:
        """Perp-Neg's weight of each view ``[B]``: nothing at the front, ``perp_neg`` where no front is in sight."""
        if self.perp_neg == 0:
            return None
        return self.perp_neg * (1 - self._view_weights(views)[:, 0]).to(self.prior.device)

    def _view_weights(self, views: Views) -> Tensor:
        return view_weights(views.azimuth, views.elevation, self.prior.view_phrases)


def perpendicular(x: Tensor, y: Tensor) -> Tensor:
    """Each sample of ``x`` ``[B,...]`` without its component along the same sample of ``y``."""
    axes = tuple(range(1, x.ndim))
    along = (x * y).sum(axes, keepdim=True) / y.square().sum(axes, keepdim=True).clamp_min(1e-12)
    return x - along * y
