"""References that name this server in a form that is not its base: an actor written so would have a second calendar.

``http://our-host//fhir/Practitioner/1`` and ``https`` for ``http`` mean the same to a reader and are another text to an
index. They are refused instead of guessed at.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

from fhir_server.errors import Category, Issue
from fhir_server.fhir.references import references_in

_USUAL = frozenset({80, 443})


def alias_check(bases: Sequence[str]) -> Callable[[dict[str, Any]], list[Issue]]:
    """A check of the validator: every absolute reference to one of our hosts starts with one of our bases.

    :param bases: our own FHIR base in its forms, each with a trailing slash.
    """
    hosts = {_host(base) for base in bases}

    def check(resource: dict[str, Any]) -> list[Issue]:
        return [
            Issue("a reference to this server is Type/id, or starts with its base", place, category=Category.INVALID)
            for place, node in references_in(resource)
            if "://" in (text := node.get("reference", "")) and _host(text) in hosts and not _ours(text, bases)
        ]

    return check


def _host(url: str) -> tuple[str, int | None]:
    """Host and port, the usual ports as none."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "", None
    return (parts.hostname or "").rstrip("."), None if port in _USUAL else port


def _ours(text: str, bases: Sequence[str]) -> bool:
    """Whether the text is a base and ``Type/id`` behind it."""
    for base in bases:
        if text[: len(base)].lower() == base.lower():
            parts = text[len(base) :].split("/")
            return len(parts) in {2, 4} and all(parts) and not {".", ".."}.intersection(parts)
    return False
