#!/usr/bin/env python3
"""Draw the per-pixel gradient norms of runs over their steps as one picture: are there spikes, and are they gone?

    python scripts/plot_gradients.py runs/vae runs/pgc-n --output docs/gradients.png

The solid lines are the raw gradient, before shaping: maximum, 99th percentile, median of the norms of one step's
pixels; the dashed line is the largest norm that reaches the field.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from dreampgc.runs import Run


def main() -> None:
    """Read metrics.jsonl of each run and draw one panel for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--output", type=Path, default=Path("docs/gradients.png"))
    arguments = parser.parse_args()
    figure, panels = plt.subplots(1, len(arguments.runs), figsize=(5.2 * len(arguments.runs), 3.8), sharey=True)
    for panel, place in zip(np.atleast_1d(panels), arguments.runs, strict=True):
        lines = [json.loads(line) for line in (place / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
        guidance = Run(place).config.guidance
        steps = [line["step"] for line in lines]
        for name, colour in (("maximum", "tab:red"), ("p99", "tab:orange"), ("median", "tab:blue")):
            panel.plot(steps, [line[f"gradient_{name}"] for line in lines], color=colour, lw=0.8, label=f"raw {name}")
        reaches = [line["gradient_maximum"] for line in lines]
        if guidance.method == "pgc-n":
            reaches = np.minimum(reaches, guidance.clip)
        panel.plot(steps, reaches, "k--", lw=1.2, label="largest that reaches the field")
        ratio = np.median([line["gradient_maximum"] / max(line["gradient_median"], 1e-9) for line in lines])
        panel.set(title=f"{guidance.method} (maximum / median: {ratio:.0f}×)", xlabel="step", yscale="log")
        panel.grid(alpha=0.3)
        print(
            place,
            f"max/median {ratio:.0f}",
            {k: float(np.median([x[k] for x in lines])) for k in lines[0] if "gradient" in k},
        )
    np.atleast_1d(panels)[0].set_ylabel("norm of a pixel's gradient")
    np.atleast_1d(panels)[-1].legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(arguments.output, dpi=110)


if __name__ == "__main__":
    main()
