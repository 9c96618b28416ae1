"""Runs of the real pipeline with the embedded prior, small enough for tests: about a fifth of a second a step."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

from dreampgc.config import RunConfig, load_config
from dreampgc.stages.loop import Loop

SMALL: dict[str, Any] = {
    "prior": "mini",
    "device": "cpu",
    "cameras.batch": 1,
    "field.levels": 4,
    "field.log2_hashmap_size": 9,
    "field.hidden": 8,
    "render.resolution": 24,
    "render.start_resolution": 16,
    "render.samples": 48,
    "render.grid_resolution": 16,
    "render.grid_every": 4,
    "loop.checkpoint_every": 0,
    "loop.preview_every": 0,
    "loop.gradient_every": 0,
    "mesh.resolution": 24,
    "mesh.faces": 500,
    "mesh.turntable_frames": 2,
    "mesh.turntable_size": 24,
}


def small_config(**options: Any) -> RunConfig:
    """A small wooden car; ``options`` are dotted keys with ``__`` for the dot."""
    named = {key.replace("__", "."): value for key, value in options.items()}
    return load_config(options={"prompt": "a wooden car", **SMALL, **named})


def assignments(**options: Any) -> list[str]:
    """The same as arguments for the command line, but for ``prior`` and ``device``, which have options of their own."""
    named = SMALL | {key.replace("__", "."): value for key, value in options.items()}
    dotted = [f"--set={key}={value}" for key, value in named.items() if "." in key]
    return ["--prior", "mini", "--device", "cpu", *dotted]


def metrics(run: Path) -> list[dict[str, Any]]:
    """The lines of ``metrics.jsonl`` without the seconds, which no two runs share."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return [{key: value for key, value in line.items() if key != "seconds"} for line in lines]


def final_state(run: Path, step: int) -> bytes:
    """The tensors of the checkpoint after ``step`` steps, as they lie on the disk."""
    return (run / "checkpoints" / f"step-{step:06d}" / "state.safetensors").read_bytes()


class StopsAt(Loop):
    """A loop that is told to stop after ten steps, as by Ctrl-C."""

    def log(self, step: int, metrics: Any) -> None:
        """Log, then take the signal."""
        super().log(step, metrics)
        if step == 9:
            signal.raise_signal(signal.SIGINT)


def require_same(one: Path, other: Path, step: int) -> None:
    """The two runs came to the same end, bit for bit."""
    assert final_state(one, step) == final_state(other, step)
    assert metrics(one) == metrics(other)
    assert (one / "mesh.glb").read_bytes() == (other / "mesh.glb").read_bytes()
    for folder in ("previews", "gradients"):
        names = [path.name for path in sorted((one / folder).iterdir())]
        assert names == [path.name for path in sorted((other / folder).iterdir())]
        assert all((one / folder / name).read_bytes() == (other / folder / name).read_bytes() for name in names)
