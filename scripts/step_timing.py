"""A training loop that is cut short, and the times of the networks alone: the steps themselves are those of any run."""

from __future__ import annotations

import json
import statistics
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

from dreampgc.priors.diffusion import DiffusionPrior
from dreampgc.priors.zero123 import Zero123Prior
from dreampgc.stages.loop import Loop
from dreampgc.stages.nerf import NerfStage

#: Steps that are not timed: they compile, record, reserve, and see the occupancy grid's first updates. Recorded steps
#: come in several kinds and sizes, and each of them is done twice before it is replayed.
WARM_UP = {"off": 12, "graphs": 100, "compiled": 100}
#: Steps in which halts of the host are counted, and those that are profiled.
COUNTED, PROFILED = 20, 50


class Clock:
    """A moment on the device's clock, which nobody waits for; on a CPU, the wall's."""

    def __init__(self, device: torch.device) -> None:
        self._event = torch.cuda.Event(enable_timing=True) if device.type == "cuda" else None
        self._seconds = time.perf_counter()
        if self._event is not None:
            self._event.record()

    def until(self, later: Clock) -> float:
        """Milliseconds from here to ``later``."""
        if self._event is None or later._event is None:
            return 1000 * (later._seconds - self._seconds)
        later._event.synchronize()
        return self._event.elapsed_time(later._event)


def network_inputs(prior: DiffusionPrior | Zero123Prior, batch: int) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
    """Random pictures ``[batch,3,S,S]`` for the VAE, and what the UNet of the guided prediction is given."""
    image = torch.rand(batch, 3, prior.image_size, prior.image_size, device=prior.device)
    size = prior.image_size // prior.downsampling
    noisy = torch.randn(2 * batch, prior.unet.config.in_channels, size, size, device=prior.device)
    timesteps = torch.full((2 * batch,), 500, device=prior.device)
    if not isinstance(prior, DiffusionPrior):
        return image, (noisy, timesteps, torch.randn(2 * batch, 1, prior.unet.config.cross_attention_dim).to(noisy))
    text = prior.encode_text(["a wooden car"] * 2 * batch)
    return image, (noisy, timesteps, text.tokens, *prior._added_conditions(noisy, text))


def network_times(
    prior: DiffusionPrior | Zero123Prior, batch: int, *, recorded: bool, rounds: int = 20
) -> dict[str, float]:
    """Milliseconds of the VAE, forward and backward, and of the guided UNet, for ``batch`` views; medians.

    ``recorded``: each as a CUDA graph, so that launching does not count, which it does not in a recorded step either.
    """
    image, inputs = network_inputs(prior, batch)
    kept: list[Any] = []

    def forward() -> None:
        kept[:] = prior.networks.encode_with_vjp(image)

    def backward() -> None:
        kept[1](torch.ones_like(kept[0]))

    @torch.no_grad()
    def denoise() -> None:
        prior.networks.denoise(*inputs)

    with torch.enable_grad():
        forward()
        backward()
        denoise()
        parts = {"VAE forward": forward, "VAE backward": backward, "UNet (guided)": denoise}
        played = {name: _graph(part) for name, part in parts.items()} if recorded else parts
        times: dict[str, list[float]] = {name: [] for name in parts}
        for _ in range(rounds):
            clocks = [Clock(prior.device)]
            for part in played.values():
                part()
                clocks.append(Clock(prior.device))
            for name, (before, after) in zip(parts, pairwise(clocks), strict=True):
                times[name].append(before.until(after))
    return {name: round(statistics.median(found), 3) for name, found in times.items()}


def _graph(part: Callable[[], None]) -> Callable[[], None]:
    """``part`` as a CUDA graph."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        part()
    return graph.replay


class TimedLoop(Loop):
    """A loop that ends when enough steps were timed, and then counts the host's halts in some more."""

    def prepare(self, stage: NerfStage, most: int, seconds: float, profile: Path | None) -> None:
        """Set the limits; ``seconds`` count from the end of the warm-up."""
        self.stage, self.most, self.limit, self.profile = stage, most, seconds, profile
        self.warm_up = WARM_UP[self.config.acceleration]
        self.clocks: list[Clock] = []
        #: Allocated and reserved bytes on the device, after each timed step.
        self.memory: list[tuple[int, int]] = []
        self.warm_up_seconds = 0.0
        self.halts: float | None = None

    def steps(self, start: int, total: int) -> Iterator[int]:
        """The numbers of the steps."""
        began = time.monotonic()
        numbers = super().steps(start, total)
        for step in numbers:
            if step == self.warm_up:
                self.warm_up_seconds = time.monotonic() - began
                began = time.monotonic()
            if step >= self.warm_up:
                self.clocks.append(Clock(self.stage.device))
            yield step
            if step >= self.warm_up:
                self.memory.append((torch.cuda.memory_allocated(), torch.cuda.memory_reserved()))
                if step - self.warm_up >= self.most or time.monotonic() - began > self.limit:
                    break
        yield from self._watched(numbers)

    def _watched(self, numbers: Iterator[int]) -> Iterator[int]:
        if self.stage.device.type != "cuda":
            return
        with counted_halts() as halts:
            for _ in range(COUNTED):
                yield next(numbers)
        self.halts = len(halts) / COUNTED
        if self.profile is not None:
            try:
                yield from self._profiled(numbers, self.profile)
            except RuntimeError as error:  # not every machine lets itself be profiled
                print(f"no profile: {error}", flush=True)

    def _profiled(self, numbers: Iterator[int], output: Path) -> Iterator[int]:
        with torch.profiler.profile() as profile:
            for _ in range(PROFILED):
                yield next(numbers)
        calls = Counter(event.name for event in profile.events() or () if event.name.startswith("cuda"))
        kernels = {
            event.key: {"ms a step": event.self_device_time_total / 1000 / PROFILED, "a step": event.count / PROFILED}
            for event in sorted(profile.key_averages(), key=lambda event: -event.self_device_time_total)
            if str(event.device_type).endswith("CUDA")
        }
        document = {"calls": dict(calls.most_common()), "kernels": kernels}
        output.write_text(json.dumps(document, indent=1), encoding="utf-8")
        print(f"calls of the CUDA runtime in {PROFILED} steps: {document['calls']}", flush=True)


@contextmanager
def counted_halts() -> Iterator[list[Any]]:
    """The warnings of halts of the host inside the block."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found: list[Any] = []
        torch.cuda.set_sync_debug_mode("warn")
        try:
            yield found
        finally:
            torch.cuda.set_sync_debug_mode("default")
            found += [warning for warning in caught if "synchronizing CUDA operation" in str(warning.message)]
