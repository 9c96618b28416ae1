#!/usr/bin/env python3
"""Kill a run (SIGKILL) again and again at random instants and resume it: is anything ever lost?

    python scripts/kill_runs.py --kills 20 --steps 200

Ends with the run finished, its final checkpoint compared byte for byte with that of a run that was left alone.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def command(folder: Path, steps: int) -> list[str]:
    """Start the run, or go on with it; small, and saving after every step."""
    base = [sys.executable, "-m", "dreampgc", "text", "--quiet"]
    if (folder / "run.json").exists():
        return [*base, "--resume", str(folder)]
    small = {
        "loop.steps": steps,
        "loop.checkpoint_every": 1,
        "loop.preview_every": 5,
        "cameras.batch": 1,
        "render.start_resolution": 32,
        "render.ramp": 1.0,
        "mesh.resolution": 48,
        "mesh.turntable_frames": 4,
    }
    assignments = [part for key, value in small.items() for part in ("--set", f"{key}={value}")]
    return [*base, "a wooden car", "--prior", "mini", "--output", str(folder), *assignments]


def whole_run(folder: Path, steps: int) -> float:
    """Let one run alone until it is done; the seconds until its first checkpoint."""
    began = time.monotonic()
    with subprocess.Popen(command(folder, steps)) as process:
        while last_step(folder) == 0 and process.poll() is None:
            time.sleep(0.05)
        start = time.monotonic() - began
    assert process.returncode == 0, f"the run ended with code {process.returncode}"
    return start


def last_step(folder: Path) -> int:
    """The newest checkpoint's step, 0 without one."""
    names = sorted(path.name for path in (folder / "checkpoints").glob("step-*"))
    return int(names[-1].split("-")[1]) if names else 0


def main() -> None:
    """Kill, resume, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as place:
        folder, whole = Path(place) / "killed", Path(place) / "whole"
        start = whole_run(whole, arguments.steps)
        kills, saves, step = 0, 0, 0
        while kills < arguments.kills:
            process = subprocess.Popen(command(folder, arguments.steps))
            # Mostly just after the program's start, so that loading, steps and saves are all hit.
            time.sleep(rng.uniform(0.6 * start, 1.3 * start))
            assert process.poll() is None, "the run ended before its kill: give it more --steps"
            process.send_signal(signal.SIGKILL)
            process.wait()
            kills += 1
            torn = list((folder / "checkpoints").glob(".*.tmp")) if (folder / "checkpoints").exists() else []
            saves += bool(torn)
            now = last_step(folder)
            assert now >= step, f"lost steps: {step} → {now}"
            step = now
            print(f"kill {kills}: at step {step}{', in the middle of a save' if torn else ''}", flush=True)
        assert subprocess.run(command(folder, arguments.steps), check=False).returncode == 0
        final = f"checkpoints/step-{arguments.steps:06d}/state.safetensors"
        same = (folder / final).read_bytes() == (whole / final).read_bytes()
        state = json.loads((folder / "run.json").read_text(encoding="utf-8"))["state"]
        lines = len((folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines())
        print(f"{kills} kills, {saves} of them in a save; state {state}; {lines} metric lines; equal bytes: {same}")
        sys.exit(0 if same and state == "done" and lines == arguments.steps else 1)


if __name__ == "__main__":
    main()
