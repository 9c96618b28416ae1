"""Affine maps between pixels and latents: the ``linear`` method's Jacobian (Eq. 5) and quick previews.

One latent pixel ``z`` (4 channels) stands for the mean ``x`` of its 8x8 image pixels, RGB in [0,1]:
``z = x @ A + b``, and back ``x = z @ C + d``, both fitted by ridge regression (A.2).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional

from dreampgc.priors.base import Affine

FILE_NAME = "linear_map.safetensors"


@dataclass(frozen=True)
class LinearMap:
    """``rgb_to_latent`` is ``([3,4], [4])``; ``latent_to_rgb`` is ``([4,3], [3])``, or None where unpublished."""

    rgb_to_latent: Affine
    latent_to_rgb: Affine | None

    def save(self, directory: Path) -> None:
        """Write the maps beside a prior's weights."""
        tensors = dict(zip(("rgb_to_latent.weight", "rgb_to_latent.bias"), self.rgb_to_latent, strict=True))
        if self.latent_to_rgb is not None:
            tensors |= dict(zip(("latent_to_rgb.weight", "latent_to_rgb.bias"), self.latent_to_rgb, strict=True))
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, directory / FILE_NAME)

    @classmethod
    def load(cls, directory: Path) -> LinearMap | None:
        """Read the maps of a prior's directory; None where there are none."""
        if not (directory / FILE_NAME).is_file():
            return None
        tensors = load_file(directory / FILE_NAME)
        back = (tensors["latent_to_rgb.weight"], tensors["latent_to_rgb.bias"]) if len(tensors) == 4 else None
        return cls((tensors["rgb_to_latent.weight"], tensors["rgb_to_latent.bias"]), back)


def fit_linear_map(encode: Callable[[Tensor], Tensor], images: Tensor, ridge: float = 1e-3) -> LinearMap:
    """Fit both maps of an encoder on images ``[N,3,S,S]`` in [0,1] by ridge regression (A.2), in float64.

    The penalty is ``ridge * ||A||^2`` beside the sum of squares over all latent pixels; the bias is free.
    """
    with torch.no_grad():
        latents = torch.cat([encode(image) for image in images.split(1)])
    pooled = functional.adaptive_avg_pool2d(images, (latents.shape[-2], latents.shape[-1]))
    rgb, z = (x.movedim(1, -1).flatten(0, -2).double().cpu() for x in (pooled, latents))
    return LinearMap(_ridge_regression(rgb, z, ridge), _ridge_regression(z, rgb, ridge))


def inverse(affine: Affine) -> Affine:
    """The least-squares inverse ``z -> x`` of ``x @ A + b``: for priors of which only one direction was published."""
    matrix = torch.linalg.pinv(affine[0])
    return matrix, -affine[1] @ matrix


def _ridge_regression(inputs: Tensor, targets: Tensor, ridge: float) -> Affine:
    centred = inputs - inputs.mean(0)
    gram = centred.T @ centred + ridge * torch.eye(inputs.shape[1], dtype=inputs.dtype)
    weight = torch.linalg.solve(gram, centred.T @ (targets - targets.mean(0)))
    return weight.float(), (targets.mean(0) - inputs.mean(0) @ weight).float()


#: Stable Diffusion 1 and 2, from the paper's released 2D script, which publishes no bias: it never needs one.
STABLE_DIFFUSION = LinearMap(
    rgb_to_latent=(
        torch.tensor(
            [
                [1.7815, 0.7696, -3.6330, -0.6444],
                [0.7176, 3.8595, 2.8650, 1.7375],
                [-0.1892, -1.8685, 0.1521, -2.8548],
            ]
        ),
        torch.zeros(4),
    ),
    latent_to_rgb=None,
)
#: SDXL (A.2, whose labels are swapped: the shapes decide).
SDXL = LinearMap(
    rgb_to_latent=(
        torch.tensor(
            [
                [-0.5537, -3.4900, 0.6894, -2.4909],
                [1.8844, 1.7472, 3.2756, 1.3309],
                [2.1757, 1.6805, -3.4658, -0.1115],
            ]
        ),
        torch.tensor([-1.6590, 0.3810, -0.3939, 0.7896]),
    ),
    latent_to_rgb=(
        torch.tensor(
            [
                [0.1956, 0.2125, 0.2208],
                [-0.0910, -0.0206, 0.0047],
                [0.0462, 0.0401, -0.0028],
                [-0.1521, -0.1215, -0.1083],
            ]
        ),
        torch.tensor([0.5573, 0.5105, 0.4635]),
    ),
)
