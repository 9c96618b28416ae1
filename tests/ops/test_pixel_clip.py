"""Pixel clipping: the properties that define it, its corner cases, and its registration as operators."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from dreampgc.ops import native
from dreampgc.ops import pixel_clip as module
from dreampgc.ops.pixel_clip import pixel_clip, pixel_clip_with_statistics
from dreampgc.ops.reference import Mode, Norm, clip_statistics, gradient_statistics, pixel_norm

MODES = ("norm", "value", "normalize")
NORMS = ("l2", "linf")
ULPS = 4 * torch.finfo(torch.float32).eps  # a norm is a sum of three squares, a root and a quotient: a few roundings

inf, nan = math.inf, math.nan
DEFAULTS: dict[str, Any] = {"threshold": 0.1}
Pixels = list[tuple[float, float, float]]
finite = st.floats(width=32, allow_nan=False, allow_infinity=False)
pixels = st.lists(st.tuples(finite, finite, finite), min_size=1, max_size=8)
thresholds = st.floats(1e-3, 1e3)
parametrize_all = pytest.mark.parametrize(("mode", "norm"), [(mode, norm) for mode in MODES for norm in NORMS])


def image(values: Pixels) -> Tensor:
    """One row of pixels, ``[1,3,1,N]``."""
    return torch.tensor(values, dtype=torch.float32).T.reshape(1, 3, 1, -1)


def exact_norm(gradient: Tensor, norm: Norm) -> Tensor:
    wide = gradient.double()
    return wide.norm(dim=1, keepdim=True) if norm == "l2" else wide.abs().amax(dim=1, keepdim=True)


def exact_clip(gradient: Tensor, threshold: float, mode: Mode, norm: Norm) -> Tensor:
    """The table of the paper, in float64, for finite gradients."""
    g, length = gradient.double(), exact_norm(gradient, norm)
    if mode == "value":
        return g.clamp(-threshold, threshold)
    if mode == "normalize":
        return threshold * g / (length + threshold)
    return g * (threshold / length.clamp_min(1e-300)).clamp_max(1)


@parametrize_all
@given(pixels, thresholds)
def test_matches_the_formula_over_all_of_float32(mode: Mode, norm: Norm, values: Pixels, threshold: float) -> None:
    gradient = image(values)
    expected = exact_clip(gradient, threshold, mode, norm)
    # a channel 1e38 times smaller than its pixel's largest is subnormal in the unit vector: steps of 1.4e-45, times c
    atol = 3e-45 * (1 + threshold)
    torch.testing.assert_close(pixel_clip(gradient, threshold, mode, norm).double(), expected, rtol=ULPS, atol=atol)


@parametrize_all
@given(pixels, thresholds)
def test_norm_never_exceeds_the_threshold(mode: Mode, norm: Norm, values: Pixels, threshold: float) -> None:
    shaped = pixel_clip(image(values), threshold, mode, norm)
    measured = "linf" if mode == "value" else norm
    assert (exact_norm(shaped, measured) <= threshold * (1 + ULPS)).all()


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("mode", ["norm", "normalize"])
def test_direction_is_kept(mode: Mode, norm: Norm) -> None:
    gradient = torch.randn(2, 3, 8, 8) * torch.logspace(-6, 6, 8)
    shaped = pixel_clip(gradient, 0.1, mode, norm)
    cosine = torch.nn.functional.cosine_similarity(gradient.double(), shaped.double(), dim=1, eps=0)
    torch.testing.assert_close(cosine, torch.ones_like(cosine), rtol=0, atol=1e-12)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("mode", ["norm", "value"])
@given(values=pixels, threshold=thresholds)
def test_idempotent(mode: Mode, norm: Norm, values: Pixels, threshold: float) -> None:
    once = pixel_clip(image(values), threshold, mode, norm)
    torch.testing.assert_close(pixel_clip(once, threshold, mode, norm), once, rtol=ULPS, atol=0)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("mode", ["norm", "value"])
def test_pixels_below_the_threshold_keep_every_bit(mode: Mode, norm: Norm) -> None:
    gradient = torch.randn(1, 3, 16, 16)
    small = exact_norm(gradient, norm) < 1
    shaped = pixel_clip(gradient, 1.0, mode, norm)
    assert small.any()
    assert torch.equal(shaped.where(small, 0), gradient.where(small, 0))


@parametrize_all
def test_identity_for_a_large_threshold(mode: Mode, norm: Norm) -> None:
    gradient = torch.randn(2, 3, 5, 7)
    torch.testing.assert_close(pixel_clip(gradient, 1e30, mode, norm), gradient)


@parametrize_all
def test_non_finite_pixels(mode: Mode, norm: Norm) -> None:
    gradient = image([(nan, 1, 2), (inf, nan, 0), (inf, inf, -inf), (0, -inf, 0), (0, 0, 0)])
    shaped = pixel_clip(gradient, 0.1, mode, norm)[0, :, 0].T
    third = 0.1 / math.sqrt(3) if norm == "l2" and mode != "value" else 0.1
    expected = torch.tensor([[0, 0, 0], [0, 0, 0], [third, third, -third], [0, -0.1, 0], [0, 0, 0]])
    torch.testing.assert_close(shaped, expected)


def test_a_bad_pixel_leaves_its_neighbours_alone() -> None:
    gradient = torch.randn(1, 3, 4, 4)
    poisoned = gradient.clone()
    poisoned[0, 1, 2, 3] = nan
    difference = pixel_clip(poisoned, 0.1) != pixel_clip(gradient, 0.1)
    assert difference.nonzero()[:, 2:].unique(dim=0).tolist() == [[2, 3]]


LAYOUTS = {
    "contiguous": lambda x: x,
    "channels_last": lambda x: x.to(memory_format=torch.channels_last),
    "transposed": lambda x: x.transpose(2, 3),
    "strided": lambda x: x[:, :, ::2, 1:],
    "expanded": lambda x: x[:, :, :1].expand(-1, -1, 6, -1),
    "empty": lambda x: x[:0],
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_layout_and_dtype_change_nothing(layout: str, dtype: torch.dtype) -> None:
    gradient = LAYOUTS[layout](torch.randn(2, 3, 8, 10).to(dtype))
    before = gradient.clone()
    shaped = pixel_clip(gradient, 0.5)
    assert shaped.dtype == dtype
    assert shaped.stride() == torch.empty_like(gradient).stride()
    assert torch.equal(gradient, before)
    # float32 arithmetic and one rounding to the input's type
    expected = pixel_clip(gradient.to(torch.promote_types(dtype, torch.float32)).contiguous(), 0.5).to(dtype)
    assert torch.equal(shaped, expected)


@pytest.mark.parametrize(
    ("gradient", "arguments"),
    [
        (torch.zeros(1, 2, 2, 2), {}),
        (torch.zeros(1, 5, 2, 2), {}),
        (torch.zeros(3, 2, 2), {}),
        (torch.zeros(1, 3, 2, 2, dtype=torch.int64), {}),
        (torch.zeros(1, 3, 2, 2), {"threshold": 0.0}),
        (torch.zeros(1, 3, 2, 2), {"threshold": -1.0}),
        (torch.zeros(1, 3, 2, 2), {"threshold": nan}),
        (torch.zeros(1, 3, 2, 2), {"threshold": inf}),
        (torch.zeros(1, 3, 2, 2), {"mode": "pgc"}),
        (torch.zeros(1, 3, 2, 2), {"norm": "l1"}),
    ],
)
def test_refuses_what_has_no_meaning(gradient: Tensor, arguments: dict[str, Any]) -> None:
    for operator in (pixel_clip, pixel_clip_with_statistics):
        with pytest.raises(ValueError, match=next(iter(arguments), "gradient")):
            operator(gradient, **(DEFAULTS | arguments))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("mode", MODES)
def test_registration(mode: Mode, layout: str) -> None:
    gradient = LAYOUTS[layout](torch.randn(2, 3, 4, 6))
    for operator in (module._pixel_clip, module._pixel_clip_with_statistics):
        results = torch.library.opcheck(operator, (gradient, 0.1, mode, "l2"))
        assert set(results.values()) == {"SUCCESS"}


@pytest.mark.parametrize("mode", MODES)
def test_compiles_into_one_graph(mode: Mode) -> None:
    def step(gradient: Tensor) -> Tensor:
        shaped, statistics = pixel_clip_with_statistics(gradient * 2, 0.1, mode)
        return pixel_clip(shaped, 0.1, mode) + statistics[3]

    gradient = torch.randn(1, 3, 4, 4)
    compiled = torch.compile(step, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(gradient), step(gradient))


def length(row: list[float]) -> float:
    return nan if any(map(math.isnan, row)) else math.hypot(*row)


def largest_channel(row: list[float]) -> float:
    return nan if any(map(math.isnan, row)) else max(map(abs, row))


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("norm", NORMS)
def test_statistics_equal_a_loop_over_pixels(norm: Norm, channels: int) -> None:
    gradient = torch.randn(2, channels, 5, 7)
    gradient[0, 0, 1, 2], gradient[1, 2, 3, 4], gradient[1, 1, 0, 0] = nan, inf, -inf
    shaped, statistics = pixel_clip_with_statistics(gradient, 1.5, "norm", norm)
    rows = gradient.permute(0, 2, 3, 1).reshape(-1, channels).double().tolist()
    norms = [largest_channel(row) if norm == "linf" else length(row) for row in rows]
    finite = [x for x in norms if math.isfinite(x)]
    expected = [sum(x > 1.5 for x in norms), len(norms) - len(finite), max(finite), sum(finite)]
    torch.testing.assert_close(statistics, torch.tensor(expected, dtype=torch.float64), rtol=ULPS, atol=0)
    assert torch.equal(shaped, pixel_clip(gradient, 1.5, "norm", norm))


def summary_of(gradient: Tensor, threshold: float) -> dict[str, Tensor]:
    return gradient_statistics(gradient, clip_statistics(gradient, threshold, "l2"))


def test_statistics_are_those_of_the_summary() -> None:
    gradient = torch.randn(2, 3, 16, 16)
    clipped, non_finite, maximum, total = clip_statistics(gradient, 1.0, "l2").tolist()
    summary = {name: value.item() for name, value in summary_of(gradient, 1.0).items()}
    assert clipped / 512 == pytest.approx(summary["clipped"])
    assert non_finite == summary["non_finite"]
    assert maximum == summary["maximum"]
    assert total / 512 == pytest.approx(summary["mean"], rel=1e-6)


def test_statistics_of_no_pixel_are_zero() -> None:
    assert pixel_clip_with_statistics(torch.zeros(0, 3, 4, 4), 0.1)[1].tolist() == [0, 0, 0, 0]


def test_no_kernel_is_sought_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(native, "usable", lambda: bool(asked.append("usable")))
    pixel_clip_with_statistics(torch.zeros(1, 3, 2, 2), 0.1)
    pixel_clip(torch.zeros(1, 3, 2, 2), 0.1)
    assert asked == []


@pytest.mark.parametrize("norm", NORMS)
@given(values=pixels)
def test_pixel_norm_neither_overflows_nor_vanishes(norm: Norm, values: Pixels) -> None:
    gradient = image(values)
    expected = exact_norm(gradient, norm)
    representable = expected < torch.finfo(torch.float32).max
    measured = pixel_norm(gradient, norm).double()
    # float32's subnormal numbers have an absolute, not a relative, precision
    torch.testing.assert_close(measured[representable], expected[representable], rtol=ULPS, atol=1e-44)


def test_statistics_of_known_norms() -> None:
    gradient = torch.zeros(1, 3, 1, 103)
    gradient[0, 0, 0, :101] = torch.arange(101.0).flip(0)
    gradient[0, 1, 0, 101:] = torch.tensor([inf, nan])
    numbers = {name: value.item() for name, value in summary_of(gradient, 90.0).items()}
    assert numbers == {
        "median": 50,
        "p99": 99,
        "maximum": 100,
        "mean": 50,
        "clipped": pytest.approx(11 / 103),  # 91..100 and the infinite one
        "non_finite": 2,
    }


def test_statistics_of_nothing_finite() -> None:
    numbers = summary_of(torch.full((1, 3, 2, 2), nan), 0.1)
    assert numbers["non_finite"] == 4
    assert all(numbers[name].isnan() for name in ("median", "p99", "maximum", "mean"))


@pytest.mark.parametrize("shape", [(4, 3, 128, 128), (1, 3, 512, 512), (2, 3, 1024, 1024)])
def test_quantiles_of_large_gradients_come_from_a_fair_part_of_them(shape: tuple[int, ...]) -> None:
    """Exact up to four pictures of 128x128; else 2^16 pixels put the 99th percentile within three sigma."""
    stripes = torch.linspace(0.5, 1.5, shape[-1])  # a step that fell on few columns would show
    gradient = torch.randn(shape) * stripes
    norms = pixel_norm(gradient).flatten()
    summary = summary_of(gradient, 1.0)
    for name, share in (("median", 0.5), ("p99", 0.99)):
        rank = (norms < summary[name]).float().mean().item()
        slack = 3 * (share * (1 - share) / 2**16) ** 0.5 if norms.numel() > 2**16 else 1 / norms.numel()
        assert rank == pytest.approx(share, abs=slack)
