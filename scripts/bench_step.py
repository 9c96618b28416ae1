#!/usr/bin/env python3
"""Whole training steps: the straightforward way against ours, and where the time of each goes; Markdown and JSON.

python scripts/bench_step.py                                  # every prior that there is a device for
python scripts/bench_step.py --only sd21 sd21x4 --ways off compiled --seconds 60 --output steps.json
python scripts/bench_step.py --only mini --ways off --device cpu --seconds 20
python scripts/bench_step.py --only mini --ways graphs --profile profile.json      # what the host does in 50 steps

The steps are those of a real run: `NerfStage.train` in its `Loop`. The ways are the values of ``loop.acceleration``;
"off" is eager diffusers whose host waits in every step, which is what others do. Full-size priors have random weights,
which cost the same. A row is printed as soon as it is known, and a part that fails is a row too. Milliseconds are
medians over the steps on the device's own clock; the networks' are measured alone, and the rest is what is left of the
step. "syncs" are the halts of the host that torch warns of. FLOP are counted in the networks alone, and the matrix rate
is measured in the same run.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import step_timing
import torch
from random_priors import make_prior, make_view_prior
from step_timing import COUNTED, PROFILED, Clock, TimedLoop, network_times
from torch.utils.flop_counter import FlopCounterMode

from dreampgc.building import build_image_stage, build_text_stage, speed_up
from dreampgc.config import RunConfig, load_config
from dreampgc.console import Console
from dreampgc.priors.catalog import resolve
from dreampgc.priors.diffusion import DiffusionPrior
from dreampgc.priors.networks import Networks
from dreampgc.priors.zero123 import Zero123Prior
from dreampgc.references import Picture
from dreampgc.runs import create_run
from dreampgc.stages.nerf import NerfStage

#: Name: prior and views a step.
CASES: dict[str, tuple[str, int]] = {
    "mini": ("mini", 4),
    "sd21": ("sd21", 1),
    "sd21x4": ("sd21", 4),
    "sdxl": ("sdxl", 1),
    "zero123": ("zero123-xl", 1),
    "zero123x4": ("zero123-xl", 4),
}
WAYS = ("off", "graphs", "compiled")
COLUMNS = ("case", "way", "it/s", "ms", "networks, TFLOP/s", "share of matrix rate", "syncs", "peak GiB", "steps")


def config_of(case: str, way: str) -> RunConfig:
    """The configuration of a case: the preset `high` for mini, `standard` for the others."""
    name, batch = CASES[case]
    views = name == "zero123-xl"
    options = {
        "task": "image" if views else "text",
        "prompt": "" if views else "a wooden car",
        "prior": name,
        "preset": "high" if name == "mini" else "standard",
        "cameras.batch": batch,
        "loop.acceleration": way,
        "loop.max_bad_steps": 10**6,  # random weights may say anything
        "loop.checkpoint_every": 0,
        "loop.preview_every": 0,
        "loop.gradient_every": 0,
        "loop.steps": 2300 if name == "mini" else 10_000,
    }
    return load_config(options=options, family=lambda prior, device: "mini" if prior == "mini" else "full")


def flops(prior: DiffusionPrior | Zero123Prior, batch: int) -> int:
    """Floating-point operations of the networks in one step of ``batch`` views, guidance included."""
    image, inputs = step_timing.network_inputs(prior, 1)
    networks = Networks(prior.unet, prior.vae)
    with FlopCounterMode(display=False) as counter:
        latents, transpose = networks.encode_with_vjp(image)
        transpose(torch.ones_like(latents))
        with torch.no_grad():
            networks.denoise(*inputs)
    return batch * counter.get_total_flops()


def build(config: RunConfig, prior: DiffusionPrior | Zero123Prior) -> NerfStage:
    """The stage of a case; pictures are replaced by one of an ellipse."""
    if not isinstance(prior, Zero123Prior):
        return build_text_stage(config, prior)
    y, x = torch.meshgrid(*[torch.linspace(-1, 1, 512)] * 2, indexing="ij")
    mask = ((x / 0.5) ** 2 + (y / 0.7) ** 2 < 1).float()[None, None]
    colour = mask * torch.tensor([0.9, 0.3, 0.1])[None, :, None, None]
    return build_image_stage(config, prior, [Picture(colour, mask, azimuth=0.0, elevation=10.0)])


def matrix_rate(device: str, size: int = 8192) -> float | None:
    """TFLOP/s of a large half-precision matrix product of random numbers; None on a CPU."""
    if device == "cpu":
        return None
    x, y = torch.randn(2, size, size, device=device, dtype=torch.float16)
    times = []
    for _ in range(13):
        begin = Clock(x.device)
        torch.mm(x, y)
        times.append((begin, Clock(x.device)))
    return 2 * size**3 / statistics.median(a.until(b) for a, b in times[3:]) / 1e9


def measure(case: str, way: str, prior: DiffusionPrior | Zero123Prior, asked: argparse.Namespace) -> dict[str, Any]:
    """One row: a real run, cut short."""
    prior.networks = Networks(prior.unet, prior.vae)
    work = flops(prior, CASES[case][1])
    config = config_of(case, way)
    cuda = prior.device.type == "cuda"
    if cuda:
        gc.collect()  # the way before may have left recordings in cycles
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    stage = build(config, prior)
    speed_up(stage, partial(print, "  ", flush=True))
    state = stage.state
    with tempfile.TemporaryDirectory() as folder:
        run = create_run(config, Path(folder) / "run")
        with run.active(), TimedLoop(run, config.loop, Console(quiet=True), save=state.save, load=state.load) as loop:
            most = min(asked.steps, config.loop.steps - step_timing.WARM_UP[way] - COUNTED - PROFILED - 2)
            loop.prepare(stage, most, asked.seconds, asked.profile)
            stage.train(loop)
        lines = [json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines()]
    times = [before.until(after) for before, after in pairwise(loop.clocks)]
    peak = torch.cuda.max_memory_allocated() if cuda else None  # before the networks are measured alone
    parts = network_times(prior, CASES[case][1], recorded=way != "off")
    networks = sum(parts.values())
    parts["field and all else"] = round(statistics.median(times) - networks, 3)
    early = config.render.ramp * config.loop.steps - step_timing.WARM_UP[way]
    return {
        "case": case,
        "way": way,
        "it/s": 1000 * len(times) / sum(times),
        "ms": statistics.median(times),
        "networks, TFLOP/s": work / networks / 1e9,
        "syncs": loop.halts,
        "peak GiB": peak / 2**30 if peak is not None else None,
        "GiB allocated and reserved, by tenths": [
            [round(x / 2**30, 2) for x in loop.memory[(len(loop.memory) - 1) * k // 9]] for k in range(10)
        ],
        "steps": len(times),
        "warm-up s": loop.warm_up_seconds,
        "parts": parts,
        "ms before and after the ramp": [
            statistics.median(part) if part else None for part in (times[: int(early)], times[int(early) :])
        ],
        "samples": statistics.median(line["samples"] for line in lines),
        "bad steps": lines[-1]["bad_steps"],
    }


def tell(row: dict[str, Any]) -> None:
    """Print a row, and below it where its time goes."""
    cells = (f"{row[name]:.4g}" if isinstance(row.get(name), float) else str(row.get(name)) for name in COLUMNS)
    print("|", " | ".join(cells), "|", flush=True)
    for name in (
        "parts",
        "ms before and after the ramp",
        "samples",
        "bad steps",
        "warm-up s",
        "GiB allocated and reserved, by tenths",
        "error",
    ):
        if row.get(name) is not None:
            print(f"    {name}: {row[name]}", flush=True)


def load(name: str, device: str) -> DiffusionPrior | Zero123Prior:
    """The prior of a case: `mini` is real, the others are random."""
    if name == "mini":
        return resolve("mini").load(device)
    return make_view_prior(device) if name == "zero123-xl" else make_prior(name, device)


def rows(asked: argparse.Namespace, rate: float | None) -> Iterator[dict[str, Any]]:
    """All rows that were asked for, in this order, as they become known."""
    priors: dict[str, DiffusionPrior | Zero123Prior] = {}
    for case in asked.only:
        name = CASES[case][0]
        for way in asked.ways:
            if time.monotonic() > asked.end:
                print(f"no time left for {case}, {way}", flush=True)
                return
            try:
                if name not in priors:
                    priors.clear()  # one at a time: their memory is measured
                    priors[name] = load(name, asked.device)
                row = measure(case, way, priors[name], asked)
                row["share of matrix rate"] = row["networks, TFLOP/s"] / rate if rate else None
            except Exception as error:  # the other parts are wanted all the same
                row = {"case": case, "way": way, "error": f"{type(error).__name__}: {error}"[:500]}
            yield row


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=list(CASES), choices=CASES, help="what to measure, in this order")
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=WAYS)
    parser.add_argument("--steps", type=int, default=100, help="at most so many timed steps a row")
    parser.add_argument("--seconds", type=float, default=20.0, help="at most so long for a row's timed steps")
    parser.add_argument("--total", type=float, default=3600.0, help="no row is begun after so many seconds")
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--output", type=Path, help="where the rows go as JSON")
    parser.add_argument(
        "--profile", type=Path, help="profile 50 more steps; calls of the CUDA runtime and kernels go here"
    )
    asked = parser.parse_args()
    asked.end = time.monotonic() + asked.total
    return asked


def main() -> None:
    """Measure and print."""
    asked = arguments()
    if asked.device == "cuda" and not torch.cuda.is_available():
        raise SystemExit("no CUDA device: --device cpu --only mini --ways off measures here")
    rate = matrix_rate(asked.device)
    device = torch.cuda.get_device_name() if asked.device == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    print(f"{device}, torch {torch.__version__}, matrix rate {rate} TFLOP/s (8192³, float16)\n")
    print("|", " | ".join(COLUMNS), "|\n|" + "---|" * len(COLUMNS), flush=True)
    found = []
    for row in rows(asked, rate):
        tell(row)
        found.append(row)
        if asked.output is not None:
            document = {"device": device, "torch": torch.__version__, "matrix TFLOP/s": rate, "rows": found}
            asked.output.write_text(json.dumps(document, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
