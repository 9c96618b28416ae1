"""One training loop for all networks: bf16 and CUDA graphs on a GPU, cosine schedule, moving average, resumable."""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

#: Random inputs of one step, drawn from a generator, and the loss of such inputs.
Draw = Callable[[torch.Generator], tuple[Tensor, ...]]
Objective = Callable[..., Tensor]


def gradients_of(model: nn.Module, objective: Objective, device: str) -> Callable[..., Tensor]:
    """A function of the objective's inputs that gives the loss and leaves its gradients in ``model``."""
    if device != "cpu":
        return _Recorded(model, torch.compile(objective, dynamic=False))

    def run(*inputs: Tensor) -> Tensor:
        model.zero_grad(set_to_none=True)
        loss = objective(*inputs)
        loss.backward()
        return loss.detach()

    return run


class _Recorded:
    """Forward and backward as one CUDA graph: on a fast GPU, launching small kernels takes longer than running them."""

    def __init__(self, model: nn.Module, objective: Objective) -> None:
        self.model, self.objective = model, objective
        self.graph: torch.cuda.CUDAGraph | None = None

    def __call__(self, *inputs: Tensor) -> Tensor:
        if self.graph is None:
            self._record(inputs)
        assert self.graph is not None
        for kept, given in zip(self.inputs, inputs, strict=True):
            kept.copy_(given)
        self.graph.replay()
        return self.loss

    def _record(self, inputs: tuple[Tensor, ...]) -> None:
        self.inputs = [given.clone() for given in inputs]
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(3):  # compiles, and lets libraries choose their kernels
                self._run()
        torch.cuda.current_stream().wait_stream(aside)
        # Without gradients, backward makes new ones: from then on each replay overwrites these.
        self.model.zero_grad(set_to_none=True)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.loss = self._run()

    def _run(self) -> Tensor:
        with torch.autocast("cuda", torch.bfloat16, cache_enabled=False):
            loss = self.objective(*self.inputs)
        loss.backward()
        return loss.detach()


@dataclass
class Trainer:
    """Trains for ``steps`` steps with Adam at ``rate``; keeps ``folder/name.pt`` up to date to resume from."""

    name: str
    folder: Path
    steps: int
    rate: float
    device: str
    seed: int
    warmup: int = 300
    decay: float = 0.999
    save_every: int = 1000
    log_every: int = 100

    def run(self, model: nn.Module, draw: Draw, objective: Objective) -> None:
        """Minimise ``objective(*draw(generator))``; ``model`` ends with the moving average of its weights."""
        optimizer = torch.optim.Adam(model.parameters(), lr=self.rate, betas=(0.9, 0.99), fused=self.device == "cuda")
        average = copy.deepcopy(model).requires_grad_(False)
        first = self._resume(model, average, optimizer)
        gradients = gradients_of(model, objective, self.device)
        started = time.time()
        for step in range(first, self.steps):
            for group in optimizer.param_groups:
                group["lr"] = self.rate * self._schedule(step)
            # A fresh generator for each step makes a resumed run see the data that it would have seen.
            value = gradients(*draw(torch.Generator(self.device).manual_seed(self.seed * 1_000_003 + step)))
            norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            self._average(model, average, step)
            if step % self.log_every == 0 or step == self.steps - 1:
                self._log(step, value, norm, (step - first) / max(1e-9, time.time() - started))
            if (step + 1) % self.save_every == 0 or step == self.steps - 1:
                self._save(step + 1, model, average, optimizer)
        model.load_state_dict(average.state_dict())

    def _schedule(self, step: int) -> float:
        warm = min(1.0, (step + 1) / self.warmup)
        return warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / self.steps)))

    @torch.no_grad()
    def _average(self, model: nn.Module, average: nn.Module, step: int) -> None:
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), 1 - decay)

    def _log(self, step: int, value: Tensor, norm: Tensor, rate: float) -> None:
        line = {"part": self.name, "step": step, "loss": round(value.item(), 5), "norm": round(norm.item(), 3)}
        line["steps_per_second"] = round(rate, 2)
        print(json.dumps(line), flush=True)

    @property
    def path(self) -> Path:
        """The checkpoint."""
        return self.folder / f"{self.name}.pt"

    def _save(self, step: int, model: nn.Module, average: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        state = {"step": step, "model": model.state_dict(), "average": average.state_dict()}
        temporary = self.path.with_suffix(".tmp")
        torch.save({**state, "optimizer": optimizer.state_dict()}, temporary)
        temporary.replace(self.path)

    def _resume(self, model: nn.Module, average: nn.Module, optimizer: torch.optim.Optimizer) -> int:
        if not self.path.exists():
            return 0
        state = torch.load(self.path, map_location=self.device, weights_only=True)
        model.load_state_dict(state["model"])
        average.load_state_dict(state["average"])
        optimizer.load_state_dict(state["optimizer"])
        return state["step"]
