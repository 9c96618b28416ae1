"""Integration: pictures of pages have the size, the place and the colours that were asked for."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import screenshot
from PIL import Image

from tests.browser import Browser

_PAGE = """<!doctype html><style>body { margin: 0; background: #fff }
@media (prefers-color-scheme: dark) { body { background: #000 } }
div { width: 100px; height: 50px; background: #f00 }</style><div></div>"""


def test_a_page_is_pictured_by_its_address(browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "page.html").write_text(_PAGE)
    output = tmp_path / "page.png"
    line = [(tmp_path / "page.html").as_uri(), "--output", str(output), "--width", "500", "--height", "200"]
    monkeypatch.setattr(sys, "argv", ["screenshot.py", *line, "--scale", "2", "--dark", "--pause", "0"])
    screenshot.main()
    picture = np.asarray(Image.open(output))
    assert picture.shape == (400, 1000, 3)
    assert (picture[:99, :199] == [255, 0, 0]).all()
    assert (picture[102:, 202:] == 0).all()


def test_runs_are_pictured_on_the_page_that_shows_them(
    browser: Browser, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "view.webp"
    monkeypatch.setattr(sys, "argv", ["screenshot.py", str(finished), "--output", str(output), "--height", "700"])
    screenshot.main()
    with Image.open(output) as picture:
        assert picture.size == (1400, 700)
        stage = np.asarray(picture.convert("RGB"), int)[250:650, 200:900]
    assert (np.ptp(stage, axis=-1) > 20).mean() > 0.05  # the mesh has colour, its surroundings have none
