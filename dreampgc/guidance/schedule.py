"""Which noise level a step asks the prior about, and how much its answer weighs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Weighting = Literal["sigma2", "one"]

#: Noise levels of the priors' training: time steps are 0..999.
TRAIN_STEPS = 1000


@dataclass(frozen=True)
class Schedule:
    """Time steps ``t ~ U(t_min, t_max) * 1000`` over a run of ``total_steps`` (Sec. 5.1).

    ``anneal`` is the share of the run during which the range's upper end falls linearly from ``t_max`` to
    ``t_end``, where it then stays; 0 keeps ``t_max`` throughout.
    """

    total_steps: int
    t_min: float = 0.02
    t_max: float = 0.98
    anneal: float = 0.0
    t_end: float = 0.5

    def upper(self, step: int) -> float:
        """The upper end of the range at ``step``, as a share of the time steps."""
        if self.anneal == 0:
            return self.t_max
        progress = min(step / (self.anneal * self.total_steps), 1.0)
        return self.t_max + (self.t_end - self.t_max) * progress

    def sample(self, step: int, batch: int, generator: torch.Generator) -> Tensor:
        """Independent time steps ``[batch]`` int64 in 0..999, drawn on the generator's device."""
        uniform = torch.rand(batch, generator=generator, device=generator.device)
        share = self.t_min + (self.upper(step) - self.t_min) * uniform
        return (share * TRAIN_STEPS).long().clamp(0, TRAIN_STEPS - 1)


def weight(alphas_cumprod: Tensor, timesteps: Tensor, kind: Weighting) -> Tensor:
    """The weight ``w(t)`` of each sample, ``[B]``: ``sigma2`` is ``1 - alphas_cumprod[t]``, ``one`` is 1.

    Raises:
        ValueError: another ``kind``.
    """
    if kind == "sigma2":
        return 1 - alphas_cumprod[timesteps]
    if kind == "one":
        return torch.ones_like(alphas_cumprod[timesteps])
    raise ValueError(f"weighting must be sigma2 or one, not {kind!r}")
