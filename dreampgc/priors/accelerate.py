"""The networks as a GPU runs them fast: one layout, kernels that were tried against each other, compiled if that pays.

Launching their kernels is another matter: whole steps are recorded and replayed (`dreampgc.stages.recording`).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Literal

import torch
from diffusers.models.attention_processor import AttnProcessor
from torch import Tensor

from dreampgc.files import cache_folder
from dreampgc.ops.frozen import freeze_convolutions
from dreampgc.ops.group_norm import sum_by_channel
from dreampgc.ops.linearise import Transpose, linearise
from dreampgc.priors.base import LatentPrior
from dreampgc.priors.latent import LatentDiffusion
from dreampgc.priors.networks import Networks

Acceleration = Literal["compiled", "graphs", "off"]
Function = Callable[..., Tensor]

#: Pixels a side from which a prior is large enough to be worth minutes of compiling.
_WORTH_COMPILING = 512


def acceleration_of(prior: LatentPrior, wanted: str, *, hasty: bool) -> Acceleration:
    """What ``wanted`` (auto, compiled, graphs, off) means for ``prior``; ``hasty`` runs do not wait for a compiler."""
    if prior.device.type != "cuda" or wanted == "off":
        return "off"
    if wanted == "auto":
        return "compiled" if prior.image_size >= _WORTH_COMPILING and not hasty else "graphs"
    return "compiled" if wanted == "compiled" else "graphs"


def accelerate(prior: LatentPrior, kind: Acceleration, say: Callable[[str], None]) -> None:
    """Let ``prior`` run its networks as ``kind`` tells from now on; ``say`` hears of waiting and of fallbacks."""
    if kind == "off" or not isinstance(prior, LatentDiffusion):
        return
    # Shapes are fixed, so the fastest of cuDNN's convolutions is worth finding.
    torch.backends.cudnn.benchmark = True
    # One head of 512 channels: fused attention has no fast backward for so wide a head (7 ms at 512 pixels and 72 ms at
    # 1024 on an H100, against 0.8 and 4 as matrix products).
    for attention in prior.vae.encoder.mid_block.attentions:
        attention.set_processor(AttnProcessor())
    if kind == "compiled":
        # What was compiled once is found again by later runs, also after a restart.
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache_folder() / "inductor"))
        prior.networks = CompiledNetworks(prior.unet, prior.vae, say)


class CompiledNetworks(Networks):
    """`Networks` that are compiled at their first use; what cannot be compiled runs as it is, which is said."""

    def __init__(self, unet: Any, vae: Any, say: Callable[[str], None]) -> None:
        super().__init__(unet, vae)
        for network in (unet, vae):  # the layout of the fast convolutions
            network.to(memory_format=torch.channels_last)
        for network in (unet, vae.encoder):
            sum_by_channel(network)
        freeze_convolutions(vae.encoder)
        for convolution in vae.encoder.modules():
            if type(convolution) is torch.nn.Conv2d:  # those with a stride
                convolution.register_forward_hook(lambda module, inputs, output: _Laid.apply(output))
        self._say = say
        self._encode: Function | None = None
        self._denoise: Function | None = None

    def encode_with_vjp(self, image: Tensor) -> tuple[Tensor, Transpose]:
        """See `Networks.encode_with_vjp`."""
        if self._encode is None:
            self._encode = self._compiled("the VAE's encoder", self.encode, image, differentiable=True)
        return linearise(self._encode, image)

    def denoise(self, noisy: Tensor, timesteps: Tensor, tokens: Tensor, *added: Tensor) -> Tensor:
        """See `Networks.denoise`."""
        inputs = (noisy, timesteps, tokens, *added)
        if self._denoise is None:
            self._denoise = self._compiled("the UNet", super().denoise, *inputs, differentiable=False)
        return self._denoise(*inputs)

    def _compiled(self, name: str, function: Function, *inputs: Tensor, differentiable: bool) -> Function:
        """``function`` compiled and tried, backward too if it is to be ``differentiable``; itself where that fails."""
        self._say(f"compiling {name}, once for these sizes: up to a few minutes, less when done before")
        compiled: Function = torch.compile(function, dynamic=False)
        try:
            if differentiable:
                value, transpose = linearise(compiled, *inputs)
                transpose(torch.zeros_like(value))
            else:
                compiled(*inputs)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # the compiler, its back ends and the driver each have errors of their own
            sentence = str(error).strip().partition("\n")[0][:200] or type(error).__name__
            self._say(f"{name} cannot be compiled here and runs slower ({sentence})")
            return function
        return compiled


class _Laid(torch.autograd.Function):
    """The value itself, whose gradient has its channels last: or each convolution's backward would copy it there."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        return gradient.contiguous(memory_format=torch.channels_last)
