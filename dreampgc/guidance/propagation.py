"""How a latent gradient becomes an image gradient: the six methods of the paper (Fig. 2).

Vocabulary: ``x`` the image, ``z`` its latents, ``g_z = d(loss)/dz`` the latent gradient, which comes from
score distillation, ``g_x = d(loss)/dx`` the image gradient, ``c`` the threshold. A method is the product of

- a *pullback*, which encodes the image and carries ``g_z`` back to it, ``g_x = (dz/dx)^T g_z`` (Eq. 2), and
- a *shaping*, which regulates the 3-vector ``g`` that ``g_x`` holds at each pixel (Sec. 4.4),

and `METHODS` is the whole table. `propagate` runs one of them:

    x  ──upsample──►  x at the encoder's size  ──encode──►  z
                                                            │ score distillation
    g  ◄─transpose──  shaping(g_x)  ◄──────pullback───────  g_z

Everything is float32, and no gradient is averaged over the batch: ``c`` means the same at every size.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from dreampgc.errors import InputError
from dreampgc.ops.linearise import Transpose, linearise
from dreampgc.ops.pixel_clip import pixel_clip_with_statistics
from dreampgc.ops.reference import Norm, clip_statistics
from dreampgc.priors.base import LatentPrior

Pullback = Callable[[LatentPrior, Tensor], tuple[Tensor, Transpose]]
Shaping = Callable[[Tensor, float, Norm], tuple[Tensor, Tensor]]


# Pullbacks: image -> latents, and the way back for g_z.


def no_encoder(prior: LatentPrior, image: Tensor) -> tuple[Tensor, Transpose]:
    """The field renders latents itself: ``z = x`` and ``g_x = g_z`` (i)."""
    return image, lambda g: g


def exact_encoder(prior: LatentPrior, image: Tensor) -> tuple[Tensor, Transpose]:
    """``z = E(x)`` and the encoder's vector-Jacobian product (Eq. 2): what nothing in the VAE's training regulates."""
    return prior.encode_with_vjp(image)


def linear_encoder(prior: LatentPrior, image: Tensor) -> tuple[Tensor, Transpose]:
    """``z = E(x)``, but ``dz/dx`` is that of the ridge fit ``z = A mean_8x8(x) + b`` (Eq. 5, A.2).

    Raises:
        InputError: the prior has no fitted linear map.
    """
    if prior.linear_rgb_to_latent is None:
        raise InputError(f"the prior {prior.name} has no fitted linear map, which the method 'linear' needs")
    matrix, _ = prior.linear_rgb_to_latent
    size = prior.downsampling

    def transpose(g: Tensor) -> Tensor:
        per_patch = torch.einsum("bzhw,cz->bchw", g, matrix.to(g))
        return functional.interpolate(per_patch, scale_factor=size, mode="nearest") / size**2

    with torch.no_grad():
        return prior.encode(image), transpose


# Shapings: each pixel's gradient g, given the threshold c; and what the same pass over it counted.


def unshaped(gradient: Tensor, threshold: float, norm: Norm) -> tuple[Tensor, Tensor]:
    """``g``."""
    return gradient, clip_statistics(gradient, threshold, norm)


def normalised(gradient: Tensor, threshold: float, norm: Norm) -> tuple[Tensor, Tensor]:
    """``c g / (‖g‖ + c)`` (Eq. 9)."""
    return pixel_clip_with_statistics(gradient, threshold, "normalize", norm)


def clipped_by_value(gradient: Tensor, threshold: float, norm: Norm) -> tuple[Tensor, Tensor]:
    """Each channel of ``g`` clamped to ``[-c, c]`` (Sec. 4.4)."""
    return pixel_clip_with_statistics(gradient, threshold, "value", norm)


def clipped_by_norm(gradient: Tensor, threshold: float, norm: Norm) -> tuple[Tensor, Tensor]:
    """``min(‖g‖, c) g/‖g‖`` (Eq. 10)."""
    return pixel_clip_with_statistics(gradient, threshold, "norm", norm)


@dataclass(frozen=True)
class Method:
    """A way from the latent gradient to the image gradient, and where the paper defines it."""

    pullback: Pullback
    shaping: Shaping
    equation: str


METHODS: dict[str, Method] = {
    "latent": Method(no_encoder, unshaped, "Fig. 2 (i)"),
    "vae": Method(exact_encoder, unshaped, "Eq. 2"),
    "linear": Method(linear_encoder, unshaped, "Eq. 5"),
    "pngd": Method(exact_encoder, normalised, "Eq. 9"),
    "pgc-v": Method(exact_encoder, clipped_by_value, "Sec. 4.4"),
    "pgc-n": Method(exact_encoder, clipped_by_norm, "Eq. 10"),
}


@dataclass(frozen=True)
class Propagated:
    """An image gradient on its way: ``raw`` and ``shaped`` at the encoder's size, ``image`` at the render's.

    ``counted`` is what shaping saw of ``raw``: see `dreampgc.ops.reference.clip_statistics`.
    """

    raw: Tensor
    shaped: Tensor
    counted: Tensor
    image: Tensor


def propagate(
    method: Method,
    prior: LatentPrior,
    image: Tensor,
    latent_gradient: Callable[[Tensor], Tensor],
    *,
    threshold: float,
    norm: Norm = "l2",
) -> Propagated:
    """Encode ``image``, ask ``latent_gradient`` for ``g_z`` of its latents, and bring that back to the image.

    ``image`` is ``[B,3,H,W]`` in [0,1], or ``[B,4,h,w]`` latents for the method ``latent``. The threshold acts
    at the size that the encoder sees; a smaller render then receives the exact transpose of its upsampling.
    """
    size = prior.image_size if method.pullback is not no_encoder else prior.image_size // prior.downsampling
    enlarged, shrink = linearise(lambda x: upsample(x, size), image.float())
    latents, pullback = method.pullback(prior, enlarged)
    raw = pullback(latent_gradient(latents)).float()
    shaped, counted = method.shaping(raw, threshold, norm)
    return Propagated(raw, shaped, counted, shrink(shaped))


def upsample(image: Tensor, size: int) -> Tensor:
    """Bilinear enlargement of ``[B,C,H,W]`` to at least ``size`` pixels a side; larger images stay as they are."""
    height, width = (max(side, size) for side in image.shape[-2:])
    if (height, width) == image.shape[-2:]:
        return image
    return functional.interpolate(image, size=(height, width), mode="bilinear", align_corners=False)
