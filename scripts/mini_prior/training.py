"""One training loop for all networks: bf16 on a GPU, cosine schedule, moving average, resumable."""

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


def compiled(function: Callable[..., Tensor], device: torch.device) -> Callable[..., Tensor]:
    """``function`` compiled for one shape on a GPU, as it is on a CPU."""
    return torch.compile(function, dynamic=False) if device.type == "cuda" else function


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

    def run(self, model: nn.Module, loss: Callable[[torch.Generator], Tensor]) -> None:
        """Minimise ``loss(generator)``; ``model`` ends with the moving average of its weights."""
        optimizer = torch.optim.Adam(model.parameters(), lr=self.rate, betas=(0.9, 0.99), fused=self.device == "cuda")
        average = copy.deepcopy(model).requires_grad_(False)
        first = self._resume(model, average, optimizer)
        started = time.time()
        for step in range(first, self.steps):
            for group in optimizer.param_groups:
                group["lr"] = self.rate * self._schedule(step)
            # A fresh generator for each step makes a resumed run see the data that it would have seen.
            generator = torch.Generator(self.device).manual_seed(self.seed * 1_000_003 + step)
            with torch.autocast(self.device, torch.bfloat16, enabled=self.device == "cuda"):
                value = loss(generator)
            optimizer.zero_grad(set_to_none=True)
            value.backward()
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
