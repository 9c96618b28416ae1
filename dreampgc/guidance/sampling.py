"""Pictures that a guided prior makes by itself, step by step: DDIM without new noise (Song et al. 2021, Eq. 12)."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

from dreampgc.cameras import Views
from dreampgc.guidance.guides import Guide
from dreampgc.guidance.schedule import TRAIN_STEPS
from dreampgc.priors.base import LatentPrior


def first_noise(prior: LatentPrior, count: int, generator: torch.Generator) -> Tensor:
    """What `sample_pictures` begins with for ``count`` views: latents ``[count,4,s,s]`` from ``generator`` (CPU)."""
    side = prior.image_size // prior.downsampling
    return torch.randn(count, prior.latent_channels, side, side, generator=generator).to(prior.device)


@torch.no_grad()
def sample_pictures(
    guide: Guide, views: Views, noise: Tensor, steps: int, report: Callable[[int], None] = lambda done: None
) -> Tensor:
    """What the prior of ``guide`` sees from ``B`` views, ``[B,3,S,S]`` in [0,1], from ``noise`` ``[B,4,s,s]``.

    ``z_0 = (z_t - sqrt(1 - a_t) eps) / sqrt(a_t)`` and ``z_s = sqrt(a_s) z_0 + sqrt(1 - a_s) eps``, ``steps`` times
    from t = 999 downwards; the last ``z_0`` is decoded. ``report`` hears how many steps are done.
    """
    times = torch.linspace(TRAIN_STEPS - 1, 0, steps + 1).round().long().tolist()
    latents = clean = noise
    for number, (t, s) in enumerate(pairwise(times), start=1):
        alpha, following = guide.prior.alphas_cumprod[t], guide.prior.alphas_cumprod[s]
        timesteps = torch.full((len(views),), t, device=noise.device)
        found = guide.noise(latents, timesteps, views)
        clean = (latents - (1 - alpha).sqrt() * found) / alpha.sqrt()
        latents = following.sqrt() * clean + (1 - following).sqrt() * found
        report(number)
    return guide.prior.decode(clean)
