"""A study, put together: questions, votes, tokens and the server that is bound to its address."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dreampgc.console import Console
from dreampgc.viewer.study.access import Access, Role, is_loopback
from dreampgc.viewer.study.application import Application
from dreampgc.viewer.study.ballots import Ballots
from dreampgc.viewer.study.questions import read_questions
from dreampgc.viewer.study.server import StudyServer
from dreampgc.viewer.study.votes import Votes

ASK = "Which one do you prefer?"
HOST, PORT = "127.0.0.1", 8765


@dataclass(frozen=True)
class Plan:
    """A study to serve: see `read_questions` for ``folder`` and ``methods``, `Access` for ``token`` and ``names``."""

    folder: Path
    database: Path
    methods: tuple[str, ...] = ()
    ask: str = ASK
    host: str = HOST
    port: int = PORT
    token: str | None = None
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Study:
    """A study whose `server` is bound; ``links`` are for voters and for the owner."""

    server: StudyServer
    methods: tuple[str, ...]
    questions: int
    links: Mapping[Role, str]


@contextmanager
def opened(plan: Plan, console: Console) -> Iterator[Study]:
    """The study of ``plan``, ready to serve; closed in the end. ``console`` is told what is left out.

    Raises:
        InputError: there is nothing to ask, or the database or the address cannot be had.
    """
    questions = read_questions(plan.folder, console.warn, plan.methods)
    votes = Votes(plan.database)
    try:
        ballots = Ballots(questions, votes.secret)
        tokens = _tokens(plan, ballots)
        application = Application(ballots, votes, Access.of(plan.host, plan.names, tokens), plan.ask)
        with StudyServer(application, console, plan.host, plan.port) as server:
            links = _links(plan, server.port, tokens)
            yield Study(server, tuple(questions[0].meshes), len(questions), links)
    finally:
        votes.close()


def _tokens(plan: Plan, ballots: Ballots) -> dict[Role, str] | None:
    """None where only this machine can reach the study and no token is asked for.

    Whoever gives it another name has something in front of it that others can reach, and all of them seem to be here.
    """
    if plan.token is None and is_loopback(plan.host) and not plan.names:
        return None
    # Made of the study's secret, so that links that were sent outlast a restart.
    return {"voter": plan.token or ballots.digest("token", "voter"), "owner": ballots.digest("token", "owner")}


def _links(plan: Plan, port: int, tokens: dict[Role, str] | None) -> dict[Role, str]:
    everywhere = plan.host in ("0.0.0.0", "::")
    name = plan.names[0] if plan.names else socket.gethostname() if everywhere else plan.host
    base = f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"
    query = {role: f"?token={token}" for role, token in (tokens or {}).items()}
    return {"voter": f"{base}/{query.get('voter', '')}", "owner": f"{base}/results{query.get('owner', '')}"}
