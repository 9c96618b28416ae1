#!/usr/bin/env python3
"""Draw every class of the procedural world from four sides, in four attributes, as one labelled picture.

python scripts/make_object_sheet.py --output docs/objects.webp
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from dreampgc.cameras import fixed_views
from dreampgc.images import labelled_grid, save_image, to_frames
from dreampgc.world.objects import CLASSES, Caption
from dreampgc.world.paints import ATTRIBUTES
from dreampgc.world.render import render_world
from dreampgc.world.scene import make_scene


def main() -> None:
    """Render and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("docs/objects.webp"))
    parser.add_argument("--size", type=int, default=112)
    arguments = parser.parse_args()
    views = fixed_views([35.0, 0.0, 90.0, 180.0], elevation=20.0)
    frames, labels = [], []
    for row, name in enumerate(CLASSES):
        worn = [ATTRIBUTES[(5 * row + 3 * k) % len(ATTRIBUTES)] for k in range(4)]
        scene = make_scene([(name, attribute, k) for k, attribute in enumerate(worn)])
        frames += list(to_frames(render_world(scene, views, arguments.size).over(torch.ones(3))))
        labels += [str(Caption(name, attribute)) for attribute in worn]
    save_image(arguments.output, labelled_grid(frames, labels, columns=8))


if __name__ == "__main__":
    main()
