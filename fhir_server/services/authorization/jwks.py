"""The one key of a key set that a token may be signed with. https://www.rfc-editor.org/rfc/rfc7517"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from fhir_server.services.authorization.invalid_token import InvalidToken

CURVES = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}
RSA_ALGORITHMS = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
ALGORITHMS = frozenset(CURVES) | RSA_ALGORITHMS
SMALLEST_RSA = 2048
PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})


def key_of(keys: Mapping[str, Any], kid: str, algorithm: str) -> ECKey | RSAKey:
    """The public key with that name, which fits the algorithm.

    :raises InvalidToken: there is none, there are two, or it is a key for something else.
    """
    listed = keys.get("keys")
    named = (
        [one for one in listed if isinstance(one, dict) and one.get("kid") == kid] if isinstance(listed, list) else []
    )
    if not kid or len(named) != 1:
        raise InvalidToken("key")
    return read(named[0], algorithm)


def read(found: Mapping[str, Any], algorithm: str) -> ECKey | RSAKey:
    """A public key for an algorithm.

    :raises InvalidToken: it is none, or one for something else.
    """
    if PRIVATE & found.keys() or found.get("alg", algorithm) != algorithm or found.get("use", "sig") != "sig":
        raise InvalidToken("key")
    try:
        if algorithm in CURVES and found.get("kty") == "EC" and found.get("crv") == CURVES[algorithm]:
            return ECKey.import_key(dict(found))
        if algorithm in RSA_ALGORITHMS and found.get("kty") == "RSA" and _bits(found["n"]) >= SMALLEST_RSA:
            return RSAKey.import_key(dict(found))
    except (JoseError, ValueError, TypeError, KeyError):
        raise InvalidToken("key") from None
    raise InvalidToken("key")


def _bits(modulus: str) -> int:
    """The size of an RSA key."""
    raw = base64.urlsafe_b64decode(modulus + "=" * (-len(modulus) % 4))
    return int.from_bytes(raw, "big").bit_length()


def fault_of(keys: Any) -> str:
    """Why this cannot be registered as somebody's key set; empty when it can."""
    listed = keys.get("keys") if isinstance(keys, dict) else None
    if not isinstance(listed, list) or not listed or not all(isinstance(one, dict) for one in listed):
        return "jwks is an object with a list of keys"
    if any(PRIVATE & one.keys() for one in listed):
        return "jwks holds public keys only"
    names = [one.get("kid") for one in listed]
    if not all(isinstance(name, str) and name for name in names) or len(set(names)) != len(names):
        return "every key has a kid of its own"
    for one in listed:
        algorithm = one.get("alg") or ("ES384" if one.get("kty") == "EC" else "RS384")
        if algorithm not in ALGORITHMS:
            return "keys are RSA or EC keys that sign"
        try:
            read(one, algorithm)
        except InvalidToken:
            return "keys are RSA keys of at least 2048 bits or EC keys of the curve P-384"
    return ""
