"""Chromium without a window and without a GPU: for pictures of pages, and for the tests of pages."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from dreampgc.errors import MissingError

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

FLAGS = (
    "--headless",
    "--no-sandbox",  # containers often run as root
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


def start_chromium(profile: Path, *flags: str) -> Chrome:
    """Start Chromium with a new ``profile`` folder; selenium's driver keeps the logs of console and network.

    Raises:
        MissingError: the browser, its driver or selenium is not installed.
    """
    program, driver = shutil.which("chromium") or shutil.which("google-chrome"), shutil.which("chromedriver")
    if program is None or driver is None:
        raise MissingError("needs Chromium and its driver (Debian: apt-get install chromium chromium-driver)")
    try:
        from selenium import webdriver
    except ImportError as error:
        raise MissingError("needs selenium: pip install selenium") from error
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for flag in (*FLAGS, *flags, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))


def prefer_dark(chrome: Chrome, dark: bool) -> None:
    """Let pages know whether people like them dark."""
    feature = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
