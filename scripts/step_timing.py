"""A training loop that is cut short, and clocks on what its steps call: the steps themselves are those of any run."""

from __future__ import annotations

import json
import statistics
import time
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from dreampgc.stages.loop import Loop
from dreampgc.stages.nerf import NerfStage

#: Steps that are not timed: they compile, record, reserve, and see the occupancy grid's first updates.
WARM_UP = 12
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


class Parts:
    """Notes the time of some calls of a stage's step."""

    def __init__(self, stage: NerfStage) -> None:
        self.device = stage.device
        self.spans: dict[str, list[tuple[Clock, Clock]]] = defaultdict(list)
        prior: Any = stage.prior
        encode = prior.networks.encode_with_vjp

        def encode_with_vjp(image: torch.Tensor) -> Any:
            latents, transpose = self.timed("VAE forward", encode)(image)
            return latents, self.timed("VAE backward", transpose)

        prior.networks.encode_with_vjp = encode_with_vjp
        prior.networks.denoise = self.timed("UNet (guided)", prior.networks.denoise)
        for owner, name, label in (
            (stage.state.grid, "update", "occupancy grid"),
            (stage, "_render", "render"),
            (stage.guidance, "image_gradient", "guidance, all of it"),
            (stage, "_metrics", "statistics"),
        ):
            setattr(owner, name, self.timed(label, getattr(owner, name)))

    def timed(self, label: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """``function``, noted as ``label``."""

        def run(*arguments: Any, **options: Any) -> Any:
            begin = Clock(self.device)
            result = function(*arguments, **options)
            self.spans[label].append((begin, Clock(self.device)))
            return result

        return run

    def medians(self) -> dict[str, float]:
        """Milliseconds of each part, the median of its calls."""
        return {label: round(statistics.median(a.until(b) for a, b in spans), 3) for label, spans in self.spans.items()}


class TimedLoop(Loop):
    """A loop that ends when enough steps were timed, and then counts the host's halts in some more."""

    def prepare(self, stage: NerfStage, most: int, seconds: float, profile: Path | None) -> None:
        """Set the limits; ``seconds`` count from the end of the warm-up."""
        self.stage, self.most, self.limit, self.profile = stage, most, seconds, profile
        self.clocks: list[Clock] = []
        self.warm_up_seconds = 0.0
        self.halts: float | None = None

    def steps(self, start: int, total: int) -> Iterator[int]:
        """The numbers of the steps."""
        began = time.monotonic()
        numbers = super().steps(start, total)
        for step in numbers:
            if step == WARM_UP:
                self.warm_up_seconds = time.monotonic() - began
                self.parts = Parts(self.stage)
                began = time.monotonic()
            if step >= WARM_UP:
                self.clocks.append(Clock(self.stage.device))
            yield step
            if step >= WARM_UP and (step - WARM_UP >= self.most or time.monotonic() - began > self.limit):
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
            if event.device_type == torch.autograd.DeviceType.CUDA
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
