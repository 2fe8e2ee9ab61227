"""What endpoints of the authorization server read: forms, JSON objects, and who asks."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

import orjson
from authlib.oauth2.rfc6749.errors import InvalidRequestError
from starlette.requests import Request

LARGEST = 64 * 1024
MOST_MEMBERS = 100


async def read_form(request: Request) -> dict[str, str]:
    """The members of a form; one without a value is as if it were not there.

    :raises InvalidRequestError: another media type, a member that is there twice, too much.
    """
    pairs = await read_pairs(request)
    if len({name for name, _ in pairs}) != len(pairs):
        raise InvalidRequestError("a parameter is there twice")
    return {name: value for name, value in pairs if value}


async def read_pairs(request: Request) -> list[tuple[str, str]]:
    """The members of a form as they come.

    :raises InvalidRequestError: as :func:`read_form`.
    """
    if _media_type(request) != "application/x-www-form-urlencoded":
        raise InvalidRequestError("the body is application/x-www-form-urlencoded")
    return pairs_of((await _body(request)).decode("latin-1"))


def pairs_of(text: str) -> list[tuple[str, str]]:
    """The members of a query or form; bytes that are no UTF-8 are kept.

    :raises InvalidRequestError: too many.
    """
    try:
        return parse_qsl(text, keep_blank_values=True, errors="surrogateescape", max_num_fields=MOST_MEMBERS)
    except ValueError:
        raise InvalidRequestError("too many parameters") from None


async def read_json(request: Request) -> dict[str, Any]:
    """A JSON object.

    :raises InvalidRequestError: anything else.
    """
    if _media_type(request) != "application/json":
        raise InvalidRequestError("the body is application/json")
    try:
        found = orjson.loads(await _body(request))
    except ValueError:
        raise InvalidRequestError("the body is no JSON") from None
    if not isinstance(found, dict):
        raise InvalidRequestError("the body is a JSON object")
    return found


def authorization(request: Request) -> str:
    """The Authorization header, or empty.

    :raises InvalidRequestError: it is there twice.
    """
    found = request.headers.getlist("authorization")
    if len(found) > 1:
        raise InvalidRequestError("more than one proof of the client")
    return found[0] if found else ""


def address(request: Request) -> str:
    """The network address that asks."""
    return request.client.host if request.client else "unknown"


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def body_of(request: Request, most: int) -> bytes | None:
    """The body; None where it has more bytes than that, of which no more is read."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > most:
            return None
    return body


async def _body(request: Request) -> bytes:
    body = await body_of(request, LARGEST)
    if body is None:
        raise InvalidRequestError("the body is too large")
    return body
