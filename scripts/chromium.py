"""Chromium without a window and without a GPU: for pictures of pages, and for the tests of pages."""

from __future__ import annotations

import shutil

FLAGS = (
    "--headless",
    "--no-sandbox",  # the automation's user is root
    "--no-first-run",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--hide-scrollbars",
)


def find_chromium() -> str | None:
    """The path of the program, or None."""
    return shutil.which("chromium") or shutil.which("google-chrome")
