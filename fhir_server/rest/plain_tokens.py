"""Page tokens that hold nothing worth hiding (instants, ids, counts): JSON in base64url. Readers check the values."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any

import orjson

from fhir_server.errors import Category, Problem, problem


def write(values: Sequence[Any]) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(list(values))).decode().rstrip("=")


def read(text: str) -> list[Any]:
    """The values; whether they are of the right kind is the caller's to check.

    :raises Problem: 400 for what is no token.
    """
    try:
        found = orjson.loads(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError):
        raise foreign() from None
    if not isinstance(found, list):
        raise foreign()
    return found


def foreign() -> Problem:
    """The refusal of a token that is none of the list's own."""
    return problem(Category.INVALID, "this page token is none of this list", "_page", "param-invalid")
