"""Integration and fault: a study over real HTTP, with everything that a client may get wrong or try."""

from __future__ import annotations

import json
import socket
import sqlite3
import threading
from collections import Counter
from pathlib import Path

import pytest

from dreampgc.errors import InputError
from dreampgc.viewer.study.application import FILES, LARGEST_BODY
from dreampgc.viewer.study.votes import Votes
from tests.viewer.study.clients import METHODS, PROMPTS, Answer, Client, Served, glb_parts, served, voter


def kept(study: Served) -> list[tuple[str, str]]:
    """Prompt and pick of every vote in the database."""
    return [(vote.prompt, vote.picked) for vote in Votes(study.database, create=False).all()]


def test_a_voter_answers_every_prompt_once_and_is_thanked(study: Served) -> None:
    client = voter(study.port)
    seen = []
    for answered in range(3):
        state = client.state()
        assert (state["answered"], state["total"]) == (answered, 3)
        seen.append(state["question"]["prompt"])
        assert len(set(state["question"]["meshes"])) == 4
        answer = client.pick(state)
        assert answer.status == 200
        assert answer.json == client.state(), "the answer is the next question"
    assert sorted(seen) == sorted(PROMPTS)
    assert client.state() == {"ask": "Which one do you prefer?", "answered": 3, "total": 3}
    assert sorted(prompt for prompt, _ in kept(study)) == sorted(PROMPTS)


def test_the_mesh_that_was_picked_is_the_one_that_was_shown(study: Served) -> None:
    client = voter(study.port)
    state = client.state()
    shown = client.get(f"/meshes/{state['question']['meshes'][2]}.glb").body
    client.pick(state, 2)
    [(prompt, picked)] = kept(study)
    meshes = {method: study.folder / method / f"{prompt.replace(' ', '-')}.glb" for method in METHODS}
    buffers = {method: glb_parts(path.read_bytes())[1] for method, path in meshes.items()}
    assert len(set(buffers.values())) == 4
    assert glb_parts(shown)[1] == buffers[picked]


def test_a_vote_that_is_sent_again_counts_once(study: Served) -> None:
    client = voter(study.port)
    state = client.state()
    first = client.pick(state, 0)
    again = client.pick(state, 0)
    changed = client.pick(state, 1)
    assert first.status == again.status == changed.status == 200
    assert first.json == again.json == changed.json
    assert len(kept(study)) == 1


def test_a_double_click_counts_once(study: Served) -> None:
    client = voter(study.port)
    state = client.state()
    answers: list[Answer] = []
    threads = [threading.Thread(target=lambda: answers.append(client.pick(state, 1))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answer.status for answer in answers] == [200] * 6
    assert len(kept(study)) == 1


def test_voters_orders_and_votes_survive_a_restart(folder: Path) -> None:
    with served(folder) as study:
        client = voter(study.port)
        client.pick(client.state())
        before = client.state()
    with served(folder) as study:
        client.port = study.port
        client.get("/")
        assert client.state() == before
        client.pick(before)
        assert client.state()["answered"] == 2
        assert len(kept(study)) == 2


def test_two_hundred_voters_at_once_lose_no_vote(study: Served) -> None:
    picked: Counter[tuple[str, int]] = Counter()
    failures: list[object] = []
    start = threading.Barrier(200)

    def vote(number: int) -> None:
        try:
            start.wait()
            client = voter(study.port)
            state = client.state()
            while "question" in state:
                answer = client.pick(state, number % 4)
                assert answer.status == 200, answer.text
                picked[state["question"]["prompt"], number] += 1
                state = answer.json
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=vote, args=(number,)) for number in range(200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert Counter(picked.values()) == {1: 600}
    votes = Votes(study.database, create=False).all()
    assert Counter(vote.prompt for vote in votes) == dict.fromkeys(PROMPTS, 200)
    assert Counter(Counter(vote.voter for vote in votes).values()) == {3: 200}
    # Every voter took the same place each time, and each place was taken by as many.
    assert Counter(vote.shown.index(vote.picked) for vote in votes) == dict.fromkeys(range(4), 150)


# Nothing tells the voter which method is whose.


def everything(client: Client) -> list[Answer]:
    """All that a voter's browser gets to see."""
    answers = [client.get("/"), *(client.get(path) for path in FILES)]
    state = client.state()
    while "question" in state:
        answers += [client.get(f"/meshes/{mesh}.glb") for mesh in state["question"]["meshes"]]
        answers.append(client.pick(state))
        state = answers[-1].json
    return [*answers, client.get("/api/state"), client.get("/no/such/page"), client.get("/meshes/none.glb")]


def test_no_method_reaches_the_voter(folder: Path) -> None:
    # Names that occur in nothing else.
    renamed = {method: f"Methode{number}ZQX" for number, method in enumerate(METHODS)}
    for method, name in renamed.items():
        (folder / method).rename(folder / name)
    with served(folder) as study:
        answers = everything(Client(study.port))
    assert len(answers) > 3 * 5
    for answer in answers:
        sent = (str(answer.headers).encode() + answer.body).lower()
        assert b"zqx" not in sent
        assert b"last-modified" not in sent, "methods may have been run one after the other"


def test_every_answer_has_the_headers_that_keep_it_safe(study: Served) -> None:
    client = Client(study.port)
    refused = [client.ask("DELETE", "/"), client.ask("POST", "/api/votes", b"{}"), client.get("/", Host="evil.example")]
    for answer in [*everything(client), *refused, client.get("/results"), client.get("/results.csv")]:
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "same-origin"
        policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; script-src 'self';")
        assert "unsafe" not in policy
        assert "Python" not in answer.headers["Server"]
        static = answer.headers["Content-Type"].startswith(("text/css", "text/javascript", "model/"))
        assert answer.headers["Cache-Control"] == ("private, max-age=600" if static else "no-store")


def test_cookies_are_out_of_reach_for_scripts_and_other_pages(study: Served) -> None:
    [cookie] = Client(study.port).get("/").headers.get_all("Set-Cookie", [])
    name, _, rest = cookie.partition("=")
    value, *attributes = rest.split("; ")
    assert len(value) >= 22
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(attributes)
    known = Client(study.port, {name: value, "other": '{"json": "of another program"}'})
    assert "Set-Cookie" not in known.get("/").headers
    forged = Client(study.port, {name: "../../x"})
    assert "Set-Cookie" in forged.get("/").headers, "a value that we did not make is replaced"


def test_head_is_answered_without_a_body(study: Served) -> None:
    answer = Client(study.port).ask("HEAD", "/study.css")
    assert (answer.status, answer.body) == (200, b"")
    assert int(answer.headers["Content-Length"]) > 1000


# Refusals.


def assert_refused(answer: Answer, status: int) -> None:
    assert answer.status == status, answer.text
    assert "Traceback" not in answer.text
    assert ".py" not in answer.text


@pytest.mark.parametrize(
    "path",
    [
        "/meshes/" + "0" * 32 + ".glb",
        "/meshes/../study.sqlite",
        "/meshes/..%2f..%2fstudy.sqlite",
        "/meshes/%2e%2e/vae/a-red-chair.glb",
        "/meshes/vae/a-red-chair.glb",
        "/meshes//etc/passwd",
        "/meshes/\\..\\study.sqlite",
        "/../../etc/passwd",
        "//127.0.0.1/etc/passwd",
        "/study.sqlite",
        "/static/study.js",
        "/results.html",
        "/api/votes/1",
        "/api/",
        "*",
    ],
)
def test_paths_that_lead_nowhere_are_refused(study: Served, path: str) -> None:
    assert_refused(voter(study.port).get(path), 404)


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "BREW", "POST"])
def test_methods_that_nothing_answers_are_refused(study: Served, method: str) -> None:
    assert_refused(voter(study.port).ask(method, "/"), 405)


def test_votes_are_not_sent_by_get(study: Served) -> None:
    assert_refused(voter(study.port).get("/api/votes"), 405)


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "["])
@pytest.mark.parametrize("path", ["/", "/api/state", "/results", "/study.js"])
def test_other_names_for_this_machine_are_refused(study: Served, host: str, path: str) -> None:
    assert_refused(Client(study.port).get(path, Host=host), 403)


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://localhost:1", "http://127.0.0.1"])
def test_votes_from_other_pages_are_refused(study: Served, origin: str) -> None:
    client = voter(study.port)
    question = client.state()["question"]
    content = {"question": question["id"], "mesh": question["meshes"][0]}
    assert_refused(client.post(content, Origin=origin), 403)
    assert kept(study) == []


@pytest.mark.parametrize("kind", ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_votes_that_are_no_json_by_type_are_refused(study: Served, kind: str) -> None:
    client = voter(study.port)
    question = client.state()["question"]
    assert_refused(client.post({"question": question["id"], "mesh": question["meshes"][0]}, Content_Type=kind), 415)


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"nonsense", b"[]", b'"text"', b"null", b"1" * 4000, b"\xff\xfe", b"[" * 4000, b'{"question": "x"}',
     b'{"question": 1, "mesh": 2}', b'{"question": ["x"], "mesh": {}}', b'{"mesh": "x"}', b'{"question": NaN}'],
)  # fmt: skip
def test_votes_that_say_nothing_are_refused(study: Served, body: bytes) -> None:
    assert_refused(voter(study.port).ask("POST", "/api/votes", body, Content_Type="application/json"), 400)


@pytest.mark.parametrize("name", ["0" * 32, "../a-red-chair", "a-red-chair", "", "\0", "é" * 40, "' OR 1=1 --"])
def test_made_up_questions_and_meshes_are_refused(study: Served, name: str) -> None:
    client = voter(study.port)
    question = client.state()["question"]
    assert_refused(client.post({"question": name, "mesh": question["meshes"][0]}), 404)
    assert_refused(client.post({"question": question["id"], "mesh": name}), 404)
    assert kept(study) == []


def test_a_mesh_of_another_question_is_refused(study: Served) -> None:
    client = voter(study.port)
    first = client.state()["question"]
    second = client.pick({"question": first}).json["question"]
    assert_refused(client.post({"question": second["id"], "mesh": first["meshes"][0]}), 404)
    assert len(kept(study)) == 1


@pytest.mark.parametrize("size", [LARGEST_BODY + 1, 500_000])
def test_bodies_that_are_too_large_are_refused(study: Served, size: int) -> None:
    answer = voter(study.port).ask("POST", "/api/votes", b" " * size, Content_Type="application/json")
    assert_refused(answer, 413)


def raw(port: int, content: bytes) -> bytes:
    """What comes back for bytes that no client library would send."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(content)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b""))


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"POST /api/votes HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411),
        (b"POST /api/votes HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n", 400),
        (b"POST /api/votes HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1e3\r\n\r\n", 400),
        (b"POST /api/votes HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999999999\r\n\r\n", 413),
        (b"GET / HTTP/1.1\r\n\r\n", 403),
        (b"GET /" + b"a" * 70000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"A: b\r\n" * 200 + b"\r\n", 431),
        (b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n", 505),
        (b"complete nonsense\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
    ],
)
def test_requests_that_are_not_well_formed_are_refused(study: Served, content: bytes, status: int) -> None:
    answer = raw(study.port, content)
    assert answer.split(b"\r\n")[0].split(b" ")[1] == str(status).encode()
    assert b"Traceback" not in answer
    assert voter(study.port).state()["total"] == 3, "others are served on"


def test_clients_that_hang_up_disturb_nobody(study: Served, capfd: pytest.CaptureFixture[str]) -> None:
    for content in (b"", b"GET / HT", b"POST /api/votes HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50\r\n\r\nhalf"):
        with socket.create_connection(("127.0.0.1", study.port)) as connection:
            connection.sendall(content)
    assert voter(study.port).state()["total"] == 3
    assert "Traceback" not in capfd.readouterr().err


def test_without_a_cookie_nobody_votes(study: Served) -> None:
    question = voter(study.port).state()["question"]
    stranger = Client(study.port)
    assert_refused(stranger.get("/api/state"), 403)
    answer = stranger.post({"question": question["id"], "mesh": question["meshes"][0]})
    assert_refused(answer, 403)
    assert "cookie" in answer.json["error"]


def test_a_mesh_that_went_missing_is_refused_and_others_are_served(study: Served) -> None:
    client = voter(study.port)
    meshes = client.state()["question"]["meshes"]
    assert client.get(f"/meshes/{meshes[0]}.glb").status == 200
    for method in METHODS:
        (study.folder / method).rename(study.folder / f"{method}-moved")
    assert_refused(client.get(f"/meshes/{meshes[0]}.glb"), 404)
    assert client.state()["total"] == 3


def test_a_vote_that_cannot_be_kept_is_not_acknowledged(study: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    client = voter(study.port)
    state = client.state()
    other = sqlite3.connect(study.database, isolation_level=None)
    other.execute("ALTER TABLE votes RENAME TO moved")
    answer = client.pick(state)
    assert answer.status == 503
    assert "try again" in answer.json["error"]
    other.execute("ALTER TABLE moved RENAME TO votes")
    other.close()
    assert client.pick(state).status == 200
    assert len(kept(study)) == 1


# Tokens.


def test_a_study_that_others_can_reach_needs_a_token(folder: Path) -> None:
    with served(folder, host="0.0.0.0") as study:
        for path in ("/", "/api/state", "/results", "/results.csv", "/meshes/" + "0" * 32 + ".glb"):
            assert_refused(Client(study.port).get(path), 403)
        for token in ("", "wrong", "%ff", "x" * 5000):
            for path in ("/", "/results"):
                answer = Client(study.port).get(f"{path}?token={token}")
                assert_refused(answer, 403)
                assert "Set-Cookie" not in answer.headers
        assert "token=" in study.links["voter"]


def test_a_link_lets_voters_in_once_and_for_all(folder: Path) -> None:
    with served(folder, token="a-token-of-mine") as study:
        assert study.links["voter"] == f"http://127.0.0.1:{study.port}/?token=a-token-of-mine"
        client = Client(study.port)
        answer = client.get("/?token=a-token-of-mine")
        assert answer.status == 200
        assert 'content="0; url=/"' in answer.text, "it goes on to the address without the token"
        assert "a-token-of-mine" not in answer.text
        assert "HttpOnly; SameSite=Strict" in answer.headers["Set-Cookie"]
        assert client.get("/").status == 200
        state = client.state()
        assert client.get(f"/meshes/{state['question']['meshes'][0]}.glb").status == 200
        assert client.pick(state).status == 200
        assert_refused(client.get("/results"), 403)
        assert_refused(client.get("/results?token=a-token-of-mine"), 403)


def test_the_owners_link_opens_results_and_everything(folder: Path) -> None:
    with served(folder, token="a-token-of-mine") as study:
        link = study.links["owner"].removeprefix(f"http://127.0.0.1:{study.port}")
        client = Client(study.port)
        assert 'url=/results"' in client.get(link).text
        assert "no votes yet" in client.get("/results").text
        assert client.get("/results.csv").text.startswith("voter,question")
        assert client.get("/").status == 200


def test_links_outlast_a_restart_and_differ_between_studies(folder: Path, tmp_path: Path) -> None:
    with served(folder, host="0.0.0.0", names=("study.example",)) as study:
        first = study.links["voter"].partition("?")[2]
        assert study.links["voter"].startswith(f"http://study.example:{study.port}/?token=")
        assert voter(study.port, f"/?{first}").get("/", Host="study.example").status == 200
    with served(folder, host="0.0.0.0") as study:
        assert study.links["voter"].endswith(first)
    with served(folder, host="0.0.0.0", database=tmp_path / "other.sqlite") as other:
        assert not other.links["voter"].endswith(first)


def test_a_study_with_a_name_needs_a_token_for_what_is_in_front_of_it(folder: Path) -> None:
    with served(folder, names=("Study.Example",)) as study:
        for host in ("study.example", "127.0.0.1"):
            assert_refused(Client(study.port).get("/results", Host=host), 403)
        path = study.links["voter"].removeprefix(f"http://Study.Example:{study.port}")
        assert Client(study.port).get(path, Host="study.example").status == 200


def test_two_studies_on_one_machine_do_not_share_cookies(folder: Path, tmp_path: Path) -> None:
    with served(folder) as one, served(folder, database=tmp_path / "other.sqlite") as other:
        client = voter(one.port)
        client.port = other.port
        client.get("/")
        assert len(client.cookies) == 2


# Results.


def test_results_show_the_votes_to_the_owner(study: Served) -> None:
    client = voter(study.port)
    state = client.state()
    while "question" in state:
        state = client.pick(state).json
    page = client.get("/results").text
    assert "3 votes · 1 voter · 3 prompts" in page
    assert all(method in page for method in METHODS)
    lines = client.get("/results.csv").text.splitlines()
    assert len(lines) == 4
    assert [value for value in client.cookies.values() if value in page + "".join(lines)] == []


def test_addresses_that_cannot_be_had_are_refused(study: Served, folder: Path, tmp_path: Path) -> None:
    for options in ({"port": study.port}, {"host": "203.0.113.1"}, {"host": "no such host"}):
        with pytest.raises(InputError, match="cannot serve on"), served(folder, **options):
            pass


def test_ipv6(folder: Path) -> None:
    with served(folder, host="::1") as study:
        with socket.create_connection(("::1", study.port)) as connection:
            connection.sendall(b"GET /api/state HTTP/1.0\r\nHost: [::1]\r\n\r\n")
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
        assert b"needs a cookie" in answer
        assert json.loads(answer.partition(b"\r\n\r\n")[2])
        assert study.links["voter"] == f"http://[::1]:{study.port}/"
