"""A radiance field trained from pictures: they say what they show, a prior of views says what the rest looks like."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dreampgc import losses
from dreampgc.cameras import Views
from dreampgc.config import RunConfig
from dreampgc.guidance.sds import Blend
from dreampgc.images import to_frames
from dreampgc.priors.base import LatentPrior
from dreampgc.references import Picture
from dreampgc.render import Rooms
from dreampgc.stages.nerf import NerfStage, Occasion
from dreampgc.stages.recording import Outcome
from dreampgc.stages.sketching import sketch_steps
from dreampgc.stages.state import NerfState
from dreampgc.transfer import draw
from dreampgc.types import RenderOutput


class ImageStage(NerfStage):
    """Trains a field so that it looks like its ``pictures`` from where they were taken, and fits them elsewhere.

    Their elevations are known by now. With a ``sketch`` (`dreampgc.stages.sketching`) the first `sketch_steps` copy its
    pictures instead of asking the prior. The rest is that of `NerfStage`.
    """

    def __init__(
        self,
        config: RunConfig,
        prior: LatentPrior,
        guidance: Blend,
        state: NerfState,
        pictures: Sequence[Picture],
        rooms: Rooms | None = None,
        sketch: Sequence[Picture] = (),
    ) -> None:
        super().__init__(config, prior, guidance, state, rooms)
        self.pictures = [picture.to(self.device) for picture in pictures]
        self.sketch = [picture.to(self.device) for picture in sketch]
        self._sketch_cameras = cameras_of(sketch, config)
        cameras = cameras_of(pictures, config)
        self._azimuths, self.cameras = cameras.azimuth, cameras.to(self.device)
        self._own_rooms = None if rooms is None else Rooms()
        if self._own_rooms is not None:
            self._own_rooms.scale = cameras[:1].magnification()

    def _work(self) -> Outcome:
        """The algorithm: views → image → shaped image gradient, and a picture's view → misfits; then the loss."""
        if len(self.now.sketched):
            return self._copied()
        views = self._views()
        out = self._render(views)
        g_image = self.guidance.image_gradient(out.image.detach(), views, self.now.step)  # data: shaped, float32
        known, misfits = self._compare()
        terms = {**misfits, **self._regularisers(out)}
        loss = (out.image * g_image).sum() / len(views) + sum(terms.values(), out.image.new_zeros(()))
        return self._outcome(loss, terms, out, known)

    def _copied(self) -> Outcome:
        """Before the prior is asked: views of the sketch → misfits, and a picture's view → misfits; then the loss."""
        views, size = self._views(), self.now.size
        chosen = draw(lambda: self.now.sketched, self.device)
        colours, masks = (x[chosen] for x in self._sketch(size))
        background = draw(lambda: torch.rand(len(views), 3, generator=self.state.generator), self.device)
        frame = self._frame(views, size) | {"background": background}
        frame["normals"] = self.config.regularisers.normal_smoothness > 0
        out = self._draw(views, self.rooms, **frame)
        weight = self.config.image.sketch_weight * self.prior.image_size**2
        copied = self._misfits(out, colours + (1 - masks) * background[:, :, None, None], masks)
        known, misfits = self._compare()
        terms = {f"sketch_{name}": weight * misfit for name, misfit in copied.items()}
        terms |= {**misfits, **self._regularisers(out)}
        return self._outcome(sum(terms.values(), out.image.new_zeros(())), terms, out, known)

    def preview(self, done: int) -> NDArray[np.uint8]:
        """Each picture above the field from its camera, then four sides, lit and as depth: ``[2S, (R+4)S, 3]``."""
        size = self.prior.image_size
        pictures = to_frames(torch.cat([picture.over_white(size) for picture in self.pictures]))
        renders = self.look(self.cameras, size, size)
        columns = [np.concatenate(pair) for pair in zip(pictures, renders, strict=True)]
        return np.concatenate([*columns, super().preview(done)], axis=1)

    def _turned(self, views: Views, step: int) -> Views:
        """``views`` near a picture's camera at first, and further around the object as the run goes on."""
        settings = self.config.image
        ramp = settings.azimuth_ramp * self.config.loop.steps
        progress = min(step / ramp, 1.0) if ramp > 0 else 1.0
        reach = settings.azimuth_start + (180 - settings.azimuth_start) * progress
        chosen = torch.randint(len(self.pictures), (len(views),), generator=self.state.generator)
        return replace(views, azimuth=self._azimuths[chosen] + (views.azimuth - 180) * (reach / 180))

    def _occasion(self, step: int) -> Occasion:
        picture = int(torch.randint(len(self.pictures), (), generator=self.state.generator))
        occasion = replace(super()._occasion(step), picture=picture)
        if not self.sketch or step >= sketch_steps(self.config):
            return occasion
        chosen = torch.randint(len(self.sketch), (len(occasion.views),), generator=self.state.generator)
        return replace(occasion, views=self._sketch_cameras[chosen], sketched=chosen)

    def _all_rooms(self) -> list[Rooms]:
        return super()._all_rooms() + ([] if self._own_rooms is None else [self._own_rooms])

    def _compare(self) -> tuple[RenderOutput, dict[str, Tensor]]:
        """The field from the camera of one of the pictures, and by how much it differs, weighted, by name.

        Both are seen over the same random colour, so that matter cannot be had from the background. Squared errors
        are summed over channels and over pixels of the size that the prior sees, whatever the resolution: the units
        of the guidance's gradient.
        """
        number, size = self.now.picture, self._resolution(self.now.step)
        camera = self.cameras[number : number + 1]
        background = draw(lambda: torch.rand(1, 3, generator=self.state.generator), self.device)
        picture, settings = self._picture(number, size), self.config.image
        frame = self._frame(camera, size) | {"background": background, "normals": picture.normals is not None}
        known = self._draw(camera, self._own_rooms, **frame)
        seen = picture.mask * known.opacity.detach()
        misfits = self._misfits(known, picture.over(background), picture.mask)
        if picture.depth is not None:
            misfits["depth"] = settings.depth * losses.depth_disagreement(known.depth, picture.depth, seen)
        if picture.normals is not None and known.normals is not None:
            normals = as_seen(known.normals, camera)
            misfits["normals"] = settings.normals * losses.normal_disagreement(normals, picture.normals, seen)
        pixels = self.prior.image_size**2
        return known, {name: pixels * misfit for name, misfit in misfits.items()}

    def _misfits(self, out: RenderOutput, image: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """By how much ``out`` differs from an ``image`` with a ``mask``: weighted means over views, by name."""
        settings = self.config.image
        return {
            "rgb": settings.rgb * (out.image - image).square().sum(dim=1).mean(),
            "mask": settings.mask * (out.opacity - mask).square().mean(),
        }

    @functools.cache  # noqa: B019
    def _sketch(self, size: int) -> tuple[Tensor, Tensor]:
        """Colours ``[K,3,size,size]`` and masks ``[K,1,size,size]`` of the sketch."""
        small = [picture.resized(size) for picture in self.sketch]
        return torch.cat([picture.colour for picture in small]), torch.cat([picture.mask for picture in small])

    @functools.cache  # noqa: B019 (a stage lives as long as its run; there are two sizes)
    def _picture(self, number: int, size: int) -> Picture:
        return self.pictures[number].resized(size)


def cameras_of(pictures: Sequence[Picture], config: RunConfig) -> Views:
    """Where the pictures were taken from."""
    assert all(picture.elevation is not None for picture in pictures), "elevations are known once a stage is built"
    azimuths, elevations = ([getattr(p, name) for p in pictures] for name in ("azimuth", "elevation"))
    azimuth = torch.tensor(azimuths, dtype=torch.float32)
    rest = (torch.full_like(azimuth, value) for value in (config.image.distance, config.image.fov))
    return Views(azimuth, torch.tensor(elevations, dtype=torch.float32), *rest)


def as_seen(normals: Tensor, camera: Views) -> Tensor:
    """Normals ``[1,3,H,W]`` in world space as one ``camera`` sees them: x to the right, y up, z towards it."""
    right, up, forward = camera.axes()
    return torch.einsum("ij,bjhw->bihw", torch.cat([right, up, -forward]), normals)
