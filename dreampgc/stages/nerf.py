"""The first stage: a radiance field trained from text by score distillation (Stable-DreamFusion's way, with PGC)."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dreampgc import losses
from dreampgc.cameras import Views, fixed_views, sample_views
from dreampgc.checkpoint import pack_optimizer, unpack_optimizer
from dreampgc.config import RunConfig
from dreampgc.field import Background, InstantNGP
from dreampgc.guidance.pictures import draw_gradient
from dreampgc.guidance.propagation import METHODS, no_encoder
from dreampgc.guidance.sds import Blend, ScoreDistillation
from dreampgc.images import to_frames
from dreampgc.optimizers import decay_rates
from dreampgc.priors.base import LatentPrior
from dreampgc.render import OccupancyGrid, Rooms, Shading, render, render_image, sample_lights
from dreampgc.stages.loop import Loop
from dreampgc.stages.memory import MemoryLadder
from dreampgc.transfer import upload
from dreampgc.types import RenderOutput

#: Rays at a time where memory is short, at first and at the least; and the least render, in pixels a side.
_MOST_RAYS, _FEWEST_RAYS, _SMALLEST = 2**13, 2**9, 32


@dataclass
class NerfState:
    """All that training changes, and so all that a checkpoint holds."""

    field: InstantNGP
    background: Background
    grid: OccupancyGrid
    optimizer: torch.optim.Optimizer
    generator: torch.Generator

    def modules(self) -> dict[str, torch.nn.Module]:
        """The modules by the names that their tensors have in a checkpoint."""
        return {"field": self.field, "background": self.background, "grid": self.grid}

    def save(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors and plain values that `load` takes back, bit for bit."""
        tensors = {f"{k}.{name}": t for k, m in self.modules().items() for name, t in m.state_dict().items()}
        return {**tensors, **pack_optimizer(self.optimizer), "generator": self.generator.get_state()}, {}

    def load(self, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
        """Take back what `save` gave."""
        load_modules(self.modules(), tensors)
        unpack_optimizer(self.optimizer, tensors)
        self.generator.set_state(tensors["generator"])


def load_modules(modules: dict[str, torch.nn.Module], tensors: dict[str, Tensor]) -> None:
    """Give each module its own of a checkpoint's tensors (``NAME.key``)."""
    for name, module in modules.items():
        prefix = f"{name}."
        module.load_state_dict({k.removeprefix(prefix): t for k, t in tensors.items() if k.startswith(prefix)})


class NerfStage:
    """Trains a field so that the prior likes every view of it.

    ``state`` is what is trained, ``guidance`` holds the prior and the method; ``config`` is the run's. With ``rooms``
    no step waits for the device.
    """

    def __init__(
        self,
        config: RunConfig,
        prior: LatentPrior,
        guidance: ScoreDistillation | Blend,
        state: NerfState,
        rooms: Rooms | None = None,
    ) -> None:
        self.config, self.prior, self.guidance, self.state, self.rooms = config, prior, guidance, state, rooms
        self.latent = renders_latents(config)
        self.device = prior.device
        self._chunk: int | None = None  # rays at a time
        self._halvings = 0  # of the render's resolution

    def train(self, loop: Loop) -> None:
        """The loop: occupancy, learning rates, and a step, in as much memory as there is."""
        state, total = self.state, self.config.loop.steps
        memory = MemoryLadder([self.guidance.spare, self._fewer_rays, self._smaller], state.generator, state.optimizer)
        parameters = [p for group in state.optimizer.param_groups for p in group["params"]]
        for step in loop.steps(loop.resume(), total):
            if step % self.config.render.grid_every == 0:
                memory.attempt(functools.partial(self._look_again, 1.0 if step == 0 else 0.125), loop.console.warn)
            decay_rates(state.optimizer, self.config.optimizer.final_rate ** (step / total))
            memory.attempt(functools.partial(self._step, loop, step, parameters), loop.console.warn)

    def _look_again(self, share: float) -> None:
        """Bring the occupancy grid up to date."""
        state = self.state
        state.grid.update(state.field.density, state.generator, share=share, rooms=self.rooms)

    def _step(self, loop: Loop, step: int, parameters: list[Tensor]) -> None:
        """One step: views → image → shaped image gradient → loss → descent."""
        views = self._sample_views(step)
        out = self._render(views, step)
        g_image = self.guidance.image_gradient(out.image.detach(), views, step)  # data: shaped, float32
        regularisers = self._regularisers(out, step)
        loss = (out.image * g_image).sum() / len(views) + sum(regularisers.values(), out.image.new_zeros(()))
        loop.apply(self.state.optimizer, whole(loss, out), parameters)
        loop.log(step, {"loss": loss.detach(), **self._metrics(out, regularisers)})

    def preview(self, done: int) -> NDArray[np.uint8]:
        """Four sides, lit and as depth: ``[2S, 4S, 3]``."""
        views = fixed_views([0.0, 90.0, 180.0, 270.0]).to(self.device)
        size = self.prior.image_size // (self.prior.downsampling if self.latent else 1)
        out = render_image(self.state.field, views, self.state.grid, **self._frame(views, size))
        image = self.prior.decode(out.image) if self.latent else out.image
        depth = torch.where(out.opacity > 0.5, (3.6 - out.depth) / 2.4, 0.0).expand(-1, 3, -1, -1)
        depth = torch.nn.functional.interpolate(depth, image.shape[-2:])
        rows = [np.concatenate(list(to_frames(part)), axis=1) for part in (image, depth)]
        return np.concatenate(rows)

    def look(self, views: Views, height: int, width: int) -> NDArray[np.uint8]:
        """The field as it is now, from ``views``, ``[B,H,W,3]``; where it has latents, at their decoder's sizes."""
        scale = self.prior.downsampling if self.latent else 1
        frame = self._frame(views, height)
        frame["height"], frame["width"] = height // scale, width // scale
        image = render_image(self.state.field, views.to(self.device), self.state.grid, **frame).image
        return to_frames(self.prior.decode(image) if self.latent else image)

    def gradient_picture(self, done: int) -> NDArray[np.uint8]:
        """The last step's image gradient, before and after shaping; its norms at every pixel."""
        last = self.guidance.last
        assert last is not None, "a gradient is drawn after a step"
        return draw_gradient(last.gradient.raw, last.gradient.shaped, last.threshold, last.norm)

    def _sample_views(self, step: int) -> Views:
        """Where this step looks from."""
        cameras = self.config.cameras
        views = sample_views(
            cameras.batch, self.state.generator, elevation=cameras.elevation, distance=cameras.distance, fov=cameras.fov
        )
        views = self._turned(views, step)
        if self.rooms is not None:
            self.rooms.scale = views.magnification()
        return views.to(self.device)

    def _turned(self, views: Views, step: int) -> Views:
        """``views`` (on the CPU) as they are: the whole circle is open from the first step on."""
        return views

    def _render(self, views: Views, step: int) -> RenderOutput:
        """A training view: random background, shading and light, at the step's resolution."""
        generator = self.state.generator
        shading = self._shading()
        size = self.prior.image_size // self.prior.downsampling if self.latent else self._resolution(step)
        ambient = 0.3 + 0.5 * torch.rand(len(views), generator=generator)
        light = sample_lights(views, generator)
        frame = self._frame(views, size)
        frame["background"] = self._background(views, size)
        frame["normals"] = self.config.regularisers.normal_smoothness > 0
        frame |= {"shading": shading, "light": light, "ambient": upload(ambient, self.device)}
        return self._draw(views, self.rooms, **frame)

    def _draw(self, views: Views, rooms: Rooms | None, **frame: Any) -> RenderOutput:
        """The field, differentiable, in as much memory as there is; ``frame`` is more of what `render` takes."""
        state = self.state
        options = {"generator": state.generator, "rooms": rooms, "chunk": self._chunk}
        return render(state.field, views, state.grid, **frame, **options)

    def _fewer_rays(self) -> str | None:
        if self._chunk == _FEWEST_RAYS:
            return None
        self._chunk = _MOST_RAYS if self._chunk is None else self._chunk // 4
        return f"{self._chunk} rays are rendered at a time and computed twice"

    def _smaller(self) -> str | None:
        if self.latent or self._resolution(0) <= _SMALLEST:
            return None
        self._halvings += 1
        return f"views are rendered at {self._resolution(0)} to {self._resolution(self.config.loop.steps)} pixels"

    def _frame(self, views: Views, size: int) -> dict[str, Any]:
        """What training and preview renders share; the background is white."""
        white = self._colour(torch.ones(len(views), 3, device=self.device))
        return {"height": size, "width": size, "samples": self.config.render.samples, "background": white}

    def _resolution(self, step: int) -> int:
        render_config = self.config.render
        early = step < render_config.ramp * self.config.loop.steps
        size = render_config.start_resolution if early else render_config.resolution
        return max(size >> self._halvings, 1)

    def _shading(self) -> Shading:
        dice = torch.rand((), generator=self.state.generator).item()
        albedo, textureless = self.config.render.albedo_share, self.config.render.textureless_share
        if self.latent or dice < albedo:
            return "albedo"
        return "textureless" if dice < albedo + textureless else "lambertian"

    def _background(self, views: Views, size: int) -> Tensor:
        """White half of the time and else a random flat colour; or always white; or what a network learned."""
        kind = self.config.render.background
        if kind == "learned":
            return self.state.background(views.rays(size, size).directions)
        dice = upload(torch.rand(len(views), 4, generator=self.state.generator), self.device)
        plain = kind == "white"
        return self._colour(torch.where((dice[:, 3:] < 0.5) | plain, torch.ones_like(dice[:, :3]), dice[:, :3]))

    def _colour(self, rgb: Tensor) -> Tensor:
        """``rgb`` ``[B,3]`` as the field's channels: itself, or its latents by the prior's linear map."""
        if not self.latent:
            return rgb
        assert self.prior.linear_rgb_to_latent is not None, "checked when the run was built"
        matrix, bias = self.prior.linear_rgb_to_latent
        return rgb @ matrix + bias

    def _regularisers(self, out: RenderOutput, step: int) -> dict[str, Tensor]:
        """The weighted regularisers of this step, by name; those that need normals only where there are some."""
        weights = self.config.regularisers
        progress = step / self.config.loop.steps
        found = {
            # A fog is allowed at first: matter must be able to move.
            "opacity_entropy": (weights.opacity_entropy * progress, losses.opacity_entropy),
            "sparsity": (weights.sparsity, losses.sparsity),
            "normal_smoothness": (weights.normal_smoothness, losses.normal_smoothness),
            "orientation": (weights.orientation if "normals" in out.extras else 0.0, losses.orientation),
            "distortion": (weights.distortion * progress, losses.distortion),
        }
        terms = {name: weight * term(out) for name, (weight, term) in found.items() if weight > 0}
        if weights.total_variation > 0:
            volumes = self.state.field.encoding.coarse_volumes()
            variation = sum(losses.total_variation(volume, dimensions=3) for volume in volumes)
            terms["total_variation"] = weights.total_variation * torch.as_tensor(variation)
        return terms

    def _metrics(self, out: RenderOutput, regularisers: dict[str, Tensor]) -> dict[str, Any]:
        return {
            "opacity": out.opacity.detach().mean(),
            "samples": out.extras["valid"].sum() if "valid" in out.extras else len(out.extras["rays"]),
            **{name: term.detach() for name, term in regularisers.items()},
            **self.guidance.metrics,
        }


def whole(loss: Tensor, *renders: RenderOutput) -> Tensor:
    """``loss``, or no number where samples of the ``renders`` did not find room: then the step is skipped."""
    for out in renders:
        if "whole" in out.extras:
            loss = torch.where(out.extras["whole"], loss, torch.nan)
    return loss


def renders_latents(config: RunConfig) -> bool:
    """Whether the run's field has latents for colours (the method ``latent``)."""
    return METHODS[config.guidance.method].pullback is no_encoder
