"""A stage without a field: one image (or its latents) trained directly, as in the paper's Fig. 2.

What is left of score distillation is the gradient that the pixels receive, so that its ways from the latents to
the image can be compared without a renderer in between.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dreampgc.cameras import fixed_views
from dreampgc.checkpoint import pack_optimizer, unpack_optimizer
from dreampgc.config import RunConfig
from dreampgc.guidance.propagation import METHODS, no_encoder
from dreampgc.guidance.sds import ScoreDistillation
from dreampgc.images import Frame, to_frames
from dreampgc.optimizers import decay_rates
from dreampgc.priors.base import Prior
from dreampgc.stages.loop import Loop
from dreampgc.stages.memory import MemoryLadder
from dreampgc.stages.recording import Outcome, RecordedStage, Recorder

#: Where the image is said to be taken from: half-way to the side, which shows the most of an object.
AZIMUTH = 30.0
#: Latents have about unit variance and pixels about a quarter of that width, so their rate is larger.
LATENT_RATE = 4.0


@dataclass
class Image2dState:
    """All that training changes: ``image`` is ``[1,3,S,S]`` in [0,1], or ``[1,4,s,s]`` latents."""

    image: torch.nn.Parameter
    optimizer: torch.optim.Optimizer
    generator: torch.Generator

    def save(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors and plain values that `load` takes back, bit for bit."""
        tensors = {"image": self.image.detach(), "generator": self.generator.get_state()}
        return {**tensors, **pack_optimizer(self.optimizer)}, {}

    def load(self, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
        """Take back what `save` gave."""
        self.image.data.copy_(tensors["image"])
        unpack_optimizer(self.optimizer, tensors)
        self.generator.set_state(tensors["generator"])


class Image2dStage(RecordedStage):
    """Trains one image so that the prior likes it, as seen from `AZIMUTH`."""

    def __init__(self, config: RunConfig, prior: Prior, guidance: ScoreDistillation, state: Image2dState) -> None:
        self.config, self.prior, self.guidance, self.state = config, prior, guidance, state
        self.latent = METHODS[config.guidance.method].pullback is no_encoder
        self._view = fixed_views([AZIMUTH]).to(prior.device)

    def record_steps(self, say: Callable[[str], None]) -> None:
        """From now on replay what was done before (CUDA); ``say`` hears why it cannot be."""
        self._recorder = Recorder([self.state.image], [], say)

    def train(self, loop: Loop) -> None:
        """The loop: learning rate and a step, in as much memory as there is."""
        total = self.config.loop.steps
        memory = MemoryLadder([self._unrecorded, self.guidance.spare], self.state.generator, self.state.optimizer)
        for step in loop.steps(loop.resume(), total):
            decay_rates(self.state.optimizer, self.config.optimizer.final_rate ** (step / total))
            memory.attempt(functools.partial(self._step, loop, step), loop.console.warn)

    def _step(self, loop: Loop, step: int) -> None:
        """The work, as it is or replayed, then the descent, and back into [0,1].

        Clamping is a projection and leaves the gradient alone; a sigmoid would scale it by its slope, pixel by
        pixel, and so change what the threshold means.
        """
        image = self.state.image
        self.guidance.at(step)
        found = self._play("image", functools.partial(self._work, step))
        loop.apply(self.state.optimizer, found.loss, [image])
        if not self.latent:
            image.data.clamp_(0, 1)
        loop.log(step, found.metrics)

    def _work(self, step: int) -> Outcome:
        """The algorithm: image → shaped image gradient → loss."""
        image = self.state.image
        g_image = self.guidance.image_gradient(image.detach(), self._view, step)  # data: shaped, float32
        loss = (image * g_image).sum()
        return Outcome(loss, {"loss": loss.detach(), **self.guidance.metrics}, self.guidance.last)

    def preview(self, done: int) -> Frame:
        """The image as it is: ``[S,S,3]``."""
        image = self.state.image.detach()
        return to_frames(self.prior.decode(image) if self.latent else image)[0]


def make_state(config: RunConfig, prior: Prior, generator: torch.Generator, *, fused: bool = False) -> Image2dState:
    """A white image with a little noise, drawn from ``generator``, and its optimiser.

    White is the background that the object should end up on: from gray, the same steps leave a background that
    is undecided. The noise breaks the symmetry that a constant image has for convolutions. The method ``latent``
    starts from the latents of the very same image.
    """
    noise = torch.randn(1, 3, prior.image_size, prior.image_size, generator=generator)
    image = (1 - 0.05 * noise.abs()).clamp(0, 1).to(prior.device)
    latent = METHODS[config.guidance.method].pullback is no_encoder
    with torch.no_grad():
        parameter = torch.nn.Parameter(prior.encode(image) if latent else image)
    settings = config.optimizer
    rate = settings.learning_rate * (LATENT_RATE if latent else 1.0)
    optimizer = torch.optim.Adam([parameter], lr=rate, betas=settings.betas, eps=settings.eps, fused=fused)
    optimizer.param_groups[0]["initial_lr"] = rate
    return Image2dState(parameter, optimizer, generator)
