"""Pictures of gradients: where the spikes are, and what clipping did to them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from dreampgc.ops.reference import Norm, pixel_norm

#: Colours of the smallest to the largest norm: black, violet, red, yellow, white (after matplotlib's inferno).
_COLOURS = np.array(
    [[0, 0, 4], [51, 10, 95], [120, 28, 109], [187, 55, 84], [237, 105, 37], [252, 181, 25], [252, 255, 220]]
)
_NON_FINITE = (0, 255, 255)
_SEPARATOR = 255


def draw_gradient(raw: Tensor, shaped: Tensor, threshold: float, norm: Norm = "l2") -> NDArray[np.uint8]:
    """Norm maps before (left) and after shaping (right), one row a sample: ``[B*(H+2)-2, 2*W+2, 3]`` uint8.

    ``raw`` and ``shaped`` are ``[B,C,H,W]``. The colour scale is logarithmic and fixed, from a thousandth to
    a thousand times ``threshold``, so that pictures of different steps and methods compare; the threshold is
    in its middle. Cyan marks pixels that are not finite.
    """
    rows = []
    for before, after in zip(_colour(raw, threshold, norm), _colour(shaped, threshold, norm), strict=True):
        gap = np.full((before.shape[0], 2, 3), _SEPARATOR, np.uint8)
        row = np.concatenate([before, gap, after], axis=1)
        rows += [row, np.full((2, row.shape[1], 3), _SEPARATOR, np.uint8)]
    return np.concatenate(rows[:-1])


def _colour(gradient: Tensor, threshold: float, norm: Norm) -> NDArray[np.uint8]:
    """``[B,C,H,W]`` to ``[B,H,W,3]`` colours of ``log10(norm / threshold)`` from -3 to 3."""
    norms = pixel_norm(gradient, norm)[:, 0].cpu().numpy()
    bad = ~np.isfinite(norms)
    decades = np.log10(np.clip(np.where(bad, threshold, norms) / threshold, 1e-3, 1e3))
    stops = np.linspace(-3, 3, len(_COLOURS))
    image = np.stack([np.interp(decades, stops, channel) for channel in _COLOURS.T], axis=-1)
    return np.where(bad[..., None], _NON_FINITE, image.round()).astype(np.uint8)
