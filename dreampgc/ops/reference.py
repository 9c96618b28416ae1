"""Pixel-wise gradient clipping in plain torch: the definition that every kernel is held to.

A *gradient* is d(loss)/d(image) of one sample, ``[B,C,H,W]`` with the 3 channels of a picture or the 4 of latents;
each pixel holds one vector ``g``, and the threshold ``c`` acts on its norm, L2 over the channels or (``linf``, as in
the paper's released code) the largest absolute channel. Arithmetic is float32 (float64 for float64 input).

Norms are taken of ``g / max|g|``, so that neither 1e30 nor 1e-30 leaves float32's range when it is squared.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor

Mode = Literal["norm", "value", "normalize"]
Norm = Literal["l2", "linf"]

#: Pixels from which medians are taken: all of four pictures of 128x128, every fifth of one of 512x512.
_QUANTILE_PIXELS = 2**16


def pixel_clip(gradient: Tensor, threshold: float, mode: str, norm: str) -> Tensor:
    """Shape each pixel's gradient ``g`` by the threshold ``c`` (Sec. 4.4, Eq. 9 and 10).

    | mode | result | method |
    |---|---|---|
    | ``norm`` | ``min(‖g‖, c) g/‖g‖`` | PGC-N |
    | ``value`` | each channel clamped to [-c, c] (``norm`` plays no part) | PGC-V |
    | ``normalize`` | ``c g / (‖g‖ + c)`` | PNGD |

    ``gradient`` and the result are ``[B,C,H,W]``, the same dtype and strides. A pixel with a NaN becomes 0;
    a pixel with an infinity becomes a vector of norm ``c`` along its signs (in ``value`` mode it is clamped
    like any other).
    """
    g = gradient.to(_precision(gradient))
    g = torch.where(g.isnan().any(dim=1, keepdim=True), 0.0, g)
    shaped = g.clamp(-threshold, threshold) if mode == "value" else _scale(g, threshold, mode, norm)
    return torch.empty_like(gradient).copy_(shaped)


def pixel_norm(gradient: Tensor, norm: str = "l2") -> Tensor:
    """Each pixel's gradient norm over the channels, ``[B,C,H,W]`` to ``[B,1,H,W]``; NaN and infinity stay."""
    largest, _, length = _polar(gradient.to(_precision(gradient)), norm)
    return largest * length


def clip_statistics(gradient: Tensor, threshold: float, norm: str) -> Tensor:
    """What one pass over ``[B,C,H,W]`` can tell of its pixel norms: float64 ``[4]`` on its device.

    In this order: the number of norms above the threshold (infinite ones too), of norms that are NaN or infinite, and,
    of the finite norms, the maximum and the sum (0 when there are none).
    """
    norms = pixel_norm(gradient, norm)
    finite = norms.isfinite()
    known = norms.double().where(finite, 0)
    maximum = known.max() if known.numel() else known.sum()
    return torch.stack([(norms > threshold).sum().double(), (~finite).sum().double(), maximum, known.sum()])


def gradient_statistics(gradient: Tensor, counted: Tensor, norm: str = "l2") -> dict[str, Tensor]:
    """Summary of the pixel norms of ``[B,C,H,W]``, as 0-d tensors on its device (no synchronisation).

    ``counted`` is what `clip_statistics` or the clipping operator found: from it come ``maximum`` and ``mean`` of the
    finite norms (NaN when there are none), ``clipped``, the share of all pixels above the threshold, and the count
    ``non_finite``. Only ``median`` and ``p99`` look at the gradient: at no more than `_QUANTILE_PIXELS` of its pixels.
    """
    above, bad, largest, total = counted.unbind()
    pixels = gradient.numel() // gradient.shape[1]
    known = pixels - bad
    median, p99 = _quantiles(gradient, norm, (0.5, 0.99))
    return {
        "median": median,
        "p99": p99,
        "maximum": torch.where(known > 0, largest, torch.nan),
        "mean": total / known,
        "clipped": above / pixels,
        "non_finite": bad,
    }


def _quantiles(gradient: Tensor, norm: str, shares: Sequence[float]) -> list[Tensor]:
    """Quantiles (0-d) of the finite pixel norms, from every so many pixels where there are very many."""
    pixels = gradient.flatten(2)
    # An odd step visits every column of a picture whose width is a power of two.
    every = -(-pixels.shape[0] * pixels.shape[2] // _QUANTILE_PIXELS) | 1
    norms = pixel_norm(pixels[:, :, ::every, None], norm).flatten()
    bad = ~norms.isfinite()
    finite = norms.masked_fill(bad, torch.nan).sort().values  # NaN sorts last
    last = norms.numel() - bad.sum() - 1
    # Taken with `gather`: a 0-d tensor as an index would be read by the host.
    return [finite.gather(0, (last * share).round().long().clamp_min(0).view(1)).squeeze(0) for share in shares]


def check_arguments(gradient: Tensor, threshold: float, mode: str, norm: str) -> None:
    """Refuse what `pixel_clip` has no meaning for.

    Raises:
        ValueError: not a floating-point ``[B,3,H,W]`` or ``[B,4,H,W]``, a threshold that is not positive and
            finite, or an unknown mode or norm.
    """
    if gradient.dim() != 4 or gradient.shape[1] not in (3, 4) or not gradient.is_floating_point():
        shape = list(gradient.shape)
        raise ValueError(f"gradient must be floating point [B,3,H,W] or [B,4,H,W], not {gradient.dtype} {shape}")
    if not (threshold > 0 and math.isfinite(threshold)):
        raise ValueError(f"threshold must be positive and finite, not {threshold}")
    if mode not in get_args(Mode):
        raise ValueError(f"mode must be one of {', '.join(get_args(Mode))}, not {mode!r}")
    if norm not in get_args(Norm):
        raise ValueError(f"norm must be one of {', '.join(get_args(Norm))}, not {norm!r}")


def _precision(gradient: Tensor) -> torch.dtype:
    return torch.promote_types(gradient.dtype, torch.float32)


def _polar(g: Tensor, norm: str) -> tuple[Tensor, Tensor, Tensor]:
    """Split ``g = largest * unit`` with ``largest = max|g|`` ``[B,1,H,W]``; also the length of ``unit``."""
    largest = g.abs().amax(dim=1, keepdim=True).clamp_min(torch.finfo(g.dtype).tiny)
    unit = torch.where(largest.isinf(), g.sign(), g / largest)
    length = unit.square().sum(dim=1, keepdim=True).sqrt() if norm == "l2" else unit.abs().amax(dim=1, keepdim=True)
    return largest, unit, length


def _scale(g: Tensor, threshold: float, mode: str, norm: str) -> Tensor:
    largest, unit, length = _polar(g, norm)
    if mode == "norm":
        return torch.where(largest * length <= threshold, g, unit * (threshold / length))
    # c g / (‖g‖ + c), divided through by the larger of max|g| and c, so that no intermediate overflows
    return torch.where(
        largest <= threshold,
        g / (largest * length / threshold + 1),
        unit * (threshold / (length + threshold / largest)),
    )
