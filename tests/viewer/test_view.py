"""Integration: the page of runs in a real browser."""

from __future__ import annotations

import base64
import io
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from selenium.webdriver import ActionChains
from selenium.webdriver.remote.webelement import WebElement

from dreampgc.cli import run_command
from dreampgc.runs import Run
from dreampgc.viewer.page import make_page, write_page
from dreampgc.viewer.serving import PageServer
from tests.browser import Browser
from tests.viewer.runs import HOSTILE, cut, hostile, lose


def show(browser: Browser, folder: Path, *runs: Path, width: int = 1280) -> str:
    """Open the page of ``runs`` from a file, and wait until their meshes are drawn; returns its address."""
    write_page(folder / "page.html", [Run(run) for run in runs])
    url = (folder / "page.html").as_uri()
    browser.open(url, width=width)
    browser.wait(lambda: not browser.find_all("canvas[data-state=loading]"), "the meshes are not drawn")
    return url


def pixels(browser: Browser, canvas: WebElement) -> NDArray[np.uint8]:
    """``[H,W,4]`` of a canvas, without what is behind it."""
    url = browser.run("return arguments[0].toDataURL()", canvas)
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).convert("RGBA"))


def drawn(browser: Browser) -> list[NDArray[np.uint8]]:
    """The pixels of all canvases."""
    return [pixels(browser, canvas) for canvas in browser.find_all("canvas")]


def drag(browser: Browser, canvas: WebElement, across: int, down: int) -> None:
    """Take hold of the middle of a canvas and pull."""
    ActionChains(browser.driver).drag_and_drop_by_offset(canvas, across, down).perform()


def until_changed(browser: Browser, canvas: WebElement, before: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The pixels of a canvas when they are no longer ``before`` and stay as they are."""

    def settled() -> list[NDArray[np.uint8]]:
        first, second = pixels(browser, canvas), pixels(browser, canvas)
        return [first] if (first == second).all() and (first != before).any() else []

    return browser.wait(settled, "the picture does not change")[0]


def require_quiet(browser: Browser, url: str) -> None:
    """Nothing went wrong, and nothing was asked for but the page."""
    assert browser.problems() == []
    assert browser.requests() == [url]


@pytest.fixture
def four(finished: Path, tmp_path: Path) -> list[Path]:
    """Four copies of one run: what is true of one must be true of all."""
    return [shutil.copytree(finished, tmp_path / f"run-{number}") for number in range(4)]


def test_one_run_shows_its_mesh_in_colour_and_everything_else(browser: Browser, finished: Path, tmp_path: Path) -> None:
    url = show(browser, tmp_path, finished)
    [canvas] = drawn(browser)
    solid = canvas[..., 3] == 255
    assert 0.05 < solid.mean() < 0.8
    assert len(np.unique(canvas[solid], axis=0)) > 100
    rows, columns = np.nonzero(solid)
    middle = np.array([rows.min() + rows.max(), columns.min() + columns.max()]) / 2
    assert np.abs(middle / canvas.shape[:2] - 0.5).max() < 0.1  # it stands in the middle, whole
    assert not solid[[0, -1]].any() and not solid[:, [0, -1]].any()
    assert browser.find("h1").text == "a wooden car"
    assert [heading.text for heading in browser.find_all("h2")] == [
        "Training", "Previews", "Gradients", "Configuration",
    ]  # fmt: skip
    assert len(browser.find_all("figure.chart svg")) == 3
    sizes = browser.run("return [...document.images].map((image) => image.naturalWidth)")
    assert len(sizes) == 3 and all(sizes)
    assert "pgc-n" in browser.find(".settings").text
    require_quiet(browser, url)


def test_a_textured_mesh_shows_its_texture(browser: Browser, run: Path, tmp_path: Path) -> None:
    assert run_command(["export", str(run), "--texture-size", "64", "--quiet"]) == 0
    url = show(browser, tmp_path, run)
    [canvas] = drawn(browser)
    assert len(np.unique(canvas[canvas[..., 3] == 255], axis=0)) > 100
    require_quiet(browser, url)  # the texture goes through a blob, which the policy allows


def test_the_colours_are_the_mesh_s(browser: Browser, finished: Path, tmp_path: Path) -> None:
    """Albedo in the browser is albedo of the package's own renderer, seen from about the same side."""
    show(browser, tmp_path, finished)
    [shaded] = drawn(browser)
    choose(browser, "albedo")
    canvas = until_changed(browser, browser.find("canvas"), shaded)
    for mode in ("albedo", "depth"):
        look = ["--mode", mode, "--frames", "12", "--elevation", "18", "--resolution", "128", "--quiet"]
        assert run_command(["render", str(finished), *look, "--output", str(tmp_path / mode)]) == 0
    color, depth = (np.asarray(Image.open(tmp_path / mode / "frame-0001.png")) for mode in ("albedo", "depth"))
    inside = cv2.erode((depth[..., 0] > 0).astype(np.uint8), np.ones((5, 5))) > 0
    difference = canvas[canvas[..., 3] == 255][:, :3].mean(axis=0) - color[inside].mean(axis=0)
    assert np.abs(difference).max() < 4


def choose(browser: Browser, mode: str) -> None:
    """Press the button of a mode."""
    browser.find(f"input[value={mode}]").find_element("xpath", "..").click()


def test_each_mode_changes_the_picture_and_shaded_comes_back(browser: Browser, finished: Path, tmp_path: Path) -> None:
    url = show(browser, tmp_path, finished)
    canvas = browser.find("canvas")
    [shaded] = drawn(browser)
    seen = {"shaded": shaded}
    last = shaded
    for mode in ("albedo", "clay", "normals", "wireframe", "shaded"):
        choose(browser, mode)
        last = until_changed(browser, canvas, last)
        seen[mode] = last
    np.testing.assert_array_equal(seen["shaded"], shaded)
    solid = shaded[..., 3] == 255
    assert (np.ptp(seen["clay"][solid][:, :3].astype(int), axis=1) < 12).mean() > 0.95  # grey
    assert np.ptp(seen["normals"][solid][:, :3].astype(int), axis=0).min() > 120  # all directions
    darker = seen["wireframe"][solid].astype(int) - seen["clay"][solid]
    assert 0.02 < (darker[:, 0] < -15).mean() < 0.9  # lines, and clay between them
    require_quiet(browser, url)


def test_a_mesh_is_turned_by_the_mouse_and_by_keys_and_brought_back(
    browser: Browser, finished: Path, tmp_path: Path
) -> None:
    url = show(browser, tmp_path, finished)
    canvas = browser.find("canvas")
    [home] = drawn(browser)
    drag(browser, canvas, 120, 30)
    turned = until_changed(browser, canvas, home)
    browser.find(".tools button").click()
    back = until_changed(browser, canvas, turned)
    np.testing.assert_array_equal(back, home)
    canvas.send_keys("\ue012")  # the left arrow
    until_changed(browser, canvas, home)
    browser.find(".tools button").click()
    browser.wait(lambda: (pixels(browser, canvas) == home).all(), "the view does not come back")
    require_quiet(browser, url)


def test_the_wheel_zooms_only_a_view_that_was_taken_hold_of(browser: Browser, finished: Path, tmp_path: Path) -> None:
    show(browser, tmp_path, finished)
    canvas = browser.find("canvas")
    [home] = drawn(browser)

    def wheel() -> None:
        browser.run("arguments[0].dispatchEvent(new WheelEvent('wheel', { deltaY: -300, cancelable: true }))", canvas)

    wheel()
    np.testing.assert_array_equal(pixels(browser, canvas), home)
    browser.run("arguments[0].focus()", canvas)
    wheel()
    nearer = until_changed(browser, canvas, home)
    assert (nearer[..., 3] > 0).sum() > 1.1 * (home[..., 3] > 0).sum()


def test_four_runs_stand_side_by_side_and_turn_together(browser: Browser, four: list[Path], tmp_path: Path) -> None:
    url = show(browser, tmp_path, *four, width=1400)
    canvases = browser.find_all("canvas")
    before = drawn(browser)
    assert len(before) == 4
    assert len({canvas.rect["y"] for canvas in canvases}) == 1
    assert (before[0][..., 3] == 255).mean() > 0.05
    for other in before[1:]:
        np.testing.assert_array_equal(other, before[0])
    drag(browser, canvases[1], 60, 20)
    turned = until_changed(browser, canvases[1], before[1])
    for canvas in canvases:
        browser.wait(lambda: (pixels(browser, canvas) == turned).all(), "a camera was left behind")  # noqa: B023
    browser.find("input[name=linked]").click()
    drag(browser, canvases[2], -60, 10)
    until_changed(browser, canvases[2], turned)
    for number in (0, 1, 3):
        np.testing.assert_array_equal(pixels(browser, canvases[number]), turned)
    require_quiet(browser, url)


def test_several_runs_share_sections_and_sliders(browser: Browser, four: list[Path], tmp_path: Path) -> None:
    for run in four:
        shutil.copy(run / "previews" / "step-000003.png", run / "previews" / "step-000002.png")
    Image.new("RGB", (64, 32), "red").save(four[0] / "previews" / "step-000002.png")
    text = (four[1] / "config.toml").read_text()
    (four[1] / "config.toml").write_text(text.replace("\nscale = 5.0", "\nscale = 7.5"))
    url = show(browser, tmp_path, *four)
    assert browser.find("h1").text == "4 runs"
    assert len(browser.find_all("figure.chart")) == 12
    rows = [row.text for row in browser.find_all("table")[0].find_elements("css selector", "tr")]
    assert rows[1:] == ["guidance.scale 5.0 7.5 5.0 5.0"]
    previews = browser.find_all("img.preview")
    late = [image.get_attribute("src") for image in previews]
    browser.find("input[type=range]").send_keys("\ue012")
    early = [image.get_attribute("src") for image in previews]
    assert browser.find("output").text == "step 2"
    assert early[0] != late[0] and early[1:] == late[1:]
    require_quiet(browser, url)


def test_a_curve_tells_its_values_under_the_pointer(browser: Browser, finished: Path, tmp_path: Path) -> None:
    url = show(browser, tmp_path, finished)
    figure = browser.find("figure.chart")
    assert figure.find_element("css selector", "figcaption").text.splitlines() == ["Loss"]
    ActionChains(browser.driver).move_to_element(figure.find_element("css selector", "svg")).perform()
    title, value = figure.find_element("css selector", "figcaption").text.splitlines()
    assert title.startswith("Loss, step ")
    float(value)
    require_quiet(browser, url)


def test_a_page_is_dark_where_people_like_it_so(browser: Browser, finished: Path, tmp_path: Path) -> None:
    show(browser, tmp_path, finished)
    light = browser.picture()[2, 2]
    browser.open((tmp_path / "page.html").as_uri(), dark=True)
    assert light.min() > 230 and browser.picture()[2, 2].max() < 40


@pytest.mark.parametrize("width", [500, 800])
def test_narrow_windows_need_no_scrolling_sideways(
    browser: Browser, four: list[Path], tmp_path: Path, width: int
) -> None:
    show(browser, tmp_path, *four, width=width)
    assert browser.run("return document.documentElement.scrollWidth <= window.innerWidth")


def test_a_run_that_lost_half_of_its_files_shows_the_rest(browser: Browser, four: list[Path], tmp_path: Path) -> None:
    whole, poor, cut_mesh, odd = four
    lose(poor, "run.json", "mesh.glb", "previews", "turntable.webp")
    cut(cut_mesh / "mesh.glb")
    (odd / "metrics.jsonl").write_text('{"step": 0, "loss": null}\n')
    url = show(browser, tmp_path, whole, poor, cut_mesh, odd)
    said = [[item.text for item in card.find_elements("css selector", ".problems li")] for card in cards(browser)]
    assert [len(problems) for problems in said] == [0, 4, 1, 0]
    assert said[1][1].startswith("mesh.glb is missing: `dreampgc export run-1 --format glb`")
    assert said[2][0].startswith("mesh.glb is damaged")
    assert [(canvas[..., 3] == 255).mean() > 0.05 for canvas in drawn(browser)] == [True, True]
    assert len(browser.find_all(".stage.empty")) == 2
    assert len(browser.find_all("figure.chart")) == 9
    require_quiet(browser, url)
    drag(browser, browser.find_all("canvas")[0], 50, 0)  # the cameras of what there is are linked all the same
    one, other = browser.find_all("canvas")
    browser.wait(lambda: (pixels(browser, one) == pixels(browser, other)).all(), "a camera was left behind")


def cards(browser: Browser) -> list[WebElement]:
    return browser.find_all("article.card")


def test_a_mesh_that_only_the_browser_cannot_read_is_said(browser: Browser, run: Path, tmp_path: Path) -> None:
    content = (run / "mesh.glb").read_bytes()
    (run / "mesh.glb").write_bytes(content.replace(b'"mode":4', b'"mode":9'))
    show(browser, tmp_path, run)
    assert browser.find(".stage p").text.startswith("The mesh cannot be shown: ")
    assert browser.find_all("figure.chart")


def test_a_run_of_one_image_stands_beside_meshes(browser: Browser, four: list[Path], tmp_path: Path) -> None:
    flat, *others = four
    Image.new("RGB", (64, 64), "red").save(flat / "image.png")
    Run(flat).update(task="image2d")
    lose(flat, "mesh.glb", "turntable.webp")
    url = show(browser, tmp_path, flat, *others)
    red = browser.picture(browser.find(".stage img"))
    assert np.abs(red[20:-20, 20:-20].astype(int) - [255, 0, 0]).max() < 8
    assert len(drawn(browser)) == 3
    assert browser.find_all(".problems") == []
    require_quiet(browser, url)


def test_hostile_texts_are_shown_as_they_are(browser: Browser, run: Path, tmp_path: Path) -> None:
    lose(hostile(run), "mesh.glb")
    url = show(browser, tmp_path, run)
    words = " ".join(HOSTILE.split())
    assert browser.run("return document.querySelector('h1').textContent.replace(/\\s+/g, ' ')").startswith(words)
    assert browser.driver.title.startswith("</script><script>alert(1)")
    assert browser.find_all("img[onerror]") == [] and len(browser.find_all("body script")) == 5
    require_quiet(browser, url)


@pytest.fixture
def served(run: Path) -> Iterator[PageServer]:
    """The page of a run, on a port of this machine."""
    with PageServer(lambda: make_page([Run(run)])) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_served_page_shows_the_run_as_it_is_now(browser: Browser, served: PageServer, run: Path) -> None:
    for prompt in ("a wooden car", "a stone castle"):
        Run(run).update(prompt=prompt)
        browser.open(served.url)
        browser.wait(lambda: browser.find_all("canvas[data-state=shown]"), "the mesh is not drawn")
        assert browser.find("h1").text == prompt
        require_quiet(browser, served.url)
