"""A page on this machine's own address, for the browsers of this machine."""

from __future__ import annotations

from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer

from dreampgc.errors import InputError

HOST = "127.0.0.1"


class PageServer(ThreadingTCPServer):
    """Serves what ``make`` returns, made anew for each visit; ``port`` 0 takes any that is free.

    Not `http.server.HTTPServer`, which asks the network for this machine's name as it starts.

    Raises:
        InputError: the port cannot be had.
    """

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, make: Callable[[], str], port: int = 0) -> None:
        self.make = make
        try:
            super().__init__((HOST, port), _Handler)
        except OSError as error:
            raise InputError(f"cannot serve on {HOST}:{port}: {error.strerror}; --port 0 takes a free one") from error

    @property
    def port(self) -> int:
        """The port that it is bound to."""
        return self.server_address[1]

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://{HOST}:{self.port}/"


class _Handler(BaseHTTPRequestHandler):
    """Answers for the one page, and only to who asks for this machine by its own name.

    A foreign site can point its name at 127.0.0.1, and its scripts could then read the page here; but what it asks
    for carries that name.
    """

    server: PageServer  # pyright: ignore[reportIncompatibleVariableOverride]

    def do_GET(self) -> None:
        """The page for ``/``."""
        names = {f"{name}:{self.server.port}" for name in (HOST, "localhost")}
        if self.headers.get("Host") not in names:
            self.send_error(403, "Only for this machine")
        elif self.path != "/":
            self.send_error(404)
        else:
            self._answer(self.server.make().encode())

    def _answer(self, content: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: visits are nobody's business."""
