"""Take a picture of a page as Chromium draws it: of the view of runs, or of any page by its address.

    python scripts/screenshot.py runs/A --output docs/view-one.webp
    python scripts/screenshot.py runs/A runs/B runs/C runs/D --output docs/view-four.webp
    python scripts/screenshot.py http://127.0.0.1:8000/?token=... --output docs/study.webp --height 1200 --dark

Needs Chromium (Debian: chromium); draws without a GPU.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from chromium import FLAGS, find_chromium
from PIL import Image

from dreampgc.errors import MissingError
from dreampgc.images import save_image
from dreampgc.runs import find_run
from dreampgc.viewer.page import write_page

#: Milliseconds of the page's own clock: by then pictures are loaded and meshes drawn.
PATIENCE = 8000


def take(url: str, width: int, height: int, *, scale: float = 1.0, dark: bool = False) -> Image.Image:
    """The upper left ``width`` x ``height`` of a page; ``scale`` is how many pixels one of the page's becomes.

    Raises:
        MissingError: there is no Chromium.
    """
    program = find_chromium()
    if program is None:
        raise MissingError("taking pictures of pages needs Chromium (Debian: apt-get install chromium)")
    with tempfile.TemporaryDirectory() as folder:
        png = Path(folder) / "page.png"
        options = [f"--user-data-dir={folder}/profile", f"--window-size={width},{height}", f"--screenshot={png}"]
        options += [f"--force-device-scale-factor={scale}", f"--virtual-time-budget={PATIENCE}"]
        options += ["--run-all-compositor-stages-before-draw", *(["--blink-settings=preferredColorScheme=0"] * dark)]
        subprocess.run([program, *FLAGS, *options, url], check=True, capture_output=True, timeout=300)
        return Image.open(png).convert("RGB")


def main() -> None:
    """Take the picture and write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("places", nargs="+", metavar="RUN|URL", help="runs to view together, or one address")
    parser.add_argument("--output", type=Path, required=True, help=".webp, .png or .jpg")
    parser.add_argument("--width", type=int, default=1400)
    parser.add_argument("--height", type=int, default=1000)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--dark", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        url = arguments.places[0]
        if "://" not in url:
            page = Path(folder) / "page.html"
            write_page(page, [find_run(place) for place in arguments.places])
            url = page.as_uri()
        picture = take(url, arguments.width, arguments.height, scale=arguments.scale, dark=arguments.dark)
    save_image(arguments.output, np.asarray(picture))


if __name__ == "__main__":
    main()
