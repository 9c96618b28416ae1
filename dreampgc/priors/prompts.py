"""Prompts: what a prior is told about a view.

A view's condition is a mixture of the embeddings of "PROMPT, front view", "PROMPT, side view" and so on;
the weights follow the camera, so that the condition turns smoothly with it.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class ViewPhrases:
    """The words for the views that a prior was trained with.

    ``ring`` pairs azimuths in degrees, ascending in [0, 360), with phrases; ``overhead`` takes over linearly
    while the elevation climbs through ``ramp`` (degrees).
    """

    ring: tuple[tuple[float, str], ...]
    overhead: str
    ramp: tuple[float, float]

    @property
    def phrases(self) -> tuple[str, ...]:
        """All phrases in the order of the columns of `view_weights`: the ring, then overhead."""
        return (*(phrase for _, phrase in self.ring), self.overhead)


STABLE_DIFFUSION = ViewPhrases(
    ring=((0, "front view"), (90, "side view"), (180, "back view"), (270, "side view")),
    overhead="overhead view",
    ramp=(45, 90),
)
MINI = ViewPhrases(
    ring=((0, "front view"), (90, "left side view"), (180, "back view"), (270, "right side view")),
    overhead="overhead view",
    ramp=(45, 90),
)


def view_prompts(prompt: str, phrases: ViewPhrases) -> list[str]:
    """One prompt for each phrase, in the order of `view_weights`: ``"{prompt}, {phrase}"``."""
    return [f"{prompt}, {phrase}" for phrase in phrases.phrases]


def view_weights(azimuth: Tensor, elevation: Tensor, phrases: ViewPhrases) -> Tensor:
    """The share of each phrase in the condition of each view, ``[B,P]`` float32; rows sum to 1.

    ``azimuth`` and ``elevation`` are ``[B]`` in degrees, any turn. Linear between the two neighbours on the
    ring; the overhead phrase gets ``o = clamp((elevation - start) / (end - start), 0, 1)``, the ring ``1 - o``.
    """
    ring = _azimuths(phrases, azimuth.device)
    turned = (azimuth.float() - ring[0]) % 360
    before = torch.searchsorted(ring - ring[0], turned, right=True) - 1
    after = (before + 1) % len(ring)
    gap = (ring[after] - ring[before]) % 360
    fraction = (turned - (ring - ring[0])[before]) / torch.where(gap > 0, gap, 360.0)
    start, end = phrases.ramp
    overhead = ((elevation.float() - start) / (end - start)).clamp(0, 1)
    weights = azimuth.new_zeros(len(azimuth), len(ring) + 1, dtype=torch.float32)
    weights.scatter_add_(1, before[:, None], (1 - fraction)[:, None])
    weights.scatter_add_(1, after[:, None], fraction[:, None])
    weights *= (1 - overhead)[:, None]
    weights[:, -1] = overhead
    return weights


@functools.cache
def _azimuths(phrases: ViewPhrases, device: torch.device) -> Tensor:
    """The ring's azimuths, kept because a copy to the device would halt every step."""
    return torch.tensor([angle for angle, _ in phrases.ring], dtype=torch.float32, device=device)
