"""A folder of small meshes to vote on, a study of it served on a free port, and clients that behave like browsers."""

from __future__ import annotations

import http.client
import json
import struct
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dreampgc.console import Console
from dreampgc.mesh.export import export_mesh
from dreampgc.types import Mesh
from dreampgc.viewer.study.access import Role
from dreampgc.viewer.study.opening import Plan, opened

METHODS = ("latent", "linear-map", "pgc-n", "vae")
PROMPTS = ("a red chair", "a stone castle", "a wooden car")


def write_mesh(path: Path, tint: float = 0.5, size: float = 0.5) -> Path:
    """A tetrahedron in one grey."""
    corners = size * np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], dtype=np.float32)
    faces = np.array([[0, 1, 2], [0, 3, 1], [0, 2, 3], [1, 3, 2]])
    return export_mesh(Mesh(corners, faces, np.full((4, 3), tint, dtype=np.float32)), path)


def write_folder(folder: Path, methods: Sequence[str] = METHODS, prompts: Sequence[str] = PROMPTS) -> Path:
    """Meshes of all methods and prompts, as plain files; each method has a grey of its own."""
    for number, method in enumerate(methods):
        for prompt in prompts:
            write_mesh(folder / method / f"{prompt.replace(' ', '-')}.glb", tint=(number + 1) / (len(methods) + 1))
    return folder


def glb_parts(content: bytes) -> tuple[dict[str, Any], bytes]:
    """The description in a .glb file, and all bytes after it."""
    (length,) = struct.unpack_from("<I", content, 12)
    return json.loads(content[20 : 20 + length]), content[20 + length :]


@dataclass(frozen=True)
class Served:
    """A study that is being served."""

    port: int
    links: Mapping[Role, str]
    folder: Path

    @property
    def database(self) -> Path:
        """Where its votes are."""
        return self.folder / "study.sqlite"


@contextmanager
def served(folder: Path, **options: Any) -> Iterator[Served]:
    """Serve ``folder`` in a thread; ``options`` are a `Plan`'s."""
    plan = Plan(**{"folder": folder, "database": folder / "study.sqlite", "port": 0, **options})
    with opened(plan, Console(quiet=True)) as study:
        thread = threading.Thread(target=study.server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield Served(study.server.port, study.links, folder)
        finally:
            study.server.shutdown()
            thread.join()


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        """The body, read as JSON."""
        return json.loads(self.body)

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()


@dataclass
class Client:
    """A browser without a screen: it keeps cookies."""

    port: int
    cookies: dict[str, str] = field(default_factory=dict)

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        """Send a request; ``headers`` have underscores for dashes, ``Host`` replaces the usual one."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        if self.cookies:
            named["Cookie"] = "; ".join(f"{key}={value}" for key, value in self.cookies.items())
        try:
            connection.request(method, path, body, named)
            response = connection.getresponse()
            answer = Answer(response.status, response.headers, response.read())
        finally:
            connection.close()
        for cookie in answer.headers.get_all("Set-Cookie", []):
            name, _, value = cookie.partition(";")[0].partition("=")
            self.cookies[name] = value
        return answer

    def get(self, path: str, **headers: str) -> Answer:
        """A GET."""
        return self.ask("GET", path, None, **headers)

    def state(self) -> Any:
        """The voter's next question, and how far the voter is."""
        return self.get("/api/state").json

    def post(self, content: Any, **headers: str) -> Answer:
        """A vote, from the study's own page."""
        defaults = {"Content_Type": "application/json", "Origin": f"http://127.0.0.1:{self.port}"}
        return self.ask("POST", "/api/votes", json.dumps(content).encode(), **{**defaults, **headers})

    def pick(self, state: Any, position: int = 0) -> Answer:
        """Vote for the mesh at ``position`` in the question of ``state``."""
        question = state["question"]
        return self.post({"question": question["id"], "mesh": question["meshes"][position]})


def voter(port: int, path: str = "/") -> Client:
    """A new voter, who has opened the page."""
    client = Client(port)
    assert client.get(path).status == 200
    return client
