"""What a run of a field is at any moment: all that its checkpoints hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dreampgc.checkpoint import pack_optimizer, unpack_optimizer
from dreampgc.field import Background, InstantNGP
from dreampgc.render import OccupancyGrid


@dataclass
class NerfState:
    """All that training changes, and so all that a checkpoint holds."""

    field: InstantNGP
    background: Background
    grid: OccupancyGrid
    optimizer: torch.optim.Optimizer
    generator: torch.Generator

    def modules(self) -> dict[str, torch.nn.Module]:
        """The modules by the names that their tensors have in a checkpoint."""
        return {"field": self.field, "background": self.background, "grid": self.grid}

    def save(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors and plain values that `load` takes back, bit for bit."""
        tensors = {f"{k}.{name}": t for k, m in self.modules().items() for name, t in m.state_dict().items()}
        return {**tensors, **pack_optimizer(self.optimizer), "generator": self.generator.get_state()}, {}

    def load(self, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
        """Take back what `save` gave."""
        load_modules(self.modules(), tensors)
        unpack_optimizer(self.optimizer, tensors)
        self.generator.set_state(tensors["generator"])


def load_modules(modules: dict[str, torch.nn.Module], tensors: dict[str, Tensor]) -> None:
    """Give each module its own of a checkpoint's tensors (``NAME.key``)."""
    for name, module in modules.items():
        prefix = f"{name}."
        module.load_state_dict({k.removeprefix(prefix): t for k, t in tensors.items() if k.startswith(prefix)})
