"""The two networks that score distillation evaluates at every step, as plain functions of tensors.

`Networks` runs them as they are, `SparingNetworks` with as little memory as it can; the fast way on CUDA is
`dreampgc.priors.accelerate`. All give the same numbers, up to the roundings of another order of sums.
"""

from __future__ import annotations

from typing import Any

import torch
from diffusers.models.attention_processor import AttnProcessor2_0
from torch import Tensor

from dreampgc.ops.linearise import Transpose, linearise


class Networks:
    """A frozen VAE and a frozen UNet of diffusers, each computing in its own dtype; tensors in and out are float32."""

    def __init__(self, unet: Any, vae: Any) -> None:
        self.unet, self.vae = unet, vae
        # Plain values, which a compiler takes for constants.
        self._dtype, self._vae_dtype = unet.dtype, vae.dtype
        self._scaling = float(vae.config.scaling_factor)

    def encode(self, image: Tensor) -> Tensor:
        """Latents ``[B,4,h,w]`` of images ``[B,3,H,W]`` in [0,1]: the posterior's mean, scaled; differentiable."""
        moments = self.vae.encoder((2 * image - 1).to(self._vae_dtype))
        if self.vae.quant_conv is not None:
            moments = self.vae.quant_conv(moments)
        return moments.chunk(2, dim=1)[0].float() * self._scaling

    def encode_with_vjp(self, image: Tensor) -> tuple[Tensor, Transpose]:
        """`encode`, and what carries a gradient of the latents back to the image; to be used once."""
        return linearise(self.encode, image)

    def denoise(self, noisy: Tensor, timesteps: Tensor, tokens: Tensor, *added: Tensor) -> Tensor:
        """What the UNet says of ``noisy`` ``[B,4,h,w]`` at ``timesteps`` ``[B]``, given ``tokens`` ``[B,L,D]``.

        ``added`` are SDXL's pooled text ``[B,P]`` and sizes ``[B,6]``.
        """
        dtype = self._dtype
        extra: dict[str, Any] = {}
        if added:
            text, sizes = (x.to(dtype) for x in added)
            extra["added_cond_kwargs"] = {"text_embeds": text, "time_ids": sizes}
        return self.unet(noisy.to(dtype), timesteps, tokens.to(dtype), return_dict=False, **extra)[0].float()


class SparingNetworks(Networks):
    """One sample at a time, and the VAE's activations computed again where they are needed instead of kept."""

    def __init__(self, unet: Any, vae: Any) -> None:
        super().__init__(unet, vae)
        vae.enable_gradient_checkpointing()
        for attention in vae.encoder.mid_block.attentions:  # where it was spelt out for speed
            attention.set_processor(AttnProcessor2_0())

    def encode_with_vjp(self, image: Tensor) -> tuple[Tensor, Transpose]:
        """See `Networks.encode_with_vjp`; nothing is kept between the two but the image."""

        def transpose(gradient: Tensor) -> Tensor:
            each = zip(image.split(1), gradient.split(1), strict=True)
            return torch.cat([linearise(self.encode, x)[1](g) for x, g in each])

        with torch.no_grad():
            return torch.cat([self.encode(x) for x in image.split(1)]), transpose

    def denoise(self, noisy: Tensor, timesteps: Tensor, tokens: Tensor, *added: Tensor) -> Tensor:
        """See `Networks.denoise`."""
        each = zip(*(x.split(1) for x in (noisy, timesteps, tokens, *added)), strict=True)
        return torch.cat([super(SparingNetworks, self).denoise(*one) for one in each])
