#!/usr/bin/env python3
"""Pixel clipping against a plain copy and against the formula in torch, eager and compiled, as a Markdown table.

python scripts/bench_clip.py                                   # the table, in CUDA graphs, median of many
python scripts/bench_clip.py --sizes 1x3x512x512 --dtypes float16 --layouts channels_last
python scripts/bench_clip.py --device cpu --sizes 1x3x256x256  # plain calls; only the reference exists there

Every contender of a row is measured in turn, round after round, so that all see the same clocks and neighbours. In a
graph a call is repeated until the graph takes about a millisecond; "launched" is one call after another from Python.
GB/s counts one read and one write of the gradient. Small tensors stay in the GPU's cache: compare their times only.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from itertools import product

import torch
from torch import Tensor

from dreampgc.ops import native, reference
from dreampgc.ops.pixel_clip import pixel_clip, pixel_clip_with_statistics

Contender = Callable[[Tensor], object]
THRESHOLD = 0.1
#: Microseconds that a graph should take, so that its own launch does not count.
GRAPH_MICROSECONDS = 1000
LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}


def formula(gradient: Tensor) -> Tensor:
    """Clip-by-norm as a paper's code would write it (Eq. 10), without care for what is not finite."""
    norm = gradient.norm(dim=1, keepdim=True)
    return gradient * (THRESHOLD / norm.clamp_min(1e-12)).clamp_max(1)


def formula_with_statistics(gradient: Tensor) -> tuple[Tensor, ...]:
    """The formula and the numbers that the operator counts in the same pass."""
    norm = gradient.float().norm(dim=1, keepdim=True)
    shaped = gradient * (THRESHOLD / norm.clamp_min(1e-12)).clamp_max(1)
    return shaped, (norm > THRESHOLD).sum(), (~norm.isfinite()).sum(), norm.max(), norm.sum(dtype=torch.float64)


def contenders() -> dict[str, Contender]:
    """What is measured, by its name in the table."""
    return {
        "copy": Tensor.clone,
        "ours": lambda x: pixel_clip(x, THRESHOLD),
        "ours + statistics": lambda x: pixel_clip_with_statistics(x, THRESHOLD),
        "reference": lambda x: reference.pixel_clip(x, THRESHOLD, "norm", "l2"),
        "formula": formula,
        "formula, compiled": torch.compile(formula, dynamic=False),
        "formula + statistics": formula_with_statistics,
        "formula + statistics, compiled": torch.compile(formula_with_statistics, dynamic=False),
    }


def captured(function: Contender, gradient: Tensor) -> tuple[Callable[[], object], int]:
    """A CUDA graph of as many calls as take about `GRAPH_MICROSECONDS`, and their number."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            function(gradient)
    torch.cuda.current_stream().wait_stream(stream)
    calls = 1
    while True:
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            for _ in range(calls):
                function(gradient)
        graph.replay()
        microseconds = milliseconds(graph.replay, cuda=True) * 1000
        if microseconds >= GRAPH_MICROSECONDS / 2 or calls >= 256:
            return graph.replay, calls
        calls = min(256, max(calls + 1, round(calls * GRAPH_MICROSECONDS / max(microseconds, 1))))


def milliseconds(run: Callable[[], object], *, cuda: bool) -> float:
    """How long ``run`` takes: on a GPU by its own clock, else by the wall's."""
    if not cuda:
        began = time.perf_counter()
        run()
        return 1000 * (time.perf_counter() - began)
    begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    begin.record()
    run()
    end.record()
    end.synchronize()
    return begin.elapsed_time(end)


def launched(function: Contender, gradient: Tensor, calls: int = 100) -> float:
    """Microseconds of one call from Python when many follow one another."""

    def many() -> None:
        for _ in range(calls):
            function(gradient)

    many()
    return statistics.median(milliseconds(many, cuda=gradient.is_cuda) for _ in range(5)) * 1000 / calls


def measure(gradient: Tensor, found: dict[str, Contender], rounds: int) -> dict[str, float]:
    """Microseconds of one call of each contender in a CUDA graph (a plain call on a CPU), median of the rounds."""
    torch.compiler.reset()  # or the limit of recompilations leaves the later sizes to eager torch
    runs: dict[str, tuple[Callable[[], object], int]] = {}
    for name, function in found.items():
        function(gradient)  # compiles, and seeks the kernels' verdict
        if gradient.is_cuda:
            runs[name] = captured(function, gradient)
        else:
            runs[name] = (lambda function=function: function(gradient)), 1
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, (run, calls) in runs.items():
            times[name].append(milliseconds(run, cuda=gradient.is_cuda) * 1000 / calls)
    return {name: statistics.median(values) for name, values in times.items()}


def lines(gradient: Tensor, layout: str, found: dict[str, Contender], rounds: int) -> Sequence[str]:
    """The table's lines for one gradient."""
    times = measure(gradient, found, rounds)
    size = "×".join(map(str, gradient.shape))
    bytes_moved = 2 * gradient.numel() * gradient.element_size()
    what = f"{size} {str(gradient.dtype).removeprefix('torch.')} {layout}"
    return [
        f"| {what} | {name} | {value:.2f} | {bytes_moved / value / 1e3:.0f} | {times['copy'] / value:.1%} "
        f"| {times['formula'] / value:.2f} |"
        for name, value in times.items()
    ]


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument(
        "--sizes", nargs="+", default=["1x3x512x512", "4x3x512x512", "16x3x1024x1024", "32x3x1024x1024"]
    )
    parser.add_argument("--dtypes", nargs="+", default=["float32", "float16"])
    parser.add_argument("--layouts", nargs="+", default=list(LAYOUTS), choices=LAYOUTS)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--no-compile", action="store_true", help="leave out what has to be compiled first")
    return parser.parse_args()


def main() -> None:
    """Print the table."""
    asked = arguments()
    if asked.device == "cuda" and not torch.cuda.is_available():
        raise SystemExit("no CUDA device: --device cpu measures plain calls of the reference")
    found = {name: x for name, x in contenders().items() if not (asked.no_compile and name.endswith("compiled"))}
    name = torch.cuda.get_device_name() if asked.device == "cuda" else "CPU"
    print(f"{name}, torch {torch.__version__}; native kernels: {native.reason() or 'in use'}\n")
    print("| gradient | what | µs | GB/s | of the copy's speed | times faster than the formula |")
    print("|---|---|---|---|---|---|")
    for size, dtype, layout in product(asked.sizes, asked.dtypes, asked.layouts):
        shape = tuple(map(int, size.split("x")))
        values = torch.randn(shape, device=asked.device).mul_(THRESHOLD).to(getattr(torch, dtype))
        print(*lines(values.to(memory_format=LAYOUTS[layout]), layout, found, asked.rounds), sep="\n", flush=True)
    first = tuple(map(int, asked.sizes[0].split("x")))
    values = torch.randn(first, device=asked.device)
    each = ", ".join(f"{name} {launched(function, values):.1f} µs" for name, function in found.items())
    print(f"\nlaunched from Python, {asked.sizes[0]} float32: {each}")


if __name__ == "__main__":
    main()
