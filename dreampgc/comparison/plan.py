"""Which runs a comparison consists of. Imports nothing heavy, so that bad input is answered at once."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from dreampgc.config import RunConfig
from dreampgc.config.presets import Task
from dreampgc.errors import InputError

Space = Literal["2d", "3d"]
SPACES: tuple[Space, ...] = get_args(Space)
#: What the runs of a space train.
TASKS: dict[Space, Task] = {"2d": "image2d", "3d": "text"}
#: The paper's order (Fig. 2).
METHODS = ("latent", "vae", "linear", "pngd", "pgc-v", "pgc-n")
#: The method of the ablation, and its thresholds in the paper (Fig. 7).
ABLATED = "pgc-n"
THRESHOLDS = (0.01, 0.05, 0.1, 0.5, 1.0)
#: So many gradient pictures a run: the first shows the early steps, where gradients are largest.
GRADIENT_PICTURES = 12


@dataclass(frozen=True)
class Variant:
    """One run of a comparison: ``folder`` is its place in the comparison's."""

    space: Space
    config: RunConfig
    folder: str

    @property
    def method(self) -> str:
        """How the gradient reaches the image."""
        return self.config.guidance.method

    @property
    def clip(self) -> float:
        """The threshold of each pixel's gradient norm."""
        return self.config.guidance.clip


@dataclass(frozen=True)
class Block:
    """Variants that differ in one thing, in order; ``variants`` has as many of each space as there are labels."""

    title: str
    labels: tuple[str, ...]
    variants: Mapping[Space, tuple[Variant, ...]]


@dataclass(frozen=True)
class Plan:
    """The methods at one threshold, and one method at several thresholds; a run may belong to both."""

    prompt: str
    blocks: tuple[Block, ...]

    @property
    def variants(self) -> tuple[Variant, ...]:
        """Every run, once; images first, which take the least time."""
        found = [v for space in SPACES for block in self.blocks for v in block.variants.get(space, ())]
        return tuple({variant.folder: variant for variant in found}.values())


def make_plan(configs: Mapping[Space, RunConfig], methods: Sequence[str], thresholds: Sequence[float]) -> Plan:
    """The plan for ``configs``, one base configuration a space: every method, and `ABLATED` at every threshold.

    Raises:
        InputError: an unknown method, a threshold that is not above 0, or nothing to compare.
    """
    for method in methods:
        if method not in METHODS:
            raise InputError(f"unknown method {method!r}: choose among {', '.join(METHODS)}")
    for threshold in thresholds:
        if not (threshold > 0 and math.isfinite(threshold)):
            raise InputError(f"threshold {threshold:g}: must be above 0 and finite")
    if not configs or not (methods or thresholds):
        raise InputError("there is nothing to compare: give at least one method or threshold, and a space")
    spaces: dict[Space, RunConfig] = {space: configs[space] for space in SPACES if space in configs}
    blocks = [_methods(spaces, methods)] if methods else []
    blocks += [_thresholds(spaces, thresholds)] if thresholds else []
    return Plan(next(iter(configs.values())).prompt, tuple(blocks))


def _methods(spaces: Mapping[Space, RunConfig], methods: Sequence[str]) -> Block:
    chosen = tuple(method for method in METHODS if method in methods)
    clip = next(iter(spaces.values())).guidance.clip
    variants: dict[Space, tuple[Variant, ...]] = {
        space: tuple(_variant(space, base, method, base.guidance.clip) for method in chosen)
        for space, base in spaces.items()
    }
    return Block(f"Methods, c = {clip:g}", chosen, variants)


def _thresholds(spaces: Mapping[Space, RunConfig], thresholds: Sequence[float]) -> Block:
    chosen = sorted(set(thresholds))
    variants: dict[Space, tuple[Variant, ...]] = {
        space: tuple(_variant(space, base, ABLATED, threshold) for threshold in chosen)
        for space, base in spaces.items()
    }
    return Block(f"Thresholds, {ABLATED}", tuple(f"c = {threshold:g}" for threshold in chosen), variants)


def _variant(space: Space, base: RunConfig, method: str, clip: float) -> Variant:
    """The base configuration with one method and threshold, and with the pictures that a comparison shows."""
    changes = {
        "guidance": base.guidance.model_copy(update={"method": method, "clip": clip}),
        "loop": base.loop.model_copy(
            update={"gradient_every": max(1, base.loop.steps // GRADIENT_PICTURES), "preview_every": 0}
        ),
        # Eight views are all that figure and page choose from.
        "mesh": base.mesh.model_copy(update={"turntable_frames": 8, "turntable_size": 256}),
    }
    name = method if clip == base.guidance.clip else f"{method}-{clip:g}"
    return Variant(space, base.model_copy(update=changes), f"{space}/{name}")
