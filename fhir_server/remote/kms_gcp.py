"""Google Cloud KMS, https://cloud.google.com/kms/docs/reference/rest.

Who we are comes from a service account's file (``GOOGLE_APPLICATION_CREDENTIALS``), else from the metadata server of
the machine. https://google.aip.dev/auth/4112 https://google.aip.dev/auth/4115
"""

from __future__ import annotations

import os
import re
import time
from typing import Any, Self

from fhir_server.errors import KeysError
from fhir_server.remote import google
from fhir_server.remote.kms import ask, field, raw, text

_WHAT = "Google Cloud KMS"
_NAME = re.compile(r"projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+")
_SCOPE = "https://www.googleapis.com/auth/cloudkms"
_EARLY_SECONDS = 60


class GcpKms:
    """A symmetric key of Cloud KMS."""

    name = "gcp-kms"

    def __init__(self, key: str, endpoint: str = "https://cloudkms.googleapis.com") -> None:
        self._url = f"{endpoint}/v1/{key}"
        self._token, self._until = "", 0.0

    @classmethod
    def of(cls, key: str) -> Self | None:
        return cls(key) if _NAME.fullmatch(key) else None

    async def begin(self) -> None:
        """The key is made by whoever runs the project."""

    async def wrap(self, plain: bytes) -> bytes:
        return raw(_WHAT, await self._ask("encrypt", {"plaintext": text(plain)}, "ciphertext"))

    async def unwrap(self, wrapped: bytes) -> bytes:
        return raw(_WHAT, await self._ask("decrypt", {"ciphertext": text(wrapped)}, "plaintext"))

    async def _ask(self, act: str, body: dict[str, str], wanted: str) -> str:
        headers = {"Authorization": f"Bearer {await self._access_token()}"}
        return field(_WHAT, await ask(_WHAT, f"{self._url}:{act}", json=body, headers=headers), wanted)

    async def _access_token(self) -> str:
        if time.time() >= self._until:
            path = os.environ.get("GOOGLE_APPLICATION_CREDENTIALS")
            answer = await (_of_account(path) if path else _of_machine())
            self._token = field(_WHAT, answer, "access_token")
            self._until = time.time() + float(answer.get("expires_in") or 0) - _EARLY_SECONDS
        return self._token


async def _of_machine() -> Any:
    host = os.environ.get("GCE_METADATA_HOST", "metadata.google.internal")
    url = f"http://{host}/computeMetadata/v1/instance/service-accounts/default/token"
    return await ask("Google's metadata server", url, method="GET", headers={"Metadata-Flavor": "Google"})


async def _of_account(path: str) -> Any:
    try:
        account = google.account_of(path)
    except ValueError as failed:
        msg = "GOOGLE_APPLICATION_CREDENTIALS names no file of a service account with a private key."
        raise KeysError(msg) from failed
    form = {"grant_type": google.GRANT, "assertion": google.assertion(account, _SCOPE, int(time.time()))}
    return await ask("Google's token endpoint", account["token_uri"], data=form)
