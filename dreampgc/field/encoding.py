"""Multiresolution hash-grid encoding (Müller et al. 2022, "Instant neural graphics primitives").

Written for two CPU cores first. Three choices carry the speed:

- One index formula for every level, ``(x ^ y*m1 ^ z*m2) mod T``. Coarse levels take powers of two for the
  multipliers, which packs the coordinates without collisions (a dense grid); fine levels take large primes.
- Feature planes ``[F, L, T]`` and points in the last axis: every operation runs over contiguous memory, and the
  gradient is a one-dimensional ``scatter_add_``, whose order on the CPU is fixed (bit-for-bit repeatable).
- Backward computes corners and weights again instead of keeping ``8*L*N`` of each: memory traffic costs more.

On CUDA a kernel of `cuda_ext` does the same for one point and level a thread, where `prove` has shown that it does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from dreampgc.ops import native

#: `_gathered` and `_scattered`.
Kernels = tuple[Callable[..., Tensor], ...]

_PRIMES = (1, 2_654_435_761, 805_459_861)
_CACHE_ELEMENTS = 2**17  # (levels x points) of one CPU block: its temporaries stay in a laptop's cache


class HashGrid(nn.Module):
    """Features of a position, interpolated trilinearly from ``levels`` grids of growing resolution.

    ``table`` ``[features, levels, 2**log2_hashmap_size]`` is the only parameter. Resolutions grow
    geometrically from ``base_resolution`` to ``max_resolution`` cells across the cube [-1, 1]^3.

    Raises:
        ValueError: a size is not positive, or the resolutions shrink.
    """

    resolutions: Tensor
    multipliers: Tensor

    def __init__(
        self,
        *,
        levels: int = 8,
        features: int = 2,
        log2_hashmap_size: int = 15,
        base_resolution: int = 16,
        max_resolution: int = 256,
    ) -> None:
        super().__init__()
        if min(levels, features, log2_hashmap_size, base_resolution) < 1 or max_resolution < base_resolution:
            raise ValueError(
                f"hash grid of {levels} levels, {features} features, 2^{log2_hashmap_size} entries, "
                f"{base_resolution} to {max_resolution} cells"
            )
        growth = (max_resolution / base_resolution) ** (1 / max(levels - 1, 1))
        resolutions = [round(base_resolution * growth**level) for level in range(levels)]
        self._sizes = resolutions
        self._compiled: Kernels | None = None
        self._bits = log2_hashmap_size // 3  # of one coordinate on a dense level
        dense = (1, 2**self._bits, 4**self._bits)
        self.dense_levels = sum(resolution < 2**self._bits for resolution in resolutions)
        multipliers = [dense] * self.dense_levels + [_PRIMES] * (levels - self.dense_levels)
        self.register_buffer("resolutions", torch.tensor(resolutions), persistent=False)
        self.register_buffer("multipliers", torch.tensor(multipliers).T.contiguous(), persistent=False)
        self.table = nn.Parameter(torch.empty(features, levels, 2**log2_hashmap_size).uniform_(-1e-4, 1e-4))

    @property
    def width(self) -> int:
        """Number of features of one point, ``levels * features``."""
        return self.table.shape[0] * self.table.shape[1]

    def forward(self, positions: Tensor) -> Tensor:
        """Features ``[N, width]`` of ``positions`` ``[N,3]`` in [-1,1]^3 (or clamped to it).

        Differentiable in the table only.

        Raises:
            ValueError: ``positions`` require a gradient, which this encoding does not give.
        """
        if positions.requires_grad and torch.is_grad_enabled():
            raise ValueError("the hash grid gives no gradient for positions: use finite differences")
        unit = (positions.to(self.table.dtype).T.contiguous() * 0.5 + 0.5).clamp_(0, 1)
        return _Interpolate.apply(unit, self.table, self.resolutions, self.multipliers, self._compiled).T

    def compile_kernels(self, say: Callable[[str], None], backend: str = "inductor") -> None:
        """Compile both directions into a kernel each, for any number of points: what the plain operations, dozens of
        passes over memory, cost most of on a GPU. Where that fails they stay, and ``say`` hears why.
        """
        device, (features, levels, entries) = self.table.device, self.table.shape
        compiled: Any = [torch.compile(function, backend=backend) for function in (_gathered, _scattered)]
        unit = torch.rand(3, 4096, device=device)
        incoming = torch.rand(features * levels, 4096, device=device)
        for points in (unit, incoming):
            torch._dynamo.maybe_mark_dynamic(points, 1)
        try:
            with torch.no_grad():
                compiled[0](unit, self.table, self.resolutions, self.multipliers)
                compiled[1](unit, incoming, entries, self.resolutions, self.multipliers)
        except Exception as error:  # the compiler and its back ends each have errors of their own
            say(f"the field cannot be compiled here and runs slower ({type(error).__name__})")
        else:
            self._compiled = tuple(compiled)

    def coarse_volumes(self) -> list[Tensor]:
        """The dense levels as volumes ``[features, r+1, r+1, r+1]`` (z, y, x), views into the table."""
        side = 2**self._bits
        volumes = self.table[:, : self.dense_levels, : side**3].unflatten(2, (side, side, side))
        sizes = [resolution + 1 for resolution in self._sizes[: self.dense_levels]]
        return [volumes[:, level, :n, :n, :n] for level, n in enumerate(sizes)]


def _corners(
    unit: Tensor, entries: int, levels: slice, resolutions: Tensor, multipliers: Tensor
) -> Iterator[tuple[Tensor, Tensor]]:
    """The 8 corners of each point's cell: flat table index and trilinear weight, each ``[l*N]``."""
    scaled = unit[:, None, :] * resolutions[levels].to(unit.dtype)[:, None]
    lower = scaled.floor()
    above = scaled.sub_(lower)
    weights = (1 - above, above)
    step = multipliers[:, levels, None]
    low = lower.long().mul_(step)
    high = low + step
    first = torch.arange(levels.start, levels.stop, device=unit.device)[:, None] * entries
    for key in (low, high):
        key.bitwise_and_(entries - 1)
        key[0] += first  # a multiple of the table's size, so it survives the exclusive or
    for z in (0, 1):
        for y in (0, 1):
            yz = (low, high)[y][1] ^ (low, high)[z][2]
            weight = weights[y][1] * weights[z][2]
            for x in (0, 1):
                yield (yz ^ (low, high)[x][0]).view(-1), (weight * weights[x][0]).view(-1)


def _blocks(levels: int, points: int, device: torch.device) -> Iterator[slice]:
    """Consecutive levels to work on together: a few on the CPU (cache), all on a GPU (few launches)."""
    size = levels if device.type != "cpu" else min(levels, max(1, _CACHE_ELEMENTS // max(points, 1)))
    return (slice(start, min(start + size, levels)) for start in range(0, levels, size))


class _Interpolate(torch.autograd.Function):
    """``(unit [3,N] in [0,1], table [F,L,T], ...) -> features [F*L,N]``, with a gradient for the table."""

    @staticmethod
    def forward(
        ctx: Any, unit: Tensor, table: Tensor, resolutions: Tensor, multipliers: Tensor, compiled: Kernels | None
    ) -> Tensor:
        ctx.save_for_backward(unit, resolutions, multipliers)
        ctx.compiled = compiled
        ctx.table_shape = features, levels, entries = table.shape
        if _fits_kernel(unit, table):
            return torch.ops.dreampgc_native.hash_grid(unit, table.contiguous(), resolutions, multipliers)
        if compiled is not None:
            return compiled[0](unit, table, resolutions, multipliers)
        planes = table.view(features, -1)
        result = unit.new_zeros(features, levels, unit.shape[1])
        for block in _blocks(levels, unit.shape[1], unit.device):
            for index, weight in _corners(unit, entries, block, resolutions, multipliers):
                for plane, output in zip(planes, result, strict=True):
                    output[block].view(-1).addcmul_(plane.index_select(0, index), weight)
        return result.view(features * levels, -1)

    # torch declares `*grad_outputs`; a function knows how many it has.
    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, gradient: Tensor
    ) -> tuple[None, Tensor, None, None, None]:
        unit, resolutions, multipliers = ctx.saved_tensors
        features, levels, entries = ctx.table_shape
        if _fits_kernel(unit, gradient):
            planes = torch.ops.dreampgc_native.hash_grid_backward(
                unit, gradient.contiguous(), resolutions, multipliers, entries
            )
            return None, planes.view(ctx.table_shape), None, None, None
        if ctx.compiled is not None:
            planes = ctx.compiled[1](unit, gradient.contiguous(), entries, resolutions, multipliers)
            return None, planes.view(ctx.table_shape), None, None, None
        incoming = gradient.contiguous().view(features, levels, -1)
        planes = unit.new_zeros(features, levels * entries)
        for block in _blocks(levels, unit.shape[1], unit.device):
            for index, weight in _corners(unit, entries, block, resolutions, multipliers):
                for plane, wanted in zip(planes, incoming, strict=True):
                    plane.scatter_add_(0, index, wanted[block].view(-1) * weight)
        return None, planes.view(ctx.table_shape), None, None, None


def _fits_kernel(unit: Tensor, values: Tensor) -> bool:
    """Whether the native kernels take these, and were proven on this machine."""
    return unit.is_cuda and unit.dtype == values.dtype == torch.float32 and native.usable()


def prove(kernels: Any, device: str) -> None:
    """Compare the native ``kernels`` (`dreampgc.ops.native.load`) with plain torch, on dense and hashed levels.

    Raises:
        AssertionError: a kernel differs by more than another order of sums does.
    """
    grid = HashGrid(levels=5, features=2, log2_hashmap_size=12, base_resolution=4, max_resolution=200)
    generator = torch.Generator().manual_seed(0)
    table = torch.randn(grid.table.shape, generator=generator).to(device)
    unit = torch.rand(3, 5000, generator=generator)
    unit[:, :8] = (torch.arange(8) >> torch.arange(3)[:, None] & 1).float()  # the cube's corners
    unit = unit.to(device)
    incoming = torch.randn(grid.width, unit.shape[1], generator=generator).to(device)
    levels = grid.resolutions.to(device), grid.multipliers.to(device)
    features = kernels.hash_grid(unit, table, *levels)
    torch.testing.assert_close(features, _gathered(unit, table, *levels), rtol=1e-4, atol=1e-4)
    scattered = kernels.hash_grid_backward(unit, incoming, *levels, table.shape[2])
    expected = _scattered(unit, incoming, table.shape[2], *levels)
    torch.testing.assert_close(scattered, expected, rtol=1e-4, atol=1e-3)


# The same once more for a compiler, which wants one formula over all corners, levels and points, and no memory between.


def _all_corners(unit: Tensor, entries: int, resolutions: Tensor, multipliers: Tensor) -> tuple[Tensor, Tensor]:
    """Flat table index and trilinear weight of the 8 corners of each point's cell on each level, both ``[8,L,N]``."""
    corners = torch.arange(8, device=unit.device)
    upper = [(corners >> axis & 1)[:, None, None] for axis in range(3)]
    keys, weights = [], []
    for axis in range(3):
        scaled = unit[axis] * resolutions.to(unit.dtype)[:, None]
        lower = scaled.floor()
        keys.append((lower.long() + upper[axis]) * multipliers[axis][:, None])
        weights.append(torch.where(upper[axis] == 1, scaled - lower, 1 - (scaled - lower)))
    levels = torch.arange(len(resolutions), device=unit.device)[:, None]
    index = ((keys[0] ^ keys[1] ^ keys[2]) & (entries - 1)) + levels * entries
    return index, weights[0] * weights[1] * weights[2]


def _gathered(unit: Tensor, table: Tensor, resolutions: Tensor, multipliers: Tensor) -> Tensor:
    """Features ``[F*L,N]`` of points ``unit`` ``[3,N]`` in [0,1]."""
    index, weight = _all_corners(unit, table.shape[2], resolutions, multipliers)
    return (table.flatten(1)[:, index] * weight).sum(1).flatten(0, 1)


def _scattered(unit: Tensor, incoming: Tensor, entries: int, resolutions: Tensor, multipliers: Tensor) -> Tensor:
    """The gradient ``[F, L*T]`` of the table, given that of the features, ``incoming`` ``[F*L,N]``."""
    index, weight = _all_corners(unit, entries, resolutions, multipliers)
    incoming = incoming.unflatten(0, (-1, len(resolutions)))
    planes = incoming.new_zeros(len(incoming), len(resolutions) * entries)
    feature = torch.arange(len(incoming), device=unit.device)[:, None, None, None]
    return planes.index_put_((feature, index[None]), incoming[:, None] * weight, accumulate=True)
