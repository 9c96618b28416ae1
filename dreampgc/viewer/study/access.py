"""Who may reach a study: by which names of this machine, from which pages, and with which token."""

from __future__ import annotations

import hmac
import ipaddress
import socket
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

#: A voter sees questions and votes; the owner sees results too.
Role = Literal["voter", "owner"]


@dataclass(frozen=True)
class Access:
    """The rules of one server. ``tokens`` are None where no token is needed: whoever sits at the machine is the owner.

    ``names`` are those under which the machine may be asked for. A foreign page whose own name was made to resolve to
    this machine (DNS rebinding) asks for it under another one.
    """

    names: frozenset[str]
    addresses: bool = False
    tokens: dict[Role, str] | None = field(default=None, repr=False)

    @classmethod
    def of(cls, host: str, names: tuple[str, ...], tokens: dict[Role, str] | None) -> Access:
        """The rules for a server bound to ``host`` that may also be asked for under ``names``."""
        known = {"localhost", "127.0.0.1", "::1", *(name.lower() for name in names)}
        if is_loopback(host):
            return cls(frozenset(known), addresses=False, tokens=tokens)
        # An address that a browser was told cannot be another machine's name.
        return cls(frozenset({*known, host.lower(), socket.gethostname().lower()}), addresses=True, tokens=tokens)

    def knows(self, host: str | None) -> bool:
        """Whether a request may ask for ``host``, the Host header."""
        name = _parsed(f"//{host or ''}")[0]
        return name in self.names or (self.addresses and _is_address(name))

    def trusts(self, origin: str | None, host: str | None) -> bool:
        """Whether a request may come from a page of ``origin``; one without an origin comes from no page."""
        return origin is None or (host is not None and _parsed(origin)[1] == host.lower())

    def admits(self, role: Role, token: str | None) -> bool:
        """Whether ``token`` gives the right of ``role``; the owner's gives both. Takes equally long for all tokens."""
        if self.tokens is None:
            return True
        given = (token or "").encode(errors="replace")
        fitting = [
            hmac.compare_digest(given, own.encode()) for one, own in self.tokens.items() if one in ("owner", role)
        ]
        return any(fitting)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server that is bound to ``host``."""
    return host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _parsed(url: str) -> tuple[str, str]:
    """Name, and name with port, of what an address points to; empty where there is none."""
    try:
        parts = urlsplit(url)
        return parts.hostname or "", parts.netloc.lower()
    except ValueError:
        return "", ""
