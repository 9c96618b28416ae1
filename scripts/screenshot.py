"""Take a picture of a page as Chromium draws it: of the view of runs, or of any page by its address.

    python scripts/screenshot.py runs/A --output docs/view-one.webp
    python scripts/screenshot.py runs/A runs/B runs/C runs/D --output docs/view-four.webp
    python scripts/screenshot.py http://127.0.0.1:8000/?token=... --output docs/study.webp --height 1200 --dark

Needs Chromium and its driver (Debian: chromium, chromium-driver) and selenium; draws without a GPU.
"""

from __future__ import annotations

import argparse
import io
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from chromium import prefer_dark, start_chromium
from PIL import Image

from dreampgc.images import save_image
from dreampgc.runs import find_run
from dreampgc.viewer.page import write_page

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

#: Seconds until the meshes of a view must be drawn.
PATIENCE = 120.0


def take(
    url: str, width: int, height: int, *, scale: float = 1.0, dark: bool = False, pause: float = 0.5
) -> Image.Image:
    """The upper left ``width`` x ``height`` of a page, ``pause`` seconds after it is there and its meshes are drawn.

    ``scale`` is how many pixels one of the page's becomes.

    Raises:
        MissingError: there is no Chromium, no driver of it, or no selenium.
    """
    with tempfile.TemporaryDirectory() as folder:
        chrome = start_chromium(Path(folder))
        try:
            prefer_dark(chrome, dark)
            metrics = {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": False}
            chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
            chrome.get(url)
            _wait_for_meshes(chrome)
            time.sleep(pause)
            return Image.open(io.BytesIO(chrome.get_screenshot_as_png())).convert("RGB")
        finally:
            chrome.quit()


def _wait_for_meshes(chrome: Chrome) -> None:
    deadline = time.monotonic() + PATIENCE
    while chrome.find_elements("css selector", "canvas[data-state=loading]"):
        if time.monotonic() > deadline:
            raise TimeoutError(f"the page's meshes were not drawn within {PATIENCE:.0f} s")
        time.sleep(0.1)


def main() -> None:
    """Take the picture and write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("places", nargs="+", metavar="RUN|URL", help="runs to view together, or one address")
    parser.add_argument("--output", type=Path, required=True, help=".webp, .png or .jpg")
    parser.add_argument("--width", type=int, default=1400)
    parser.add_argument("--height", type=int, default=1000)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--dark", action="store_true")
    parser.add_argument("--pause", type=float, default=0.5, help="seconds before the picture is taken")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        url = arguments.places[0]
        if "://" not in url:
            page = Path(folder) / "page.html"
            write_page(page, [find_run(place) for place in arguments.places])
            url = page.as_uri()
        look = {"scale": arguments.scale, "dark": arguments.dark, "pause": arguments.pause}
        picture = take(url, arguments.width, arguments.height, **look)
    save_image(arguments.output, np.asarray(picture))


if __name__ == "__main__":
    main()
