"""The votes of a study, in one SQLite file."""

from __future__ import annotations

import json
import os
import secrets
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from dreampgc.errors import DreamError, InputError

#: SQLite's mark of whose file it is, and the version of the tables.
APPLICATION = 0x64504743
FORMAT = 1
_SCHEMA = (
    "CREATE TABLE study (secret BLOB NOT NULL)",
    "CREATE TABLE votes (voter TEXT NOT NULL, question TEXT NOT NULL, prompt TEXT NOT NULL, shown TEXT NOT NULL,"
    " picked TEXT NOT NULL, at TEXT NOT NULL, PRIMARY KEY (voter, question)) WITHOUT ROWID",
    f"PRAGMA application_id = {APPLICATION}",
    f"PRAGMA user_version = {FORMAT}",
    "PRAGMA journal_mode = WAL",
)


@dataclass(frozen=True)
class Vote:
    """What ``voter`` picked for a question among the methods ``shown``, from left to right; ``at`` is UTC, ISO 8601."""

    voter: str
    question: str
    prompt: str
    shown: tuple[str, ...]
    picked: str
    at: str = ""


class Votes:
    """The database; one connection that threads share. A vote that `add` returned from outlasts a power cut."""

    def __init__(self, path: Path, *, create: bool = True) -> None:
        """Open the database at ``path``; a new one gets a secret, so only the owner may read the file.

        Raises:
            InputError: it cannot be opened or made, is no study's database, was made by a newer version, or is not
                there and must not be made.
        """
        self.path = path
        self._lock = threading.Lock()
        if not create and not path.is_file():
            raise InputError(f"there are no votes yet: {path} does not exist")
        try:
            if not path.exists():
                _make(path)
            self._connection = sqlite3.connect(path, isolation_level=None, timeout=30, check_same_thread=False)
            self._check()
        except OSError as error:
            raise InputError(f"cannot open the database {path}: {error.strerror}") from error
        except sqlite3.Error as error:
            raise InputError(f"cannot open the database {path}: {error}") from error

    @property
    def secret(self) -> bytes:
        """32 random bytes, the same for the life of the study."""
        with self._locked() as connection:
            return connection.execute("SELECT secret FROM study").fetchone()[0]

    def add(self, vote: Vote) -> bool:
        """Keep ``vote``, stamped with the time; False if this voter has answered this question: the first vote stays.

        Raises:
            DreamError: it cannot be kept (such as for a full disk).
        """
        at = datetime.now(UTC).isoformat(timespec="seconds")
        query = "INSERT INTO votes VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (voter, question) DO NOTHING"
        row = (vote.voter, vote.question, vote.prompt, json.dumps(vote.shown, ensure_ascii=False), vote.picked, at)
        with self._locked() as connection:
            return connection.execute(query, row).rowcount == 1

    def answered(self, voter: str) -> set[str]:
        """The questions that ``voter`` has answered."""
        with self._locked() as connection:
            return {key for (key,) in connection.execute("SELECT question FROM votes WHERE voter = ?", (voter,))}

    def all(self) -> list[Vote]:
        """Every vote, in the order in which they came."""
        query = "SELECT voter, question, prompt, shown, picked, at FROM votes ORDER BY at, voter, question"
        with self._locked() as connection:
            rows = connection.execute(query).fetchall()
        return [Vote(voter, key, prompt, tuple(json.loads(shown)), *rest) for voter, key, prompt, shown, *rest in rows]

    def close(self) -> None:
        """Close the file, when whoever is writing has done so."""
        with self._lock, suppress(sqlite3.Error):
            self._connection.close()

    def _check(self) -> None:
        """Refuse somebody else's database, before anything is written to it. Raises InputError."""
        application, form = (
            self._connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")
        )
        if application != APPLICATION:
            raise InputError(f"{self.path} is not the database of a study")
        if form > FORMAT:
            raise InputError(f"{self.path} was made by a newer dreampgc (study format {form}, not {FORMAT})")
        self._connection.execute("PRAGMA synchronous = FULL")

    @contextmanager
    def _locked(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                yield self._connection
            except sqlite3.Error as error:
                raise DreamError(f"cannot use the database {self.path}: {error}") from error


def _make(path: Path) -> None:
    """Make an empty database, whole or not at all; of several that do so at once, the first makes it for all."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    os.close(os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))  # SQLite would let everybody read it
    try:
        with closing(sqlite3.connect(temporary, isolation_level=None)) as connection:
            for statement in _SCHEMA:
                connection.execute(statement)
            connection.execute("INSERT INTO study VALUES (?)", (secrets.token_bytes(32),))
        with suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        temporary.unlink()
