"""Properties of the optimiser: its groups, the decay, and the parameter-wise baselines (Eq. 3, 4)."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from dreampgc.optimizers import Rule, decay_rates, make_optimizer, shape_parameters


def gradients() -> list[torch.Tensor]:
    """Two tensors that together are a vector of norm 5."""
    return [torch.tensor([[3.0, 0.0]]), torch.tensor([0.0, 0.0, -4.0])]


def adam(rule: Rule = "none", threshold: float = 1.0) -> tuple[nn.Linear, nn.Linear, torch.optim.Adam]:
    encoding, network = nn.Linear(2, 2), nn.Linear(2, 2)
    optimizer = make_optimizer(
        encoding,
        [network],
        learning_rate=0.01,
        encoding_multiplier=10.0,
        betas=(0.9, 0.99),
        eps=1e-15,
        rule=rule,
        rule_threshold=threshold,
    )
    return encoding, network, optimizer


@pytest.mark.parametrize("threshold", [0.1, 1.0, 4.0, 100.0])
def test_normalised_gradient_descent_is_equation_3(threshold: float) -> None:
    shaped, raw = gradients(), gradients()
    shape_parameters(shaped, "ngd", threshold)
    for one, other in zip(shaped, raw, strict=True):
        torch.testing.assert_close(one, threshold * other / (5 + threshold))


@pytest.mark.parametrize(("threshold", "norm"), [(0.1, 0.1), (4.0, 4.0), (5.0, 5.0), (100.0, 5.0)])
def test_clipping_is_equation_4(threshold: float, norm: float) -> None:
    shaped, raw = gradients(), gradients()
    shape_parameters(shaped, "clip", threshold)
    for one, other in zip(shaped, raw, strict=True):
        torch.testing.assert_close(one, norm * other / 5)


@pytest.mark.parametrize("rule", ["ngd", "clip"])
def test_zero_gradients_stay_zero(rule: Rule) -> None:
    shaped = [torch.zeros(3)]
    shape_parameters(shaped, rule, 0.1)
    assert torch.equal(shaped[0], torch.zeros(3))
    shape_parameters([], rule, 0.1)


def test_no_rule_leaves_gradients_alone() -> None:
    shaped = gradients()
    shape_parameters(shaped, "none", 1e-3)
    assert all(torch.equal(one, other) for one, other in zip(shaped, gradients(), strict=True))


@pytest.mark.parametrize(("rule", "expected"), [("none", 2.0), ("clip", 0.5), ("ngd", 0.5 * 2 / 2.5)])
def test_the_rule_acts_on_all_parameters_at_every_step(rule: Rule, expected: float) -> None:
    encoding, network, optimizer = adam(rule, threshold=0.5)
    for parameter in (*encoding.parameters(), *network.parameters()):
        parameter.grad = torch.ones_like(parameter) * (2 / 12**0.5)  # 12 numbers: a norm of 2
    optimizer.step()
    norm = torch.nn.utils.get_total_norm([p.grad for p in network.parameters() if p.grad is not None])
    # Adam does not change the gradients, so what lies there is what it saw; the network holds half of the squares.
    torch.testing.assert_close(norm, torch.tensor(expected) / 2**0.5)


def test_the_encoding_learns_faster_and_decay_is_a_function_of_the_factor() -> None:
    encoding, _, optimizer = adam()
    assert [group["lr"] for group in optimizer.param_groups] == [pytest.approx(0.1), pytest.approx(0.01)]
    assert optimizer.param_groups[0]["params"] == list(encoding.parameters())
    for factor in (0.5, 0.25, 1.0):  # of the initial rate, whatever it was before
        decay_rates(optimizer, factor)
        assert [group["lr"] for group in optimizer.param_groups] == [
            pytest.approx(0.1 * factor),
            pytest.approx(0.01 * factor),
        ]
