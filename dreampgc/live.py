"""The field while it trains, in browsers on this machine: each looks from where it wants, by the package viser.

Nothing here changes what is trained: pictures are drawn between two steps, without gradients and without chance.
"""

from __future__ import annotations

import importlib
import importlib.util
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import rich

from dreampgc.console import Console
from dreampgc.errors import MissingError

if TYPE_CHECKING:
    from dreampgc.cameras import Views

HOST = "127.0.0.1"
#: The first port that is tried.
PORT = 8080
#: Rows of a picture. It is drawn by the machine that trains, in time that training waits.
HEIGHT = 160
#: A camera that stands still sees a new picture after so many steps; one that moved, after the next step.
EVERY = 5


def require_viser() -> None:
    """Raise MissingError where viser is not installed."""
    if importlib.util.find_spec("viser") is None:
        raise MissingError("--live needs the extra `live`: pip install 'dreampgc[live]'")


@contextmanager
def live_view(console: Console) -> Iterator[LiveView]:
    """Serve the page until the block ends, and say where it is."""
    viser: Any = importlib.import_module("viser")
    voice = rich.get_console()
    voice.quiet = True  # viser's own words go to stdout, which is for our events
    server = viser.ViserServer(host=HOST, port=PORT, label="dreampgc", verbose=False)
    try:
        server.gui.configure_theme(show_logo=False, show_share_button=False)  # sharing would go through the internet
        server.scene.set_up_direction("+y")
        server.initial_camera.position, server.initial_camera.look_at = (1.2, 0.7, 2.1), (0.0, 0.0, 0.0)
        url = f"http://{HOST}:{server.get_port()}/"
        console.info(f"live: see {url} (Ctrl-C stops the run)")
        console.event("live", url=url)
        yield LiveView(server.get_clients, server.gui.add_markdown("loading"))
    finally:
        server.stop()
        voice.quiet = False


class LiveView:
    """Is told of each step, and draws for each client. ``clients`` gives viser's, ``note`` is its line of text."""

    def __init__(self, clients: Callable[[], Mapping[int, Any]], note: Any) -> None:
        self._clients, self._note = clients, note
        #: What each client saw last: its camera, and after how many steps.
        self._seen: dict[int, tuple[tuple[float, ...], int]] = {}

    def __call__(self, look: Callable[[Views, int, int], Any], done: int) -> None:
        """Draw the field by ``look`` for who moved, and for who has seen nothing new for `EVERY` steps."""
        clients = self._clients()
        if clients:
            self._note.content = f"step {done}"
        for number, client in clients.items():
            camera = client.camera
            place = (*map(float, camera.position), float(camera.fov), float(camera.aspect))
            before, step = self._seen.get(number, ((), 0))
            if place != before or done >= step + EVERY:
                self._seen[number] = (place, done)
                width = max(1, round(HEIGHT * camera.aspect))
                frame = look(view_of(camera), HEIGHT, width)[0]
                client.scene.set_background_image(frame, format="jpeg", jpeg_quality=90)


def view_of(camera: Any) -> Views:
    """The view from where a client's camera stands: it looks at the origin, and its up is +y, as all ours do."""
    from dreampgc.cameras import fixed_views

    x, y, z = (float(value) for value in camera.position)
    distance = max(math.hypot(x, y, z), 1e-6)
    azimuth, elevation, fov = map(math.degrees, (math.atan2(x, z), math.asin(y / distance), camera.fov))
    return fixed_views([azimuth], elevation=elevation, distance=distance, fov=fov)
