"""Property: who may ask, under which name, from which page, with which token."""

from __future__ import annotations

import pytest

from dreampgc.viewer.study.access import Access, Role, is_loopback

TOKENS: dict[Role, str] = {"voter": "voters-token", "owner": "owners-token"}


@pytest.mark.parametrize(
    ("host", "alone"),
    [
        *((host, True) for host in ("127.0.0.1", "127.1.2.3", "::1", "localhost")),
        *((host, False) for host in ("0.0.0.0", "::", "192.168.1.5", "example.org", "")),
    ],
)
def test_loopback(host: str, alone: bool) -> None:
    assert is_loopback(host) == alone


FOREIGN = [
    "evil.example",
    "127.0.0.1.evil.example",
    "localhost.evil.example:80",
    "",
    "[",
    "a:b:c",
    "localhost@evil.example",
]


@pytest.mark.parametrize("host", [*FOREIGN, "192.168.1.5", "2130706433"])
def test_a_local_study_has_local_names_only(host: str) -> None:
    access = Access.of("127.0.0.1", ("study.example",), None)
    assert not access.knows(host)
    assert not access.knows(None)
    known = ("localhost", "LOCALHOST:8765", "127.0.0.1:8765", "[::1]:8765", "study.example", "study.example:443")
    assert all(access.knows(one) for one in known)


@pytest.mark.parametrize("host", FOREIGN)
def test_an_open_study_has_addresses_too_but_no_foreign_names(host: str) -> None:
    access = Access.of("0.0.0.0", ("study.example",), TOKENS)
    assert not access.knows(host)
    assert all(access.knows(one) for one in ("192.168.1.5:8765", "[fe80::1]:8765", "study.example", "localhost"))


@pytest.mark.parametrize(
    ("origin", "trusted"),
    [
        (None, True),
        ("http://127.0.0.1:8765", True),
        ("https://127.0.0.1:8765", True),
        ("http://127.0.0.1:9000", False),
        ("http://localhost:8765", False),
        ("http://evil.example", False),
        ("http://127.0.0.1:8765@evil.example", False),
        ("null", False),
        ("", False),
        ("http://[", False),
    ],
)
def test_only_the_studys_own_pages_may_ask(origin: str | None, trusted: bool) -> None:
    access = Access.of("127.0.0.1", (), None)
    assert access.trusts(origin, "127.0.0.1:8765") == trusted
    assert access.trusts(origin, None) == (origin is None)


def test_tokens() -> None:
    access = Access.of("0.0.0.0", (), TOKENS)
    assert access.admits("voter", "voters-token")
    assert access.admits("owner", "owners-token")
    assert access.admits("voter", "owners-token"), "the owner may see everything"
    assert not access.admits("owner", "voters-token")
    for wrong in (None, "", "voters-toke", "voters-token ", "VOTERS-TOKEN", "ü" * 12, "\udcff"):
        assert not access.admits("voter", wrong)
    assert "voters-token" not in repr(access)


def test_without_tokens_everybody_at_the_machine_is_the_owner() -> None:
    access = Access.of("127.0.0.1", (), None)
    assert access.admits("owner", None)
    assert access.admits("voter", "whatever")
