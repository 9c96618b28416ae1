"""Property: what cameras see keeps its shape, and what none can see becomes solid."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from dreampgc.mesh.extract import extract_mesh, sample_volume
from dreampgc.mesh.topology import is_sound, signed_volumes
from dreampgc.mesh.visibility import best_light

SEEN = (-15.0, 75.0)


def cup(opening: float) -> Callable[[Tensor], Tensor]:
    """A dense cube of half-width 0.6 with walls of 0.15, open at the top (1) or at the bottom (-1)."""

    def density(positions: Tensor) -> Tensor:
        inner = (positions - torch.tensor([0.0, 0.15 * opening, 0.0])).abs() - torch.tensor([0.45, 0.6, 0.45])
        outer = positions.abs().amax(dim=-1) < 0.6
        return 300.0 * (outer & (inner.amax(dim=-1) > 0))

    return density


@pytest.mark.parametrize(
    ("opening", "elevation", "lit"), [(1, SEEN, True), (-1, SEEN, False), (-1, (-75.0, 0.0), True)]
)
def test_light_reaches_a_cup_from_where_it_is_open(opening: int, elevation: tuple[float, float], lit: bool) -> None:
    light = best_light(sample_volume(cup(opening), 48), 1.0, elevation)
    assert light.min() >= 0
    assert light.max() <= 1
    assert (light[24, 24, 24] > 0.9) == lit
    assert light[2, 24, 24] > 0.99  # beside it
    assert light[24, 2, 24] > 0.99  # and below it: cameras at the horizon see that


def test_the_unit_of_density_is_the_inverse_of_a_length() -> None:
    volume = sample_volume(lambda p: 2.0 * (p.norm(dim=-1) < 0.5), 48)
    small = best_light(volume * 2, 0.5, SEEN)
    np.testing.assert_allclose(small, best_light(volume, 1.0, SEEN), atol=1e-5)
    # From the middle it is 0.5 world units of density 2 to the outside.
    assert small[24, 24, 24] == pytest.approx(np.exp(-1), abs=0.05)  # of 40 directions the best, on a coarse lattice


def solid_volume(density: Callable[[Tensor], Tensor]) -> float:
    mesh = extract_mesh(density, resolution=64, smoothing=0)
    assert is_sound(mesh.vertices, mesh.faces)
    return float(signed_volumes(mesh.vertices, mesh.faces).sum())


def test_a_shell_that_is_open_where_nobody_looks_becomes_solid_and_a_cup_stays_a_cup() -> None:
    whole, hollow = 1.2**3, 1.2**3 - 0.9 * 0.9 * 1.05
    assert solid_volume(cup(-1)) == pytest.approx(whole, rel=0.12)  # the rim of the opening is seen at -15 degrees
    # Walls that are seen at a grazing angle only grow by a part of a coarse cell.
    assert solid_volume(cup(1)) == pytest.approx(hollow, rel=0.18)
