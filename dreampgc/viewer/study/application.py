"""What a study answers to a request: pages, the voter's next question, meshes, votes, results."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from string import Template
from typing import Any
from urllib.parse import parse_qs

from dreampgc.errors import InputError
from dreampgc.viewer.study.access import Access, Role
from dreampgc.viewer.study.ballots import Ballots
from dreampgc.viewer.study.glb import anonymous_glb
from dreampgc.viewer.study.results import results_csv, results_page
from dreampgc.viewer.study.votes import Vote, Votes

STATIC = Path(__file__).parent / "static"
SHARED = STATIC.parent.parent / "static"
#: Files for everybody, by path: they hold nothing of the study.
FILES = {
    "/study.css": (STATIC / "study.css", "text/css"),
    "/study.js": (STATIC / "study.js", "text/javascript"),
    "/scene.js": (SHARED / "scene.js", "text/javascript"),
    "/three.js": (SHARED / "three.js", "text/javascript"),
}
#: Bytes that a vote may have; it needs about a hundred.
LARGEST_BODY = 4096
#: Seconds for which a browser keeps its cookies: half a year.
_LIFE = 180 * 86400
_HTML, _JSON = "text/html; charset=utf-8", "application/json"


@dataclass(frozen=True)
class Request:
    """A request: ``target`` is path and query as sent, ``headers`` have lower-case names."""

    method: str
    target: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def path(self) -> str:
        """The path as sent: nothing is decoded, so that nothing can hide in it."""
        return self.target.partition("?")[0]

    @property
    def token(self) -> str | None:
        """The token in the query."""
        query = self.target.partition("?")[2]
        return parse_qs(query).get("token", [None])[0]

    def cookie(self, name: str) -> str | None:
        """The value of a cookie. Cookies of other programs on this machine, which come along, may be of any form."""
        pairs = (part.strip().partition("=") for part in self.headers.get("cookie", "").split(";"))
        return next((value for key, _, value in pairs if key == name), None)


@dataclass(frozen=True)
class Response:
    """An answer; ``age`` is for how many seconds a browser may keep it."""

    status: int
    type: str
    body: bytes
    cookies: tuple[str, ...] = ()
    age: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)


class Refused(Exception):
    """A request that is not answered, with the status of the refusal and a sentence that says why."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


class Application:
    """One study. Every method may be called by several threads at once."""

    def __init__(self, ballots: Ballots, votes: Votes, access: Access, ask: str) -> None:
        self._ballots, self._votes, self._access, self._ask = ballots, votes, access, ask
        # Cookies don't tell ports apart: two studies on one machine must not share them.
        self._study = f"study-{ballots.digest('cookies')[:8]}"
        self._page = (STATIC / "study.html").read_bytes()

    def answer(self, request: Request) -> Response:
        """The answer to ``request``; a refusal is one too.

        Raises:
            DreamError: the database fails.
        """
        try:
            return self._route(request)(request)
        except Refused as refused:
            return refusal(refused.status, refused.message, api=request.path.startswith("/api/"))

    def _route(self, request: Request) -> Callable[[Request], Response]:
        """What answers the request, if anything does and it comes from where it may."""
        if not self._access.knows(request.headers.get("host")):
            raise Refused(403, "This study is not served under that name.")
        if not self._access.trusts(request.headers.get("origin"), request.headers.get("host")):
            raise Refused(403, "Another page asked for this.")
        routes: dict[str, tuple[str, Callable[[Request], Response]]] = {
            "/": ("GET", self._index),
            "/api/state": ("GET", self._state),
            "/api/votes": ("POST", self._vote),
            "/results": ("GET", self._results),
            "/results.csv": ("GET", self._table),
            **dict.fromkeys(FILES, ("GET", self._file)),
        }
        mesh = ("GET", self._mesh) if request.path.startswith("/meshes/") else None
        method, answer = routes.get(request.path) or mesh or (None, None)
        if answer is None:
            raise Refused(404, "There is no such page.")
        if request.method != method:
            raise Refused(405, "This cannot be done here.")
        return answer

    # Pages

    def _index(self, request: Request) -> Response:
        if request.token is not None and self._access.tokens is not None:
            return self._admit(request, "voter")
        self._require(request, "voter")
        cookies = () if self._known_voter(request) else (self._cookie("voter", secrets.token_urlsafe(16)),)
        return Response(200, _HTML, self._page, cookies)

    def _results(self, request: Request) -> Response:
        if request.token is not None and self._access.tokens is not None:
            return self._admit(request, "owner")
        self._require(request, "owner")
        return Response(200, _HTML, results_page(self._votes.all(), self._ask).encode())

    def _table(self, request: Request) -> Response:
        self._require(request, "owner")
        attachment = {"Content-Disposition": 'attachment; filename="votes.csv"'}
        return Response(200, "text/csv; charset=utf-8", results_csv(self._votes.all()).encode(), headers=attachment)

    def _file(self, request: Request) -> Response:
        path, kind = FILES[request.path]
        return Response(200, f"{kind}; charset=utf-8", path.read_bytes(), age=600)

    def _admit(self, request: Request, role: Role) -> Response:
        """Turn the token of a link into a cookie.

        A page that goes on by itself, not a redirect: after a redirect, browsers count the next request as made by
        the page that the link was on, and send no ``SameSite=Strict`` cookie with it.
        """
        if not self._access.admits(role, request.token):
            raise Refused(403, "This link is not valid, or not complete. Please use the one that you were sent.")
        going_on = f'<meta http-equiv="refresh" content="0; url={request.path}">'
        cookie = self._cookie(f"{role}-token", request.token or "")
        return Response(200, _HTML, message_page("One moment", "", going_on), (cookie,))

    # What the voter's page asks for

    def _state(self, request: Request) -> Response:
        self._require(request, "voter")
        return self._next(self._voter(request))

    def _vote(self, request: Request) -> Response:
        self._require(request, "voter")
        voter = self._voter(request)
        name, mesh = _texts(request, "question", "mesh")
        question = self._ballots.question(name)
        method = self._ballots.method(question, mesh) if question is not None else None
        if question is None or method is None:
            raise Refused(404, "There is no such question, or it has no such model.")
        shown = tuple(self._ballots.methods(voter, question))
        self._votes.add(Vote(voter, question.key, question.prompt, shown, method))
        return self._next(voter)

    def _mesh(self, request: Request) -> Response:
        self._require(request, "voter")
        name = re.fullmatch(r"/meshes/([0-9a-f]{32})\.glb", request.path)
        path = self._ballots.mesh(name[1]) if name else None
        if path is None:
            raise Refused(404, "There is no such model.")
        try:
            return Response(200, "model/gltf-binary", anonymous_glb(path), age=600)
        except InputError:
            raise Refused(404, "This model is gone or damaged.") from None

    def _next(self, voter: str) -> Response:
        """How far the voter is, and the first question in the voter's order that has no vote yet."""
        order, answered = self._ballots.order(voter), self._votes.answered(voter)
        left = [question for question in order if question.key not in answered]
        state: dict[str, Any] = {"ask": self._ask, "answered": len(order) - len(left), "total": len(order)}
        if left:
            name, meshes = self._ballots.names(voter, left[0])
            state["question"] = {"id": name, "prompt": left[0].prompt, "meshes": meshes}
        return Response(200, _JSON, json.dumps(state).encode())

    # Who is asking

    def _require(self, request: Request, role: Role) -> None:
        kept = (request.cookie(f"{self._study}-{one}-token") for one in ("voter", "owner"))
        if not any(self._access.admits(role, token) for token in kept):
            whose = "the owner's link" if role == "owner" else "the link that you were sent"
            raise Refused(403, f"Please open this study with {whose}.")

    def _known_voter(self, request: Request) -> str | None:
        cookie = request.cookie(f"{self._study}-voter") or ""
        return cookie if re.fullmatch(r"[\w-]{22}", cookie, re.ASCII) else None

    def _voter(self, request: Request) -> str:
        voter = self._known_voter(request)
        if voter is None:
            raise Refused(403, "This study needs a cookie, so that nobody answers twice. Please allow it and reload.")
        return voter

    def _cookie(self, name: str, value: str) -> str:
        return f"{self._study}-{name}={value}; Path=/; Max-Age={_LIFE}; HttpOnly; SameSite=Strict"


def refusal(status: int, message: str, *, api: bool = False) -> Response:
    """A refusal as a page, or as JSON for the page's script."""
    if api:
        return Response(status, _JSON, json.dumps({"error": message}).encode())
    return Response(status, _HTML, message_page("Sorry", message))


def message_page(title: str, message: str, head: str = "") -> bytes:
    """A page that says one thing; ``head`` is HTML."""
    template = Template((STATIC / "message.html").read_text(encoding="utf-8"))
    return template.substitute(head=head, title=escape(title), message=escape(message)).encode()


def _texts(request: Request, *keys: str) -> list[str]:
    """The texts of ``keys`` in the JSON object that a request carries."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise Refused(415, "A vote is application/json.")
    try:
        content = json.loads(request.body)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict) or not all(isinstance(content.get(key), str) for key in keys):
        raise Refused(400, f"A vote is a JSON object with the texts {' and '.join(keys)}.")
    return [content[key] for key in keys]
