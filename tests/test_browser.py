"""Fault: the browser of the tests sees what a bad page does, and draws WebGL."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.browser import VARIABLE, Browser, start

_BAD = """<!doctype html><title>bad</title><link rel="icon" href="data:,"><script>
console.warn("a warning");
fetch("http://example.com/outside").catch(() => {});
new WebSocket("ws://example.com/socket");
setTimeout(() => { throw new Error("a bug"); });
</script>"""

_DRAWING = """<!doctype html><title>drawing</title><link rel="icon" href="data:,"><style>body { margin: 0 }</style>
<canvas width="64" height="64"></canvas><script>
const gl = document.querySelector("canvas").getContext("webgl2");
gl.clearColor(1, 0, 0, 1);
gl.clear(gl.COLOR_BUFFER_BIT);
</script>"""


def test_problems_and_requests_of_a_bad_page_show(browser: Browser, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(_BAD)
    browser.open(page.as_uri())
    seen: list[str] = []

    def all_there() -> bool:
        seen.extend(browser.problems())
        return all(any(part in line for line in seen) for part in ("a warning", "a bug", "outside", "socket"))

    browser.wait(all_there, "not every problem showed")
    assert set(browser.requests()) >= {page.as_uri(), "http://example.com/outside", "ws://example.com/socket"}
    browser.open("about:blank")
    assert (browser.problems(), browser.requests()) == ([], [])


def test_a_missing_browser_skips_or_fails_as_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    for told, outcome in (("", pytest.skip.Exception), ("required", pytest.fail.Exception)):
        monkeypatch.setenv(VARIABLE, told)
        with pytest.raises(outcome, match="needs Chromium"):
            start(tmp_path)


def test_webgl_is_drawn(browser: Browser, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(_DRAWING)
    browser.open(page.as_uri())
    np.testing.assert_array_equal(browser.picture(browser.find("canvas"))[5, 5], [255, 0, 0])
    assert browser.problems() == []
    assert browser.requests() == [page.as_uri()]
