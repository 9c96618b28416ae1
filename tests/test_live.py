"""Property and integration: people may watch a field while it trains, and it trains as if nobody did."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from dreampgc import pipeline
from dreampgc.cameras import Views
from dreampgc.console import Console
from dreampgc.live import EVERY, HEIGHT, LiveView, live_view, view_of
from dreampgc.priors.catalog import PriorSource
from dreampgc.priors.diffusion import DiffusionPrior
from tests.browser import Browser
from tests.small_runs import final_state, metrics, small_config

QUIET = Console(quiet=True)


def camera(*position: float, fov: float = 0.8, aspect: float = 1.5) -> SimpleNamespace:
    """What viser tells of a client's camera; angles in radians."""
    return SimpleNamespace(position=np.array(position), fov=fov, aspect=aspect)


class Client:
    """A client of viser that keeps what it is shown."""

    def __init__(self, *position: float) -> None:
        self.camera = camera(*position)
        self.frames: list[NDArray[np.uint8]] = []
        self.scene = SimpleNamespace(set_background_image=lambda frame, **options: self.frames.append(frame))


def draw(views: Views, height: int, width: int) -> NDArray[np.uint8]:
    """A picture as red as its camera is high."""
    frame = np.zeros((len(views), height, width, 3), np.uint8)
    frame[..., 0] = round(float(views.elevation[0]) + 90)
    return frame


@given(*[st.floats(-3, 3)] * 3)
def test_a_view_is_taken_from_where_the_camera_stands(x: float, y: float, z: float) -> None:
    if np.hypot(x, z) < 1e-3:  # right above, where the azimuth means nothing
        return
    view = view_of(camera(x, y, z))
    torch.testing.assert_close(view.positions()[0], torch.tensor([x, y, z]), atol=1e-3, rtol=0)
    assert view.fov.item() == pytest.approx(np.degrees(0.8), rel=1e-5)
    assert view_of(camera(0, 0, 0)).positions().isfinite().all()


def test_who_moves_is_answered_at_once_and_who_stands_still_now_and_then() -> None:
    still, moving, note = Client(0, 0, 2), Client(0, 0, 2), SimpleNamespace(content="")
    watch = LiveView(lambda: {0: still, 1: moving}, note)
    for done in range(1, 2 * EVERY + 1):
        moving.camera.position = np.array([0.1 * done, 1, 2])
        watch(draw, done)
    assert note.content == f"step {2 * EVERY}"
    assert (len(still.frames), len(moving.frames)) == (2, 2 * EVERY)
    assert still.frames[0].shape == (HEIGHT, 1.5 * HEIGHT, 3)
    assert (still.frames[0][..., 0] == 90).all() and (moving.frames[0][..., 0] > 90).all()


def test_nothing_is_drawn_for_nobody() -> None:
    note = SimpleNamespace(content="")
    LiveView(dict, note)(lambda *_: pytest.fail("drawn for nobody"), 1)
    assert note.content == ""


@pytest.mark.parametrize("method", ["pgc-n", "latent"])
def test_a_watched_run_comes_out_bit_for_bit_as_an_unwatched_one(
    tmp_path: Path, mini: DiffusionPrior, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    monkeypatch.setattr(PriorSource, "load", lambda source, device, dtype=None: mini)
    config = small_config(loop__steps=4, guidance__method=method)
    client = Client(1, 1, 2)
    watch = LiveView(lambda: {0: client}, SimpleNamespace())

    def restless(look: pipeline.Look, done: int) -> None:
        client.camera.position = client.camera.position + 0.1
        watch(look, done)

    pipeline.create(config, tmp_path / "watched", QUIET, restless)
    pipeline.create(config, tmp_path / "alone", QUIET)
    assert final_state(tmp_path / "watched", 4) == final_state(tmp_path / "alone", 4)
    assert metrics(tmp_path / "watched") == metrics(tmp_path / "alone")
    assert (tmp_path / "watched" / "mesh.glb").read_bytes() == (tmp_path / "alone" / "mesh.glb").read_bytes()
    assert len(client.frames) == 4
    for frame in client.frames:
        assert frame.shape == (HEIGHT, 1.5 * HEIGHT, 3)
        assert frame.std() > 1  # there is something to see


def test_a_browser_sees_the_field_from_where_it_looks(browser: Browser, capsys: pytest.CaptureFixture[str]) -> None:
    """With viser itself: red in the middle of the window is the picture that was drawn for this camera."""
    with live_view(Console(json=True)) as watch:
        [event] = map(json.loads, capsys.readouterr().out.splitlines())
        browser.open(event["url"])
        done = 0
        # The page's camera begins in front, from the right and from above.
        expected = 90 + np.degrees(np.arcsin(0.7 / np.linalg.norm([1.2, 0.7, 2.1])))

        def shown() -> bool:
            nonlocal done
            done += 1
            watch(draw, done)
            seen = browser.picture()[300:400, 600:700].reshape(-1, 3).mean(axis=0)
            return bool(np.abs(seen - [expected, 0, 0]).max() < 6)

        browser.wait(shown, "the picture does not come")
        outside = [url for url in browser.requests() if not url.startswith(event["url"])]
        assert [url for url in outside if not url.startswith(event["url"].replace("http", "ws"))] == []
    assert capsys.readouterr().out == ""
