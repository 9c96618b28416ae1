"""A toy stage around the real loop: a child process that tests kill.  python toy.py RUN TOTAL [SECONDS_PER_STEP]"""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dreampgc.checkpoint import pack_optimizer, unpack_optimizer
from dreampgc.config import load_config
from dreampgc.console import Console
from dreampgc.errors import DreamError
from dreampgc.runs import Run, create_run
from dreampgc.stages.loop import ROOM, Loop

CADENCE = {"loop.checkpoint_every": 3, "loop.preview_every": 4, "loop.gradient_every": 5}


def new_run(path: Path, total: int, **options: Any) -> Run:
    """A run folder for ``total`` steps with short cadences."""
    return create_run(load_config(options={"prompt": "a toy", "loop.steps": total, **CADENCE, **options}), path)


class Toy:
    """Fits a vector to noise: everything that a stage's state has (parameters, optimiser, generator, numbers)."""

    def __init__(self, *, fused: bool = False) -> None:
        self.weights = torch.nn.Parameter(torch.zeros(64))
        self.optimizer = torch.optim.Adam([self.weights], lr=0.1, fused=fused)
        self.generator = torch.Generator().manual_seed(7)
        self.total_loss = 0.0
        #: Steps whose loss or gradient is spoilt.
        self.bad_losses: set[int] = set()
        self.bad_gradients: set[int] = set()
        #: Steps whose loss is spoilt because something found no room.
        self.crowded: set[int] = set()
        #: Ctrl-C comes in the step that makes so many.
        self.stop_before = 0

    def save(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The whole state."""
        tensors = {"weights": self.weights, "generator": self.generator.get_state(), **pack_optimizer(self.optimizer)}
        return tensors, {"total_loss": self.total_loss}

    def load(self, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
        """Take a state back."""
        self.weights.data.copy_(tensors["weights"])
        self.generator.set_state(tensors["generator"])
        unpack_optimizer(self.optimizer, tensors)
        self.total_loss = state["total_loss"]

    def picture(self, done: int) -> NDArray[np.uint8]:
        """The weights as 8x8 pixels."""
        return np.repeat(self.weights.detach().sigmoid().mul(255).byte().numpy().reshape(8, 8, 1), 3, axis=2)

    def loss(self, step: int) -> Tensor:
        """Distance to noise, spoilt where the test says so."""
        if step + 1 == self.stop_before:
            signal.raise_signal(signal.SIGINT)
        loss = (self.weights - torch.randn(64, generator=self.generator)).square().sum()
        if step in self.bad_losses | self.crowded:
            return loss * float("nan")
        # sqrt'(0) is infinite, and infinity times zero is no number: a finite loss with a gradient that is not.
        return loss + (0 * self.weights).sqrt().sum() if step in self.bad_gradients else loss

    def train(self, run: Run, console: Console, *, seconds: float = 0.0) -> Loop:
        """The stage's visible loop."""
        config = run.config.loop
        loop = Loop(run, config, console, save=self.save, load=self.load, preview=self.picture, gradient=self.picture)
        with run.active(), loop:
            for step in loop.steps(loop.resume(), config.steps):
                time.sleep(seconds)
                loss = self.loss(step)
                taken = loop.apply(self.optimizer, loss, [self.weights])
                self.total_loss += loss.item() if bool(taken) else 0.0
                loop.log(step, {"loss": loss, "taken": taken, ROOM: torch.tensor(step not in self.crowded)})
        return loop


def train_quietly(folder: Path) -> None:
    """Go on with the run in ``folder`` in this process."""
    torch.set_num_threads(1)
    Toy().train(Run(folder), Console(quiet=True))


if __name__ == "__main__":
    torch.set_num_threads(1)
    folder, total = Path(sys.argv[1]), int(sys.argv[2])
    toy_run = Run(folder) if (folder / "run.json").exists() else new_run(folder, total)
    try:
        Toy().train(toy_run, Console(json=True), seconds=float(sys.argv[3]) if sys.argv[3:] else 0.0)
    except DreamError as toy_error:
        print(toy_error, file=sys.stderr)
        sys.exit(toy_error.exit_code)
