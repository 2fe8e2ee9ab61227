"""What one process remembers of the authorization server's data, so that not every request asks for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fhir_server.access.caller import Caller
from fhir_server.remote.jwks import KeySets

CALLERS = 20_000


@dataclass(frozen=True, slots=True)
class Known:
    """A caller, the access epoch in which the token was checked, and until when (epoch seconds) that holds."""

    caller: Caller
    epoch: int
    until: int


@dataclass(slots=True)
class Memory:
    """``callers`` by SHA-256 of their token, ``keys`` are our signing keys, ``issuers`` those outside that are trusted.

    ``key_sets`` are JWKS of others by their address.
    """

    key_sets: KeySets
    issuers: Mapping[str, Any] = field(default_factory=dict)
    callers: dict[bytes, Known] = field(default_factory=dict)
    keys: tuple[Any, ...] = ()
    keys_read: int = 0
    keys_changed: bool = False

    def remember(self, digest: bytes, known: Known) -> None:
        """Keep a caller; the oldest goes when there are too many."""
        while len(self.callers) >= CALLERS:
            del self.callers[next(iter(self.callers))]
        self.callers[digest] = known
