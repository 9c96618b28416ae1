"""A real Chromium for tests of pages: headless, WebGL drawn in software, nothing but this machine within reach.

The fixture ``browser`` (in ``tests/conftest.py``) starts one for the whole session:

    def test_page(browser: Browser) -> None:
        browser.open("file:///.../page.html")
        browser.driver.find_element("css selector", "button").click()
        assert browser.problems() == []
        assert browser.requests() == ["file:///.../page.html"]
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from chromium import prefer_dark, start_chromium
from numpy.typing import NDArray
from PIL import Image

from dreampgc.errors import MissingError

if TYPE_CHECKING:
    from selenium.webdriver import Chrome
    from selenium.webdriver.remote.webelement import WebElement

#: Set to "required" where a missing browser must fail the tests instead of skipping them.
VARIABLE = "DREAMPGC_BROWSER_TESTS"
#: Seconds until something on a page must have happened; software WebGL on a busy machine takes its time.
PATIENCE = 60.0
#: What a page wrongly asks for fails at once, and shows among the problems.
OFFLINE = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost"


class Browser:
    """A window of Chromium; ``driver`` is selenium's, for everything that has no method here."""

    def __init__(self, driver: Chrome) -> None:
        self.driver = driver

    def open(self, url: str, *, width: int = 1280, height: int = 900, dark: bool = False) -> None:
        """Load a page in a window of this size; problems and requests are counted from here."""
        self.driver.get("about:blank")
        self.driver.set_window_size(width, height)
        prefer_dark(self.driver, dark)
        for log in ("browser", "performance"):
            self.driver.get_log(log)
        self.driver.get(url)

    def problems(self) -> list[str]:
        """Warnings and errors of the console since the last call: exceptions, refused resources, broken policies."""
        entries = self.driver.get_log("browser")
        messages = [entry["message"] for entry in entries if entry["level"] in ("WARNING", "SEVERE")]
        # The software driver says how slow it is to take a picture.
        return [message for message in messages if "GPU stall due to ReadPixels" not in message]

    def requests(self) -> list[str]:
        """The addresses asked for since the last call, without those inside the page (``data:`` and ``blob:``)."""
        messages = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        sent = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
        sockets = [m["params"]["url"] for m in messages if m["method"] == "Network.webSocketCreated"]
        return [url for url in sent + sockets if not url.startswith(("data:", "blob:", "about:"))]

    def find(self, selector: str) -> WebElement:
        """The first element that the CSS ``selector`` names."""
        return self.driver.find_element("css selector", selector)

    def find_all(self, selector: str) -> list[WebElement]:
        """All elements that the CSS ``selector`` names."""
        return self.driver.find_elements("css selector", selector)

    def run(self, script: str, *arguments: Any) -> Any:
        """What the JavaScript ``script`` returns; it finds its ``arguments`` in ``arguments``."""
        return self.driver.execute_script(script, *arguments)

    def wait(self, condition: Callable[[], Any], what: str) -> Any:
        """Wait until ``condition()`` is true, and return it; fails with ``what`` after `PATIENCE` seconds."""
        from selenium.webdriver.support.ui import WebDriverWait

        return WebDriverWait(self.driver, PATIENCE, 0.1).until(lambda _: condition(), what)

    def picture(self, element: WebElement | None = None) -> NDArray[np.uint8]:
        """``[H,W,3]`` pixels of the window, or of an element, as they are on the screen."""
        png = self.driver.get_screenshot_as_png() if element is None else element.screenshot_as_png
        return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def start(profile: Path) -> Browser:
    """Start Chromium with a new ``profile`` folder; skips the test where there is none, unless one is required."""
    try:
        chrome = start_chromium(profile, OFFLINE)
    except MissingError as error:
        pytest.fail(str(error)) if os.environ.get(VARIABLE) == "required" else pytest.skip(str(error))
    chrome.set_page_load_timeout(PATIENCE)
    chrome.set_script_timeout(PATIENCE)
    return Browser(chrome)
