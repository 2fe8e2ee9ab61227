"""Signed tokens of others, opened with suspicion. https://www.rfc-editor.org/rfc/rfc8725

What a token says of itself chooses neither key nor algorithm: both are given by whoever opens it. A header that brings
a key or an address of one is refused.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Collection
from typing import Any, TypeGuard

import orjson
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey
from joserfc.jws import JWSRegistry

from fhir_server.services.authorization.invalid_token import InvalidToken

LONGEST = 16 * 1024
FORBIDDEN = frozenset({"jwk", "jku", "x5u", "x5c", "crit", "b64"})

Claims = dict[str, Any]


def header_of(token: str, *, allowed: Collection[str] = ()) -> dict[str, Any]:
    """The header, not verified.

    :param allowed: headers that the caller looks at itself, of those that are refused otherwise.
    :raises InvalidToken: what is no signed token, or has a header that nobody needs.
    """
    parts = token.split(".")
    if len(token) > LONGEST or len(parts) != 3 or not all(parts):
        raise InvalidToken("malformed")
    header = _json(parts[0])
    if (FORBIDDEN - frozenset(allowed)) & header.keys():
        raise InvalidToken("header")
    if not isinstance(header.get("alg"), str) or not isinstance(header.get("kid", ""), str):
        raise InvalidToken("malformed")
    return header


def claims_of(token: str) -> Claims:
    """The claims, not verified: only good for choosing who could have signed them."""
    parts = token.split(".")
    if len(token) > LONGEST or len(parts) != 3:
        raise InvalidToken("malformed")
    return _json(parts[1])


def verified(token: str, key: ECKey | RSAKey, algorithm: str) -> Claims:
    """The claims, signed with that key by that algorithm.

    :raises InvalidToken: for any other signature.
    """
    registry = JWSRegistry(algorithms=[algorithm], strict_check_header=False)
    try:
        return dict(jwt.decode(token, key, algorithms=[algorithm], registry=registry).claims)
    except (JoseError, ValueError, TypeError):
        raise InvalidToken("signature") from None


def _json(part: str) -> dict[str, Any]:
    try:
        raw = base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
        found = orjson.loads(raw)
    except (binascii.Error, ValueError):
        raise InvalidToken("malformed") from None
    if not isinstance(found, dict):
        raise InvalidToken("malformed")
    return found


def check_times(claims: Claims, now: int, leeway: int = 0) -> int:
    """When it expires.

    :raises InvalidToken: expired, not yet valid, or without an end.
    """
    expires = claims.get("exp")
    if not _number(expires):
        raise InvalidToken("claims")
    if expires + leeway <= now:
        raise InvalidToken("expired")
    for name in ("nbf", "iat"):
        if name in claims and not _number(claims[name]):
            raise InvalidToken("claims")
        if claims.get(name, 0) > now + max(leeway, 5):
            raise InvalidToken("early")
    return int(expires)


def check_audience(claims: Claims, accepted: Collection[str]) -> None:
    """:raises InvalidToken: when it is meant for others."""
    audience = claims.get("aud")
    named = [audience] if isinstance(audience, str) else audience if isinstance(audience, list) else []
    if not any(isinstance(one, str) and one in accepted for one in named):
        raise InvalidToken("audience")


def text(claims: Claims, name: str) -> str:
    """A claim that is text; empty when it is absent.

    :raises InvalidToken: when it is anything else.
    """
    found = claims.get(name, "")
    if not isinstance(found, str):
        raise InvalidToken("claims")
    return found


def _number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1 << 53
