"""Property: orders are the voter's own, fair, and last; names tell nothing."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from dreampgc.viewer.study.ballots import Ballots
from dreampgc.viewer.study.questions import Question

METHODS = ("latent", "linear", "pgc-n", "vae")
QUESTIONS = [
    Question(key, key.replace("-", " "), {method: Path(method, f"{key}.glb") for method in METHODS})
    for key in ("a-car", "a-castle", "a-chair")
]


@pytest.fixture
def ballots() -> Ballots:
    return Ballots(QUESTIONS, b"secret")


def test_order_is_the_same_for_a_voter_and_differs_between_voters(ballots: Ballots) -> None:
    again = Ballots(list(reversed(QUESTIONS)), b"secret")
    voters = [f"voter-{number}" for number in range(50)]
    assert all(ballots.order(voter) == again.order(voter) for voter in voters)
    assert len({tuple(question.key for question in ballots.order(voter)) for voter in voters}) == 6


def test_every_method_comes_equally_often_at_every_place(ballots: Ballots) -> None:
    voters = 2000
    first, last = Counter(), Counter()
    for number in range(voters):
        methods = ballots.methods(f"voter-{number}", QUESTIONS[0])
        assert sorted(methods) == sorted(METHODS)
        first[methods[0]] += 1
        last[methods[-1]] += 1
    # A count has a standard deviation of 19; the orders are the same in every run of the test.
    assert all(abs(count - voters / 4) < 4 * 19 for count in (*first.values(), *last.values()))


def test_a_new_question_leaves_the_order_of_the_others(ballots: Ballots) -> None:
    fewer = Ballots(QUESTIONS[:2], b"secret")
    assert [q for q in ballots.order("voter") if q in QUESTIONS[:2]] == fewer.order("voter")


def test_names_lead_back_and_tell_nothing(ballots: Ballots) -> None:
    names = set()
    for question in QUESTIONS:
        name, meshes = ballots.names("voter", question)
        assert ballots.question(name) == question
        assert [ballots.method(question, mesh) for mesh in meshes] == ballots.methods("voter", question)
        assert [ballots.mesh(mesh) for mesh in meshes] == [
            question.meshes[m] for m in ballots.methods("voter", question)
        ]
        names |= {name, *meshes}
    assert len(names) == 3 + 12
    assert all(len(name) == 32 and set(name) <= set("0123456789abcdef") for name in names)
    # With another secret nothing of it holds: it is not a plain hash of names that anybody could make.
    other = Ballots(QUESTIONS, b"another")
    assert all(other.question(name) is None and other.mesh(name) is None for name in names)


def test_a_question_with_another_method_has_another_name(ballots: Ballots) -> None:
    name, meshes = ballots.names("voter", QUESTIONS[0])
    more = Question("a-car", "a car", {**QUESTIONS[0].meshes, "new": Path("new")})
    other = Ballots([more], b"secret")
    assert other.question(name) is None, "a vote among fewer methods does not count"
    assert other.names("voter", more)[0] != name
    assert all(other.mesh(mesh) is not None for mesh in meshes)


def test_made_up_names_lead_nowhere(ballots: Ballots) -> None:
    _, [mesh, *_] = ballots.names("voter", QUESTIONS[0])
    assert ballots.question(mesh) is None
    assert ballots.mesh("../vae/a-car.glb") is None
    assert ballots.method(QUESTIONS[1], mesh) is None, "a mesh of another question"
