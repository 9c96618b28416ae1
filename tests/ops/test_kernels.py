"""Reference: the kernels of cuda_ext against exact arithmetic and plain torch, over types, layouts and modes.

Each test runs twice: on a CUDA device with the built library, and on any machine that has a C++ compiler with
`emulation.cpp`, which runs the same plans and arithmetic in plain loops (all but the launch, the reduction and the
GPU's approximate reciprocals).
"""

from __future__ import annotations

import functools
import math
import shutil
import subprocess
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import pad
from torch.utils import cpp_extension

from dreampgc.ops import native, reference
from dreampgc.ops import pixel_clip as operators

inf, nan = math.inf, math.nan
ROOT = Path(__file__).parents[2]
DTYPES = (torch.float32, torch.float16, torch.bfloat16)
CASES = tuple(product(("norm", "value", "normalize"), ("l2", "linf")))
PLANAR, INTERLEAVED, SCATTERED = range(3)


@functools.cache
def compiled(folder: Path) -> Any:
    """The operators of `emulation.cpp`; a process can register them once."""
    compiler = shutil.which("c++")
    if compiler is None:
        pytest.skip("no C++ compiler")
    library = folder / "emulation.so"
    torch_files = Path(torch.__file__).parent
    headers = [f"-I{path}" for path in (ROOT / "cuda_ext", *cpp_extension.include_paths())]
    # what setup.py gives the kernels, and warnings as errors for what is ours
    flags = ["-shared", "-fPIC", "-O1", "-std=c++17", "-DTORCH_TARGET_VERSION=0x020a000000000000"]
    links = [f"-L{torch_files / 'lib'}", "-ltorch_cpu", "-lc10"]
    source = Path(__file__).with_name("emulation.cpp")
    subprocess.run([compiler, *flags, *headers, source, *links, "-o", library], check=True)
    torch.ops.load_library(library)
    return torch.ops.dreampgc_emulated


@pytest.fixture(scope="module")
def emulated(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return compiled(tmp_path_factory.getbasetemp())


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.requires_cuda)])
def device(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def kernels(device: str, request: pytest.FixtureRequest) -> Any:
    if device == "cpu":
        return request.getfixturevalue("emulated")
    if native.find() is None:
        pytest.skip(f"the kernels are {native.NOT_BUILT}")
    return native.load()


def offset(x: Tensor, elements: int) -> Tensor:
    """A copy of ``x`` that starts so many elements behind an aligned address."""
    memory = x.new_empty(x.numel() + elements)
    return memory[elements:].view(x.shape).copy_(x)


def uneven(x: Tensor, axis: int) -> Tensor:
    """A copy of ``x`` with a gap of one element behind what one step along the axis before ``axis`` spans."""
    return pad(x.flatten(axis), (0, 1))[..., :-1].unflatten(axis, x.shape[axis:])


LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "contiguous": lambda x: x,
    "channels_last": lambda x: x.to(memory_format=torch.channels_last),
    "odd size": lambda x: x[:, :, 1:, :7].contiguous(),
    "crop": lambda x: x[:, :, 3:, 8:],
    "odd crop": lambda x: x[:, :, 1:, 1:],
    "channels_last crop": lambda x: x.to(memory_format=torch.channels_last)[:, :, 2:, 3:],
    "offset": lambda x: offset(x, 1),
    "uneven pictures": lambda x: uneven(x, 1),
    "uneven channels": lambda x: uneven(x[:1], 2),
    "uneven rows": lambda x: uneven(x, 3),
    "transposed": lambda x: x.transpose(2, 3),
    "every other": lambda x: x[::2, :, ::2, ::2],
    "flipped channels": lambda x: x.permute(1, 0, 2, 3).contiguous().permute(1, 0, 2, 3),
    "expanded": lambda x: x[:, :, :1].expand(-1, -1, 9, -1),
    "one column": lambda x: x[..., :1],
    "empty": lambda x: x[:0],
}


def gradients(channels: int, dtype: torch.dtype, device: str) -> Tensor:
    """Norms from 1e-3 to 1e3 around the threshold 0.1, all finite; more than one chunk a row.

    None is so near the threshold that a rounding decides on which side it is: those pixels become larger.
    """
    generator = torch.Generator().manual_seed(channels)
    wide = (torch.randn(3, channels, 40, 64, generator=generator) * torch.logspace(-3, 3, 64)).to(dtype)
    exactly = wide.double()
    norms = torch.stack([exactly.norm(dim=1), exactly.abs().amax(dim=1)])
    near = ((norms / 0.1 - 1).abs() < 1e-5).any(dim=0)
    return torch.where(near[:, None], 2 * wide, wide).to(device)


def exact(gradient: Tensor, threshold: float, mode: str, norm: str) -> Tensor:
    """The table of the paper in float64."""
    g = gradient.double()
    length = g.norm(dim=1, keepdim=True) if norm == "l2" else g.abs().amax(dim=1, keepdim=True)
    if mode == "value":
        return g.clamp(-threshold, threshold)
    scale = threshold / (length + threshold) if mode == "normalize" else (threshold / length).clamp_max(1)
    return g * scale


def error(result: Tensor, expected: Tensor) -> float:
    """The largest relative error of any element."""
    if not expected.numel():
        return 0.0
    return ((result.double() - expected).abs() / expected.abs().clamp_min(1e-300)).max().item()


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", [3, 4])
def test_as_accurate_as_torch(kernels: Any, device: str, channels: int, dtype: torch.dtype, layout: str) -> None:
    gradient = LAYOUTS[layout](gradients(channels, dtype, device))
    for mode, norm in CASES:
        shaped = kernels.pixel_clip(gradient, 0.1, mode, norm)
        expected = exact(gradient, 0.1, mode, norm)
        plain = reference.pixel_clip(gradient, 0.1, mode, norm)
        # twice the error that the formula in torch has in this type, and one rounding of float32
        assert error(shaped, expected) <= 2 * error(plain, expected) + torch.finfo(torch.float32).eps
        assert shaped.stride() == plain.stride()
        assert shaped.dtype == dtype


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", [3, 4])
def test_statistics_in_the_same_pass(kernels: Any, device: str, channels: int, dtype: torch.dtype, layout: str) -> None:
    gradient = gradients(channels, dtype, device)
    gradient[0, 1, 2, 3], gradient[2, 0, 0, 0], gradient[1, 2, 9, 40] = nan, inf, -inf
    gradient = LAYOUTS[layout](gradient)
    for mode, norm in CASES:
        shaped, statistics = kernels.pixel_clip_with_statistics(gradient, 0.1, mode, norm)
        assert torch.equal(shaped, kernels.pixel_clip(gradient, 0.1, mode, norm))
        expected = reference.clip_statistics(gradient, 0.1, norm)
        # counts and, to a rounding of float32, norms
        torch.testing.assert_close(statistics, expected, rtol=4 * torch.finfo(torch.float32).eps, atol=0)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("width", [1, 32])
def test_pixels_that_are_not_finite(kernels: Any, device: str, dtype: torch.dtype, width: int) -> None:
    columns = [(nan, 1, 2), (inf, nan, 0), (inf, inf, -inf), (0, -inf, 0), (0, 0, 0), (-inf, 5, -5)]
    gradient = torch.tensor(columns, dtype=dtype, device=device).view(-1, 3, 1, 1).expand(-1, -1, 1, width).contiguous()
    for mode, norm in CASES:
        shaped = kernels.pixel_clip(gradient, 0.1, mode, norm)
        expected = reference.pixel_clip(gradient, 0.1, mode, norm)
        native.assert_agree(shaped, expected)
        assert shaped.isfinite().all()


@pytest.mark.parametrize(("mode", "norm"), CASES)
@pytest.mark.parametrize("threshold", [1e-3, 0.1, 1e3, 1e30])
def test_the_whole_range_of_float32(kernels: Any, device: str, mode: str, norm: str, threshold: float) -> None:
    sizes = torch.logspace(-44, 38, 256, dtype=torch.float64)
    gradient = (torch.randn(1, 3, 8, 256, dtype=torch.float64) * sizes).clamp(-3e38, 3e38).float().to(device)
    shaped = kernels.pixel_clip(gradient, threshold, mode, norm).double()
    # subnormal results have an absolute precision, 1.4e-45; a unit vector's subnormal channel is as coarse, times c
    torch.testing.assert_close(shaped, exact(gradient, threshold, mode, norm), rtol=1e-6, atol=3e-45 * (1 + threshold))


@pytest.mark.parametrize("dtype", DTYPES)
def test_pixels_below_the_threshold_keep_every_bit(kernels: Any, device: str, dtype: torch.dtype) -> None:
    gradient = gradients(3, dtype, device)
    assert torch.equal(kernels.pixel_clip(gradient, 1e30, "norm", "l2"), gradient)


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_norms_that_are_just_the_threshold_are_not_above_it(kernels: Any, device: str, norm: str) -> None:
    for threshold in torch.logspace(-3, 3, 50).tolist():
        gradient = torch.zeros(1, 3, 3, 4, device=device)
        gradient[0, [0, 1, 2], [0, 1, 2]] = torch.tensor([threshold, -threshold, threshold], device=device)[:, None]
        shaped, statistics = kernels.pixel_clip_with_statistics(gradient, threshold, "norm", norm)
        assert torch.equal(shaped, gradient)
        assert statistics.tolist() == [0, 0, threshold, 12 * threshold]


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_sums_beyond_float32(kernels: Any, device: str, dtype: torch.dtype, norm: str) -> None:
    """Norms whose sum, or in every other picture they themselves, are more than float32 can hold."""
    gradient = torch.full((4, 3, 8, 8), 1.5e38).to(dtype).to(device)
    gradient[::2] = 3e38
    for mode in ("norm", "value", "normalize"):
        shaped, statistics = kernels.pixel_clip_with_statistics(gradient, 0.1, mode, norm)
        native.assert_agree(shaped, reference.pixel_clip(gradient, 0.1, mode, norm))
        expected = reference.clip_statistics(gradient, 0.1, norm)
        assert expected[1] == (128 if norm == "l2" else 0)
        torch.testing.assert_close(statistics, expected, rtol=4 * torch.finfo(torch.float32).eps, atol=0)


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", [3, 4])
def test_memory_around_a_view_is_neither_read_nor_written(
    kernels: Any, device: str, channels: int, dtype: torch.dtype, channels_last: bool
) -> None:
    """A view at every misalignment and odd width between sentinels: NaN, which would spread if it were read."""
    for start, width in product(range(9), (5, 8, 11, 16)):
        shape = (2, 3, width, channels) if channels_last else (2, channels, 3, width)
        numbers = torch.randn(shape).to(dtype).to(device)
        memory = torch.full((numbers.numel() + 32,), nan, dtype=dtype, device=device)
        view = memory[start : start + numbers.numel()].view(shape).copy_(numbers)
        gradient = view.permute(0, 3, 1, 2) if channels_last else view
        shaped, statistics = kernels.pixel_clip_with_statistics(gradient, 0.1, "norm", "l2")
        native.assert_agree(shaped, reference.pixel_clip(gradient, 0.1, "norm", "l2"))
        assert statistics[1] == 0
        assert torch.equal(view, numbers)
        assert memory.isnan().sum() == 32


@pytest.mark.parametrize(
    ("layout", "access"),
    [
        ("contiguous", PLANAR),
        ("channels_last", INTERLEAVED),
        ("odd size", SCATTERED),
        ("crop", PLANAR),
        ("odd crop", SCATTERED),
        ("offset", SCATTERED),
        ("uneven pictures", SCATTERED),
        ("uneven channels", SCATTERED),
        ("uneven rows", SCATTERED),
        ("transposed", SCATTERED),
    ],
)
@pytest.mark.parametrize("dtype", DTYPES)
def test_sixteen_bytes_at_a_time_where_aligned(emulated: Any, dtype: torch.dtype, layout: str, access: int) -> None:
    gradient = LAYOUTS[layout](gradients(3, dtype, "cpu"))
    assert emulated.access(gradient) == access


@pytest.mark.parametrize("pixels", [2**20, 2**31, 2**33])
def test_offsets_of_more_than_31_bits(emulated: Any, pixels: int) -> None:
    assert emulated.last_offset(4, 3, pixels) == 4 * 3 * pixels - 1


def test_more_rows_than_a_grid_can_count_are_refused(emulated: Any) -> None:
    """``chunks`` is negative there, which `plan_of` turns into an error; a gap between rows keeps them apart."""
    assert emulated.chunks(2**16, 3, 2**14, 1024, 1028) == 2**30
    assert emulated.chunks(2**16, 3, 2**15, 1024, 1028) == -1
    assert emulated.chunks(2**40, 3, 2**40, 0, 0) == 0


def test_proof_accepts_the_kernels_and_nothing_else(kernels: Any, device: str) -> None:
    class Wrong:
        """Kernels that clip at another threshold when asked for statistics."""

        pixel_clip = kernels.pixel_clip

        @staticmethod
        def pixel_clip_with_statistics(gradient: Tensor, *arguments: Any) -> tuple[Tensor, Tensor]:
            """Right, at a threshold that is 0.01 % off."""
            threshold, *rest = arguments
            return kernels.pixel_clip_with_statistics(gradient, threshold * 1.0001, *rest)

    native.prove(kernels, device)
    with pytest.raises(AssertionError):
        native.prove(Wrong, device)


@pytest.mark.parametrize("proven", [True, False])
def test_cuda_takes_proven_kernels_where_they_fit(emulated: Any, monkeypatch: pytest.MonkeyPatch, proven: bool) -> None:
    """What the operators do with a CUDA tensor, with the emulation in the place of the kernels."""
    taken: list[str] = []

    class Kernels:
        @staticmethod
        def pixel_clip(*arguments: Any) -> Tensor:
            taken.append("pixel_clip")
            return emulated.pixel_clip(*arguments)

        @staticmethod
        def pixel_clip_with_statistics(*arguments: Any) -> tuple[Tensor, Tensor]:
            taken.append("pixel_clip_with_statistics")
            return emulated.pixel_clip_with_statistics(*arguments)

    monkeypatch.setattr(native, "usable", lambda: proven)
    monkeypatch.setattr(torch.ops, "dreampgc_native", Kernels, raising=False)
    for dtype in (*DTYPES, torch.float64):
        gradient = gradients(3, torch.float32, "cpu").to(dtype)
        expected = reference.pixel_clip(gradient, 0.1, "norm", "l2")
        taken.clear()
        results = operators._pixel_clip_with_statistics_on_cuda(gradient, 0.1, "norm", "l2")
        native.assert_agree(operators._pixel_clip_on_cuda(gradient, 0.1, "norm", "l2"), expected)
        native.assert_agree(results[0], expected)
        kernels_fit = proven and dtype != torch.float64
        assert taken == (["pixel_clip_with_statistics", "pixel_clip"] if kernels_fit else [])


@pytest.mark.parametrize(
    ("shape", "arguments"),
    [
        ((1, 5, 2, 2), (0.1, "norm", "l2")),
        ((3, 2, 2), (0.1, "norm", "l2")),
        ((1, 3, 2, 2), (0.0, "norm", "l2")),
        ((1, 3, 2, 2), (nan, "norm", "l2")),
        ((1, 3, 2, 2), (0.1, "pgc", "l2")),
        ((1, 3, 2, 2), (0.1, "norm", "l1")),
    ],
)
def test_kernels_refuse_what_has_no_meaning(kernels: Any, device: str, shape: tuple[int, ...], arguments: Any) -> None:
    for kernel in (kernels.pixel_clip, kernels.pixel_clip_with_statistics):
        with pytest.raises(RuntimeError):
            kernel(torch.zeros(shape, device=device), *arguments)
        with pytest.raises(RuntimeError):
            kernel(torch.zeros(1, 3, 2, 2, device=device, dtype=torch.float64), 0.1, "norm", "l2")
