#!/usr/bin/env python3
"""Run a list of prompts with the shipped defaults, and draw all results as one picture: a row a prompt, 8 views.

    python scripts/make_gallery.py docs/gallery.txt --runs runs/gallery --output docs/gallery.webp
    python scripts/make_gallery.py docs/image-gallery.txt --runs runs/image-gallery --output docs/image-gallery.webp

Lines may also all be files of pictures: then each row begins with its picture. The same seed for all, none picked.
Finished runs are kept, broken ones are resumed.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from pathlib import Path

from evaluation.image_report import picture_over_white
from evaluation.measuring import load_ply

from dreampgc.cameras import orbit_views
from dreampgc.images import Frame, labelled_grid, save_image, to_frames
from dreampgc.render.mesh import render_mesh
from dreampgc.runs import Run


def make(prompt: str, folder: Path, options: Sequence[str]) -> None:
    """Run one prompt or picture into ``folder``, or go on with it."""
    task, prior = ("image", "mini-zero123") if is_picture(prompt) else ("text", "mini")
    command = [sys.executable, "-m", "dreampgc", task, "--quiet"]
    if not (folder / "run.json").exists():
        command += [prompt, "--prior", prior, "--output", str(folder), *options]
    elif Run(folder).state != "done":
        command += ["--resume", str(folder)]
    else:
        return
    code = subprocess.run(command, check=False).returncode
    print(f"{prompt}: {'done' if code == 0 else f'exit code {code}'}", flush=True)


def is_picture(line: str) -> bool:
    """Whether a line of the list names a file."""
    return Path(line).is_file()


def draw(folders: list[Path], prompts: list[str], size: int) -> Frame:
    """Eight views of each run's mesh, exported anew; a run without a mesh ends the drawing with an error."""
    pictured = all(map(is_picture, prompts))
    frames, labels = [], []
    for folder, prompt in zip(folders, prompts, strict=True):
        subprocess.run(
            [sys.executable, "-m", "dreampgc", "export", str(folder), "--format", "ply", "--quiet"], check=True
        )
        mesh = load_ply(folder / "mesh.ply")
        views = to_frames(render_mesh(mesh, orbit_views(8, elevation=20.0), height=size, width=size).image)
        frames += [picture_over_white(Path(prompt), size), *views] if pictured else [*views]
        labels += [Path(prompt).name, *[""] * 8] if pictured else [prompt, *[""] * 7]
    return labelled_grid(frames, labels, columns=8 + pictured)


def main() -> None:
    """Run, then draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prompts", type=Path)
    parser.add_argument("--runs", type=Path, default=Path("runs/gallery"))
    parser.add_argument("--output", type=Path, default=Path("docs/gallery.webp"))
    parser.add_argument("--size", type=int, default=144)
    parser.add_argument("--jobs", type=int, default=1, help="runs side by side")
    arguments, options = parser.parse_known_args()
    prompts = [line for line in arguments.prompts.read_text(encoding="utf-8").splitlines() if line.strip()]
    folders = [arguments.runs / Path(prompt).name.replace(" ", "-") for prompt in prompts]
    with ThreadPoolExecutor(arguments.jobs) as pool:
        list(pool.map(make, prompts, folders, repeat(options)))
    save_image(arguments.output, draw(folders, prompts, arguments.size))


if __name__ == "__main__":
    main()
