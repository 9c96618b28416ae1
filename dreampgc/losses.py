"""Small pure functions of what a render saw, or of that and what it should have seen: 0-d tensors to be added."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from dreampgc.ops.segments import sum_before
from dreampgc.types import RenderOutput


def opacity_entropy(output: RenderOutput) -> Tensor:
    """Mean binary entropy (bits) of the pixels' opacity: 0 if each is clear or solid, 1 if all are half."""
    share = output.opacity.clamp(1e-5, 1 - 1e-5)
    return -(share * share.log2() + (1 - share) * (1 - share).log2()).mean()


def sparsity(output: RenderOutput) -> Tensor:
    """Mean opacity of the pixels, smoothed at zero (DreamFusion's ``sqrt(opacity^2 + 0.01)``): less matter."""
    return (output.opacity.square() + 0.01).sqrt().mean()


def orientation(output: RenderOutput) -> Tensor:
    """Weight of normals that face away, ``sum w max(n.d, 0)^2`` per pixel (Verbin et al. 2022, Eq. 11).

    Weights are data here: surfaces are to turn, not to vanish.

    Raises:
        ValueError: ``output`` was rendered without normals.
    """
    extras = output.extras
    if "normals" not in extras:
        raise ValueError("orientation needs a render with normals: shade it, or pass normals=True")
    away = (extras["normals"] * extras["directions"]).sum(-1).clamp_min(0).square()
    return (extras["weights"].detach() * away).sum() / output.opacity.numel()


def distortion(output: RenderOutput) -> Tensor:
    """How far each ray's weights are spread, per pixel (Barron et al. 2022, Eq. 15), in world units.

    ``sum_ij w_i w_j |t_i - t_j| + 1/3 sum_i w_i^2 step``; the double sum in linear time, for ``t`` ascends.
    """
    rays, weights, distances, step = (output.extras[name] for name in ("rays", "weights", "distances", "step"))
    before = distances * sum_before(weights, rays) - sum_before(weights * distances, rays)
    return (2 * weights * before + weights.square() * (step / 3)).sum() / output.opacity.numel()


def normal_smoothness(output: RenderOutput) -> Tensor:
    """How much the normals of neighbouring pixels differ: their `total_variation`, silhouettes included.

    Raises:
        ValueError: ``output`` was rendered without normals.
    """
    if output.normals is None:
        raise ValueError("normal_smoothness needs a render with normals: shade it, or pass normals=True")
    return total_variation(output.normals)


def total_variation(values: Tensor, dimensions: int = 2) -> Tensor:
    """Mean squared difference of neighbours along the last ``dimensions`` axes, summed over the axes.

    For images ``[B,C,H,W]`` (2) or a hash grid's coarse volumes ``[F,D,H,W]`` (3).
    """
    differences = [values.diff(dim=axis).square().mean() for axis in range(-dimensions, 0)]
    return torch.stack(differences).sum()


def depth_disagreement(depth: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
    """``1 - correlation`` of two depths: 0 where they agree up to scale and shift. All ``[B,1,H,W]``.

    ``weight`` says which pixels count. Without any, and where a depth is flat, it is 1.
    """
    share = weight / weight.sum().clamp_min(1e-6)
    x, y = (values - (share * values).sum() for values in (depth, truth))
    variances = (share * x.square()).sum() * (share * y.square()).sum()
    return 1 - (share * x * y).sum() * torch.rsqrt(variances + 1e-12)


def normal_disagreement(normals: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
    """Mean of ``1 - cosine`` between two fields of vectors ``[B,3,H,W]``; ``weight`` ``[B,1,H,W]``: what counts."""
    cosine = functional.cosine_similarity(normals, truth, dim=1, eps=1e-6)[:, None]
    return (weight * (1 - cosine)).sum() / weight.sum().clamp_min(1e-6)
