"""The study's HTTP server: brings requests to the application and answers back, with headers that keep both safe."""

from __future__ import annotations

import socket
import sys
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from typing import Any

from dreampgc.console import Console
from dreampgc.errors import DreamError, InputError
from dreampgc.viewer.study.application import LARGEST_BODY, Application, Request, Response, refusal

#: Seconds that a client may leave the server waiting in the middle of a request.
PATIENCE = 20.0
#: Bytes of a body that is too large that are read all the same, so that the client gets to read the refusal.
_DRAINED = 1 << 20
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self' data: blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


class StudyServer(ThreadingTCPServer):
    """Serves an application on ``host`` and ``port`` (0: any that is free), a thread for each connection.

    Not `http.server.HTTPServer`, which asks the network for this machine's name as it starts.
    """

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 1024  # a class that is told to vote now

    def __init__(self, application: Application, console: Console, host: str, port: int) -> None:
        """Bind, so that `port` is known; `serve_forever` serves. Raises InputError if the address cannot be had."""
        self.application, self.console = application, console
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            super().__init__((host, port), _Handler)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise InputError(
                f"cannot serve on {host}, port {port} ({reason}): choose another --host or --port"
            ) from error

    @property
    def port(self) -> int:
        """The port that it is bound to."""
        return self.server_address[1]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say in one line what went wrong in a connection's thread; clients that leave are no error."""
        error = sys.exception()
        if not isinstance(error, (ConnectionError, TimeoutError)):
            self.console.warn(f"a request failed ({type(error).__name__}: {error})")


class _Handler(BaseHTTPRequestHandler):
    """One connection with one request."""

    server: StudyServer  # pyright: ignore[reportIncompatibleVariableOverride]
    server_version, sys_version = "dreampgc", ""
    timeout = PATIENCE

    def _handle(self) -> None:
        try:
            response = self._read_body()
            if not isinstance(response, Response):
                headers = {key.lower(): value for key, value in self.headers.items()}
                method = "GET" if self.command == "HEAD" else self.command
                response = self.server.application.answer(Request(method, self.path, headers, response))
        except DreamError as error:
            self.server.console.warn(str(error))
            response = refusal(503, "This did not work. Please try again.", api=self.path.startswith("/api/"))
        except TimeoutError:
            response = refusal(408, "The request did not come to its end.")
        self._send(response)

    do_GET = do_HEAD = do_POST = _handle  # noqa: N815 - http.server's names

    def _read_body(self) -> bytes | Response:
        """The body, or the refusal of one that is too large or does not say how long it is."""
        if "transfer-encoding" in self.headers:
            return refusal(411, "The request does not say how long it is.")
        length = self.headers.get("content-length", "0")
        if not (length.isascii() and length.isdigit()):
            return refusal(400, "The request does not say how long it is.")
        if len(length) > 9 or int(length) > LARGEST_BODY:
            self.rfile.read(min(int(length[:9]), _DRAINED))
            return refusal(413, "That is too much.")
        return self.rfile.read(int(length))

    def _send(self, response: Response) -> None:
        self.send_response(response.status)
        caching = f"private, max-age={response.age}" if response.age else "no-store"
        headers = {**_HEADERS, "Content-Type": response.type, "Content-Length": str(len(response.body))}
        for key, value in {**headers, "Cache-Control": caching, **response.headers}.items():
            self.send_header(key, value)
        for cookie in response.cookies:
            self.send_header("Set-Cookie", cookie)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(response.body)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Refuse what `http.server` cannot read, and methods that it does not know, which are no fault of ours."""
        status = HTTPStatus.METHOD_NOT_ALLOWED if code == HTTPStatus.NOT_IMPLEMENTED else HTTPStatus(code)
        self.request_version = "HTTP/1.0"  # with that of 1991, which is taken for granted here, there are no headers
        self._send(refusal(status, f"{HTTPStatus(status).phrase}."))

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing: who asks for what is nobody's business."""
