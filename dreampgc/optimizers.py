"""Adam for fields, and the parameter-wise baselines that the paper compares pixel-wise clipping with (Eq. 3, 4)."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn

Rule = Literal["none", "ngd", "clip"]


def make_optimizer(
    encoding: nn.Module,
    others: list[nn.Module],
    *,
    learning_rate: float,
    encoding_multiplier: float,
    betas: tuple[float, float],
    eps: float,
    rule: Rule = "none",
    rule_threshold: float = 1.0,
    fused: bool = False,
) -> torch.optim.Adam:
    """Adam in which ``encoding`` learns ``encoding_multiplier`` times faster than ``others``.

    ``rule`` reshapes the whole parameter gradient before every step: "ngd" and "clip" are `shape_parameters`.
    ``fused``: one kernel, which can skip a step by itself (`dreampgc.stages.loop.Loop.apply`).
    """
    groups = [
        {"params": list(encoding.parameters()), "lr": learning_rate * encoding_multiplier},
        {"params": [p for module in others for p in module.parameters()]},
    ]
    optimizer = torch.optim.Adam(groups, lr=learning_rate, betas=betas, eps=eps, fused=fused)
    for group in optimizer.param_groups:
        group["initial_lr"] = group["lr"]
    if rule != "none":

        def before_step(adam: torch.optim.Optimizer, *_: Any) -> None:
            gradients = [p.grad for group in adam.param_groups for p in group["params"] if p.grad is not None]
            shape_parameters(gradients, rule, rule_threshold)

        optimizer.register_step_pre_hook(before_step)
    return optimizer


def decay_rates(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Set every learning rate to ``factor`` times its initial value; a function of the step, so no state to save."""
    for group in optimizer.param_groups:
        group["lr"] = factor * group["initial_lr"]


@torch.no_grad()
def shape_parameters(gradients: list[Tensor], rule: Rule, threshold: float) -> None:
    """Scale all ``gradients`` in place, as one vector ``g``.

    "ngd" is normalised gradient descent, ``c g / (‖g‖ + c)`` (Eq. 3), "clip" is clipping by norm,
    ``min(‖g‖, c) g / ‖g‖`` (Eq. 4); "none" leaves them as they are.
    """
    if rule == "none" or not gradients:
        return
    norm = torch.nn.utils.get_total_norm(gradients)
    factor = threshold / (norm + threshold) if rule == "ngd" else (threshold / norm.clamp_min(1e-30)).clamp(max=1.0)
    for gradient in gradients:
        gradient.mul_(factor)
