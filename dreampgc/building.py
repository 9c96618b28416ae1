"""From a configuration and priors to a stage with fresh weights, everything random drawn from the seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from dreampgc.config import RunConfig
from dreampgc.errors import InputError
from dreampgc.guidance.guides import Guide, Known, TextGuide, ViewGuide
from dreampgc.guidance.schedule import Schedule
from dreampgc.guidance.sds import Blend, ScoreDistillation
from dreampgc.ops import native
from dreampgc.optimizers import make_optimizer
from dreampgc.priors.accelerate import Acceleration, accelerate, acceleration_of
from dreampgc.priors.base import LatentPrior, Prior, ViewPrior
from dreampgc.references import Picture
from dreampgc.render import Rooms
from dreampgc.stages import image2d
from dreampgc.stages.image import ImageStage
from dreampgc.stages.image2d import Image2dStage
from dreampgc.stages.nerf import NerfStage, renders_latents
from dreampgc.stages.state import NerfState
from dreampgc.trained import build_modules

#: Every stage that there is; an `ImageStage` is a `NerfStage`.
Stage = NerfStage | Image2dStage


def build_text_stage(config: RunConfig, prior: Prior) -> NerfStage:
    """The text-to-3D stage.

    Raises:
        InputError: the method needs a linear map that the prior does not have.
    """
    if renders_latents(config) and prior.linear_rgb_to_latent is None:
        raise InputError(f"the method 'latent' needs a fitted linear map, which the prior {prior.name} does not have")
    generator = torch.Generator().manual_seed(config.seed)
    state, rooms = _field(config, prior, generator)
    return NerfStage(config, prior, _by_text(config, prior, generator), state, rooms)


def build_image_stage(
    config: RunConfig,
    prior: ViewPrior,
    pictures: Sequence[Picture],
    text: Prior | None = None,
    sketch: Sequence[Picture] = (),
) -> ImageStage:
    """The stage that makes a field of ``pictures``, whose elevations are known; ``text`` is the prompt's prior.

    ``sketch`` are pictures that it begins with.
    """
    generator = torch.Generator().manual_seed(config.seed)
    state, rooms = _field(config, prior, generator)
    settings, parts = config.image, {}
    if settings.guidance > 0:
        parts["views"] = settings.guidance, _distillation(config, view_guide(config, prior, pictures), generator)
    if settings.text > 0 and text is not None:
        told = TextGuide(
            text,
            config.prompt,
            negative_prompt=config.negative_prompt,
            scale=settings.text_scale,
            perp_neg=config.guidance.perp_neg,
        )
        parts["text"] = settings.text, _distillation(config, told, generator)
    return ImageStage(config, prior, Blend(parts), state, pictures, rooms, sketch)


def build_image2d_stage(config: RunConfig, prior: Prior) -> Image2dStage:
    """The stage that trains one image."""
    generator = torch.Generator().manual_seed(config.seed)
    state = image2d.make_state(config, prior, generator, fused=_acceleration(config, prior) != "off")
    return Image2dStage(config, prior, _by_text(config, prior, generator), state)


def view_guide(config: RunConfig, prior: ViewPrior, pictures: Sequence[Picture]) -> ViewGuide:
    """What a run of ``config`` asks of a prior that is shown ``pictures``, whose elevations are known."""
    known = []
    for picture in pictures:
        assert picture.elevation is not None, "elevations are known once a stage is built"
        reference = prior.condition(picture.over_white(prior.image_size), picture.elevation)
        known.append(Known(reference, picture.azimuth, config.image.distance))
    return ViewGuide(prior, known, scale=config.guidance.scale, unit=config.image.unit)


def speed_up(stage: Stage, say: Callable[[str], None]) -> None:
    """Let the stage run as fast as its configuration allows on its device; ``say`` hears of waiting and fallbacks."""
    if stage.prior.device.type == "cuda" and native.untried():
        say("trying the native kernels, once on this machine: about half a minute")
        native.usable()
    for prior in dict.fromkeys((stage.prior, *stage.guidance.priors)):
        accelerate(prior, _acceleration(stage.config, prior), say)
    kind = _acceleration(stage.config, stage.prior)
    if kind == "compiled" and isinstance(stage, NerfStage) and not native.usable():
        stage.state.field.encoding.compile_kernels(say)
    if kind != "off":
        # Products with 10 bits of mantissa: in float32, those of the field took 1.5 ms of a step's 36 (SD 2.1, H100).
        torch.set_float32_matmul_precision("high")
        stage.record_steps(say)


def _field(config: RunConfig, prior: LatentPrior, generator: torch.Generator) -> tuple[NerfState, Rooms | None]:
    """A fresh field with its optimiser; and rooms, where steps are not to wait for the device."""
    torch.manual_seed(config.seed)  # the initial weights
    modules = build_modules(config, prior.device)
    fast = _acceleration(config, prior) != "off"
    field, background, grid = modules["field"], modules["background"], modules["grid"]
    others = [field.network, field.head, *([background] if config.render.background == "learned" else [])]
    settings = config.optimizer.model_dump(exclude={"final_rate"})
    optimizer = make_optimizer(field.encoding, others, **settings, fused=fast)
    return NerfState(field, background, grid, optimizer, generator), Rooms() if fast else None


def _acceleration(config: RunConfig, prior: LatentPrior) -> Acceleration:
    return acceleration_of(prior, config.loop.acceleration, hasty=config.preset == "draft")


def _by_text(config: RunConfig, prior: Prior, generator: torch.Generator) -> ScoreDistillation:
    """Guidance by the run's prompt alone."""
    settings = config.guidance.model_dump(include={"scale", "perp_neg"})
    guide = TextGuide(prior, config.prompt, negative_prompt=config.negative_prompt, **settings)
    return _distillation(config, guide, generator)


def _distillation(config: RunConfig, guide: Guide, generator: torch.Generator) -> ScoreDistillation:
    schedule = config.guidance.model_dump(include={"t_min", "t_max", "anneal", "t_end"})
    return ScoreDistillation(
        guide,
        schedule=Schedule(config.loop.steps, **schedule),
        generator=generator,
        **config.guidance.model_dump(include={"method", "clip", "norm", "weighting"}),
    )
