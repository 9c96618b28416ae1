"""Integration and fault: votes are kept, once."""

from __future__ import annotations

import sqlite3
import stat
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from dreampgc.errors import DreamError, InputError
from dreampgc.viewer.study.votes import Vote, Votes

VOTE = Vote("voter-1", "seed-0/a-red-chair", "a rote Stühlchen “1”", ("vae", "pgc-n"), "pgc-n")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "study.sqlite"


def test_votes_and_secret_outlast_the_process(path: Path) -> None:
    votes = Votes(path)
    secret = votes.secret
    assert votes.add(VOTE)
    # As after a kill: nothing was closed.
    again = Votes(path)
    assert again.secret == secret
    assert len(secret) == 32
    [kept] = again.all()
    assert replace(kept, at="") == VOTE
    assert kept.at.endswith("+00:00")
    again.close()
    votes.close()
    assert sorted(file.name for file in path.parent.iterdir()) == ["study.sqlite"], "the log is merged at the end"


def test_a_voter_answers_a_question_once(path: Path) -> None:
    votes = Votes(path)
    assert votes.add(VOTE)
    assert not votes.add(replace(VOTE, picked="vae"))
    assert votes.add(replace(VOTE, voter="voter-2", picked="vae"))
    assert votes.add(replace(VOTE, question="another"))
    assert [vote.picked for vote in votes.all() if vote.question == VOTE.question] == ["pgc-n", "vae"]
    assert votes.answered("voter-1") == {"seed-0/a-red-chair", "another"}
    assert votes.answered("voter-3") == set()


def test_studies_have_different_secrets(tmp_path: Path) -> None:
    assert Votes(tmp_path / "a").secret != Votes(tmp_path / "b").secret


def test_only_the_owner_may_read_the_file(path: Path) -> None:
    Votes(path).add(VOTE)
    assert {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()} == {0o600}


def test_many_that_open_it_at_once_agree_on_the_secret(path: Path) -> None:
    secrets, start = [], threading.Barrier(8)

    def open_it() -> None:
        start.wait()
        secrets.append(Votes(path).secret)

    threads = [threading.Thread(target=open_it) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(secrets) == 8
    assert len(set(secrets)) == 1


def test_results_are_not_read_from_a_file_that_is_not_there(path: Path) -> None:
    with pytest.raises(InputError, match="no votes yet"):
        Votes(path, create=False)
    assert not path.exists()


def test_other_files_are_refused_and_left_as_they_are(path: Path) -> None:
    path.write_text("no database at all, but long enough to be read as the head of one. " * 20)
    before = path.read_bytes()
    with pytest.raises(InputError, match="cannot open"):
        Votes(path)
    assert path.read_bytes() == before


def test_databases_of_other_programs_are_refused_and_left_as_they_are(path: Path) -> None:
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE votes (something INTEGER)")
    before = path.read_bytes()
    with pytest.raises(InputError, match="not the database of a study"):
        Votes(path)
    assert path.read_bytes() == before


def test_databases_of_newer_versions_are_refused(path: Path) -> None:
    Votes(path).close()
    with sqlite3.connect(path) as newer:
        newer.execute("PRAGMA user_version = 2")
    with pytest.raises(InputError, match="newer dreampgc"):
        Votes(path)


@pytest.mark.parametrize("place", ["missing/study.sqlite", "."])
def test_places_where_no_file_can_be_are_refused(tmp_path: Path, place: str) -> None:
    with pytest.raises(InputError, match="cannot open the database"):
        Votes(tmp_path / place)


def test_a_vote_that_cannot_be_kept_is_an_error(path: Path) -> None:
    votes = Votes(path)
    with sqlite3.connect(path) as other:
        other.execute("DROP TABLE votes")
    with pytest.raises(DreamError, match="cannot use the database"):
        votes.add(VOTE)
