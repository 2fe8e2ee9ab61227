"""How a service account proves itself to Google's token endpoint. https://google.aip.dev/auth/4112"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from joserfc import jwt
from joserfc.jwk import RSAKey

GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"


def account_of(path: str) -> dict[str, Any]:
    """The file of a service account.

    :raises ValueError: it cannot be read or is none.
    """
    try:
        account = json.loads(Path(path).read_bytes())
        RSAKey.import_key(account["private_key"])
        return {**account, "client_email": str(account["client_email"]), "token_uri": str(account["token_uri"])}
    except (OSError, ValueError, KeyError, TypeError) as failed:
        msg = "no file of a service account with a private key"
        raise ValueError(msg) from failed


def assertion(account: dict[str, Any], scope: str, now: int) -> str:
    """What the account signs for its token endpoint, good for ten minutes from ``now`` (epoch seconds)."""
    claims = {
        "iss": account["client_email"], "scope": scope, "aud": account["token_uri"], "iat": now, "exp": now + 600,
    }  # fmt: skip
    header = {"alg": "RS256", "kid": account.get("private_key_id", "")}
    return jwt.encode(header, claims, RSAKey.import_key(account["private_key"]))
