"""The networks as CUDA graphs, compiled before if that pays: a GPU runs kernels faster than Python launches them.

Shapes are fixed by the run, so each network is recorded once a shape, at its first use, and replayed from then on. A
replay reads and writes always the same memory: inputs are copied in, results are copied out. What cannot be compiled
is recorded as it is, what cannot be recorded runs as it always did, and either is said once.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor

from dreampgc.files import cache_folder
from dreampgc.ops.linearise import Transpose
from dreampgc.priors.base import LatentPrior
from dreampgc.priors.latent import LatentDiffusion
from dreampgc.priors.networks import Networks

Acceleration = Literal["compiled", "graphs", "off"]
Function = Callable[..., Tensor]

#: Runs before a recording: they compile, and let libraries choose their kernels.
_WARM_UPS = 3
#: Shapes that are recorded; each keeps its activations' memory, so further ones run as they are.
_MOST_RECORDINGS = 6
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
    if kind != "off" and isinstance(prior, LatentDiffusion):
        # What was compiled once is found again by later runs, also after a restart.
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache_folder() / "inductor"))
        prior.networks = RecordedNetworks(prior.unet, prior.vae, say, compiled=kind == "compiled")


class RecordedNetworks(Networks):
    """`Networks` whose two functions are recorded at their first use of each shape."""

    def __init__(self, unet: Any, vae: Any, say: Callable[[str], None], *, compiled: bool) -> None:
        super().__init__(unet, vae)
        self._say, self._compiled = say, compiled
        self._recordings: dict[tuple[Any, ...], Recording | None] = {}
        if compiled:  # the layout of the fast convolutions; eager normalisation would be slower with it
            for network in (unet, vae):
                network.to(memory_format=torch.channels_last)

    def encode_with_vjp(self, image: Tensor) -> tuple[Tensor, Transpose]:
        """See `Networks.encode_with_vjp`."""
        recording = self._recorded("the VAE's encoder", self.encode, (image,), differentiable=True)
        if recording is None:
            return super().encode_with_vjp(image)
        return recording(image), recording.transpose

    def denoise(self, noisy: Tensor, timesteps: Tensor, tokens: Tensor, *added: Tensor) -> Tensor:
        """See `Networks.denoise`."""
        inputs = (noisy, timesteps, tokens, *added)
        recording = self._recorded("the UNet", super().denoise, inputs, differentiable=False)
        return super().denoise(*inputs) if recording is None else recording(*inputs)

    def _recorded(
        self, name: str, function: Function, inputs: tuple[Tensor, ...], *, differentiable: bool
    ) -> Recording | None:
        key = (name, *(x.shape for x in inputs))
        if key not in self._recordings and len(self._recordings) < _MOST_RECORDINGS:
            self._recordings[key] = self._record(name, function, inputs, differentiable)
        return self._recordings.get(key)

    def _record(
        self, name: str, function: Function, inputs: tuple[Tensor, ...], differentiable: bool
    ) -> Recording | None:
        """The fastest way that works here; None where only the plain one does."""
        if self._compiled:
            self._say(f"compiling {name}, once for these sizes: up to a few minutes, less when done before")
            try:
                return Recording(torch.compile(function, dynamic=False), inputs, differentiable=differentiable)
            except torch.OutOfMemoryError:
                raise
            except Exception as error:  # the compiler, its back ends and the driver each have errors of their own
                self._say(f"{name} cannot be compiled here and runs without ({_sentence(error)})")
        try:
            return Recording(function, inputs, differentiable=differentiable)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:
            self._say(f"{name} cannot be recorded here and runs slower ({_sentence(error)})")
            return None


class Recording:
    """A function of CUDA tensors of fixed shapes as one CUDA graph, and another for its vector-Jacobian product.

    Calling it gives the function's value; if it was recorded as ``differentiable``, `transpose` then carries a
    gradient of the value back to the first input.
    """

    def __init__(self, function: Function, inputs: tuple[Tensor, ...], *, differentiable: bool) -> None:
        self._inputs = [x.detach().clone() for x in inputs]
        self._inputs[0].requires_grad_(differentiable)
        with _choosing_kernels(), torch.set_grad_enabled(differentiable):
            self._warm_up(function, differentiable)
            self._forward = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._forward):
                value = function(*self._inputs)
            if differentiable:
                self._cotangent = torch.zeros_like(value)
                self._backward = torch.cuda.CUDAGraph()
                with torch.cuda.graph(self._backward, pool=self._forward.pool()):
                    (self._gradient,) = torch.autograd.grad(value, self._inputs[0], self._cotangent)
        self._value = value.detach()

    def _warm_up(self, function: Function, differentiable: bool) -> None:
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(_WARM_UPS):
                value = function(*self._inputs)
                if differentiable:
                    torch.autograd.grad(value, self._inputs[0], torch.zeros_like(value))
        torch.cuda.current_stream().wait_stream(aside)

    @torch.no_grad()
    def __call__(self, *inputs: Tensor) -> Tensor:
        """The function's value, as new memory."""
        for kept, given in zip(self._inputs, inputs, strict=True):
            kept.copy_(given)
        self._forward.replay()
        return self._value.clone()

    @torch.no_grad()
    def transpose(self, gradient: Tensor) -> Tensor:
        """The vector-Jacobian product at the inputs of the last call, as new memory."""
        self._cotangent.copy_(gradient)
        self._backward.replay()
        return self._gradient.clone()


@contextmanager
def _choosing_kernels() -> Iterator[None]:
    """Let cuDNN try its convolutions against each other: shapes are fixed, so the fastest is worth finding."""
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = True
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before


def _sentence(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:200] or type(error).__name__
