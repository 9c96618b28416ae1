#!/usr/bin/env python3
"""Where a training step's time goes: milliseconds for render, VAE, UNet, backward and the rest; median of many.

python scripts/bench_step.py                       # mini, the standard preset, this machine's device
python scripts/bench_step.py --resolution 64 --steps 40 --run runs/NAME     # with the field of a finished run
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dreampgc.checkpoint import load_latest
from dreampgc.config import load_config
from dreampgc.pipeline import build_stage, resolve_device
from dreampgc.priors.catalog import resolve
from dreampgc.runs import Run
from dreampgc.stages.nerf import NerfStage


class TimedPrior:
    """A prior that keeps the milliseconds of its encoder and its noise predictor."""

    def __init__(self, prior: Any) -> None:
        self._prior = prior
        self.milliseconds: dict[str, float] = defaultdict(float)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._prior, name)

    def encode(self, image: Tensor) -> Tensor:
        """The encoder, timed."""
        return self._timed("VAE forward", self._prior.encode, image)

    def predict_noise(self, *arguments: Tensor) -> Tensor:
        """The UNet, timed."""
        return self._timed("UNet (guided)", self._prior.predict_noise, *arguments)

    def _timed(self, name: str, function: Any, *arguments: Tensor) -> Tensor:
        began = now()
        result = function(*arguments)
        self.milliseconds[name] += now() - began
        return result


def now() -> float:
    """The time in milliseconds, all queued device work done."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() * 1000


def one_step(stage: NerfStage, prior: TimedPrior, step: int) -> dict[str, float]:
    """Milliseconds by part of one training step (as `NerfStage.train` does it, without logs)."""
    prior.milliseconds.clear()
    state = stage.state
    marks = [now()]
    if step % stage.config.render.grid_every == 0:
        state.grid.update(state.field.density, state.generator, share=0.125)
    marks.append(now())
    views = stage._sample_views()
    out = stage._render(views, step)
    marks.append(now())
    g_image = stage.guidance.image_gradient(out.image.detach(), views, step)
    marks.append(now())
    loss = (out.image * g_image).sum() / len(views) + sum(stage._regularisers(out, step).values())
    state.optimizer.zero_grad(set_to_none=True)
    loss.backward()
    marks.append(now())
    state.optimizer.step()
    _ = stage.guidance.last and stage.guidance.last.statistics
    marks.append(now())
    grid, render, guidance, backward, rest = (after - before for before, after in pairwise(marks))
    inside = dict(prior.milliseconds)
    return {
        "render": render,
        **inside,
        "VAE backward, clipping": guidance - sum(inside.values()),
        "backward through the render": backward,
        "the rest (optimiser, statistics, occupancy)": rest + grid,
        "whole step": marks[-1] - marks[0],
    }


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, help="take the field of this run, else the initial blob")
    parser.add_argument("--prior", default="mini")
    parser.add_argument("--resolution", type=int, default=64)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--steps", type=int, default=30)
    arguments = parser.parse_args()
    device = resolve_device("auto")
    options = {
        "prompt": "a wooden car",
        "prior": arguments.prior,
        "cameras.batch": arguments.batch,
        "render.start_resolution": arguments.resolution,
        "render.resolution": max(arguments.resolution, 128),
        "render.ramp": 1.0,
    }
    config = load_config(options=options)
    prior: Any = TimedPrior(resolve(arguments.prior, device).load(device))
    stage = build_stage(config, prior)
    if arguments.run and (loaded := load_latest(arguments.run, print)):
        assert Run(arguments.run).config.field == config.field, "the run's field has other sizes"
        stage.state.load(*loaded[1:])
    else:
        stage.state.grid.update(stage.state.field.density, stage.state.generator, share=1.0)
    records = [one_step(stage, prior, step) for step in range(3, arguments.steps + 3)][3:]
    print(f"{device}, {torch.get_num_threads()} threads, {arguments.batch} views of {arguments.resolution}²\n")
    print("| part | ms (median) |\n|---|---|")
    for name in records[0]:
        print(f"| {name} | {statistics.median(record[name] for record in records):.0f} |")


if __name__ == "__main__":
    main()
