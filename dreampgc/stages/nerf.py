"""The first stage: a radiance field trained from text by score distillation (Stable-DreamFusion's way, with PGC)."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dreampgc import losses
from dreampgc.cameras import Views, fixed_views, sample_views
from dreampgc.config import RunConfig
from dreampgc.guidance.propagation import METHODS, no_encoder
from dreampgc.guidance.sds import Blend, ScoreDistillation
from dreampgc.images import to_frames
from dreampgc.optimizers import decay_rates
from dreampgc.priors.base import LatentPrior
from dreampgc.render import Rooms, Shading, render, render_image, sample_lights
from dreampgc.stages.loop import ROOM, Loop
from dreampgc.stages.memory import MemoryLadder
from dreampgc.stages.recording import Outcome, RecordedStage, Recorder
from dreampgc.stages.state import NerfState
from dreampgc.transfer import draw
from dreampgc.types import RenderOutput

#: Rays at a time where memory is short, at first and at the least; and the least render, in pixels a side.
_MOST_RAYS, _FEWEST_RAYS, _SMALLEST = 2**13, 2**9, 32
#: Regularisers that grow with the run: a fog is allowed at first, for matter must be able to move.
_GROWING = ("opacity_entropy", "distortion")


@dataclass(frozen=True)
class Occasion:
    """What the host decides about a step before any of it runs: those of one `kind` differ in numbers alone.

    ``views`` are on the CPU, ``size`` is that of the render in pixels (or latents). Where there are pictures,
    ``picture`` is the number of the one that is compared with; in steps that copy a sketch, ``sketched`` ``[B]`` are
    those of its pictures.
    """

    step: int
    views: Views
    shading: Shading
    size: int
    picture: int = 0
    sketched: Tensor = field(default_factory=functools.partial(torch.empty, 0, dtype=torch.int64))

    @property
    def kind(self) -> tuple[Any, ...]:
        """What a recording is of."""
        return self.shading, self.size, self.picture, len(self.sketched) > 0


class NerfStage(RecordedStage):
    """Trains a field so that the prior likes every view of it.

    ``state`` is what is trained, ``guidance`` holds the prior and the method; ``config`` is the run's. With ``rooms``
    no step waits for the device, and steps can be recorded (`record_steps`).
    """

    now: Occasion

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

    @property
    def parameters(self) -> list[Tensor]:
        """All that the optimiser moves."""
        return [p for group in self.state.optimizer.param_groups for p in group["params"]]

    def record_steps(self, say: Callable[[str], None]) -> None:
        """From now on replay what was done before (CUDA, and a stage with rooms); ``say`` hears why it cannot be."""
        self._recorder = Recorder(self.parameters, self._all_rooms(), say)

    def train(self, loop: Loop) -> None:
        """The loop: occupancy, learning rates, and a step, in as much memory as there is."""
        state, total = self.state, self.config.loop.steps
        rungs = [self._unrecorded, self.guidance.spare, self._fewer_rays, self._smaller]
        memory = MemoryLadder(rungs, state.generator, state.optimizer)
        for step in loop.steps(loop.resume(), total):
            if step % self.config.render.grid_every == 0:
                memory.attempt(functools.partial(self._look_again, 1.0 if step == 0 else 0.125), loop.console.warn)
            decay_rates(state.optimizer, self.config.optimizer.final_rate ** (step / total))
            memory.attempt(functools.partial(self._step, loop, step), loop.console.warn)

    def _look_again(self, share: float) -> None:
        """Bring the occupancy grid up to date."""
        state = self.state
        state.grid.update(state.field.density, state.generator, share=share, rooms=self.rooms)

    def _step(self, loop: Loop, step: int) -> None:
        """What the host decides, then the work, as it is or replayed, then the descent."""
        self.now = self._occasion(step)
        if self.rooms is not None:
            self.rooms.scale = self.now.views.magnification()
        self.guidance.at(step)
        found = self._play(self.now.kind, self._work)
        loop.apply(self.state.optimizer, found.loss, self.parameters)
        loop.log(step, found.metrics)

    def _work(self) -> Outcome:
        """The algorithm: views → image → shaped image gradient → loss."""
        views = self._views()
        out = self._render(views)
        g_image = self.guidance.image_gradient(out.image.detach(), views, self.now.step)  # data: shaped, float32
        regularisers = self._regularisers(out)
        loss = (out.image * g_image).sum() / len(views) + sum(regularisers.values(), out.image.new_zeros(()))
        return self._outcome(loss, regularisers, out)

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

    def _occasion(self, step: int) -> Occasion:
        """Where this step looks from and how."""
        cameras = self.config.cameras
        views = sample_views(
            cameras.batch, self.state.generator, elevation=cameras.elevation, distance=cameras.distance, fov=cameras.fov
        )
        views = self._turned(views, step)
        size = self.prior.image_size // self.prior.downsampling if self.latent else self._resolution(step)
        return Occasion(step, views, self._shading(), size)

    def _turned(self, views: Views, step: int) -> Views:
        """``views`` (on the CPU) as they are: the whole circle is open from the first step on."""
        return views

    def _views(self) -> Views:
        """This step's cameras on the device."""
        return Views(*draw(lambda: self.now.views.together(), self.device).unbind())

    def _progress(self) -> Tensor:
        """The share of the run that is done, 0-d."""
        total = self.config.loop.steps
        return draw(lambda: torch.tensor(self.now.step / total), self.device)

    def _render(self, views: Views) -> RenderOutput:
        """A training view: random background and light."""
        generator, count = self.state.generator, len(views)
        ambient = draw(lambda: 0.3 + 0.5 * torch.rand(count, generator=generator), self.device)
        light = sample_lights(views, generator)
        frame = self._frame(views, self.now.size)
        frame["background"] = self._background(views, self.now.size)
        frame["normals"] = self.config.regularisers.normal_smoothness > 0
        frame |= {"shading": self.now.shading, "light": light, "ambient": ambient}
        return self._draw(views, self.rooms, **frame)

    def _draw(self, views: Views, rooms: Rooms | None, **frame: Any) -> RenderOutput:
        """The field, differentiable, in as much memory as there is; ``frame`` is more of what `render` takes."""
        state = self.state
        options = {"generator": state.generator, "rooms": rooms, "chunk": self._chunk}
        return render(state.field, views, state.grid, **frame, **options)

    def _all_rooms(self) -> list[Rooms]:
        return [] if self.rooms is None else [self.rooms]

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
        count = len(views)
        dice = draw(lambda: torch.rand(count, 4, generator=self.state.generator), self.device)
        plain = kind == "white"
        return self._colour(torch.where((dice[:, 3:] < 0.5) | plain, torch.ones_like(dice[:, :3]), dice[:, :3]))

    def _colour(self, rgb: Tensor) -> Tensor:
        """``rgb`` ``[B,3]`` as the field's channels: itself, or its latents by the prior's linear map."""
        if not self.latent:
            return rgb
        assert self.prior.linear_rgb_to_latent is not None, "checked when the run was built"
        matrix, bias = self.prior.linear_rgb_to_latent
        return rgb @ matrix + bias

    def _regularisers(self, out: RenderOutput) -> dict[str, Tensor]:
        """The weighted regularisers of this step, by name; those that need normals only where there are some."""
        weights = self.config.regularisers
        found = {
            "opacity_entropy": (weights.opacity_entropy, losses.opacity_entropy),
            "sparsity": (weights.sparsity, losses.sparsity),
            "normal_smoothness": (weights.normal_smoothness, losses.normal_smoothness),
            "orientation": (weights.orientation if "normals" in out.extras else 0.0, losses.orientation),
            "distortion": (weights.distortion, losses.distortion),
        }
        terms = {name: weight * term(out) for name, (weight, term) in found.items() if weight > 0}
        for name in _GROWING:
            if name in terms:
                terms[name] = terms[name] * self._progress()
        if weights.total_variation > 0:
            volumes = self.state.field.encoding.coarse_volumes()
            variation = sum(losses.total_variation(volume, dimensions=3) for volume in volumes)
            terms["total_variation"] = weights.total_variation * torch.as_tensor(variation)
        return terms

    def _outcome(self, loss: Tensor, terms: dict[str, Tensor], *renders: RenderOutput) -> Outcome:
        """The first of ``renders`` is the one that the prior saw; a loss of samples that found no room is no number."""
        out = renders[0]
        metrics = {
            "loss": loss.detach(),
            "opacity": out.opacity.detach().mean(),
            "samples": out.extras["valid"].sum() if "valid" in out.extras else len(out.extras["rays"]),
            **{name: term.detach() for name, term in terms.items()},
            **self.guidance.metrics,
        }
        found_room = [render.extras["whole"] for render in renders if "whole" in render.extras]
        if found_room:
            metrics[ROOM] = torch.stack(found_room).all()
            loss = torch.where(metrics[ROOM], loss, torch.nan)
        return Outcome(loss, metrics, self.guidance.last)


def renders_latents(config: RunConfig) -> bool:
    """Whether the run's field has latents for colours (the method ``latent``)."""
    return METHODS[config.guidance.method].pullback is no_encoder
