"""What wraps the keys of data at rest, by the setting FHIR_KEYS: one port, four adapters.

FHIR_KEYS                                    wraps with
-------------------------------------------  ------------------------------------------------------------
file:/etc/fhir/keys                          32 bytes in a file, AES-256-GCM; for development
vault:https://vault.example:8200/transit/k   the key ``k`` of Vault's secrets engine mounted at ``transit``
aws-kms:arn:aws:kms:eu-west-1:1:key/…        a symmetric key of AWS KMS
gcp-kms:projects/p/locations/l/keyRings/…    a symmetric key of Google Cloud KMS
"""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from fhir_server.errors import KeysError
from fhir_server.remote.http import httpx

KEY_BYTES, NONCE_BYTES = 32, 12
TIMEOUT_SECONDS = 10.0
_BOUND = b"fhir-server keys"


class Kms(Protocol):
    """Wraps and unwraps keys of at most 100 bytes."""

    @property
    def name(self) -> str:
        """What it is, without secrets."""
        ...

    async def begin(self) -> None:
        """Called once before the first key of a database is wrapped."""
        ...

    async def wrap(self, plain: bytes) -> bytes:
        """:raises KeysError: it cannot."""
        ...

    async def unwrap(self, wrapped: bytes) -> bytes:
        """:raises KeysError: it cannot, or it did not wrap this."""
        ...


class FileKms:
    """A key in a file that only its owner can read."""

    name = "file"

    def __init__(self, path: Path) -> None:
        self._path = path

    async def begin(self) -> None:
        """Make the file where it is missing."""
        if self._path.exists():
            return
        made = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(os.urandom(KEY_BYTES))
                file.flush()
                os.fsync(file.fileno())
            try:
                # Unlike a rename it never replaces the file that another process made at the same moment.
                os.link(made, self._path)
            except FileExistsError:
                return
            finally:
                made.unlink()
        except OSError as failed:
            msg = f"The key file {self._path} cannot be made: {failed.strerror}."
            raise KeysError(msg) from failed

    async def wrap(self, plain: bytes) -> bytes:
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._key().encrypt(nonce, plain, _BOUND)

    async def unwrap(self, wrapped: bytes) -> bytes:
        try:
            return self._key().decrypt(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], _BOUND)
        except (InvalidTag, ValueError):
            msg = f"The key file {self._path} is not the one that wrapped the keys of this database."
            raise KeysError(msg) from None

    def _key(self) -> AESGCM:
        try:
            mode, key = self._path.stat().st_mode, self._path.read_bytes()
        except OSError as failed:
            msg = f"The key file {self._path} cannot be read ({failed.strerror}); without it the data cannot be opened."
            raise KeysError(msg) from failed
        if mode & 0o077:
            msg = f"The key file {self._path} can be read by others; chmod 600 it."
            raise KeysError(msg)
        if len(key) != KEY_BYTES:
            msg = f"The key file {self._path} does not hold {KEY_BYTES} bytes."
            raise KeysError(msg)
        return AESGCM(key)


def of(setting: str) -> Kms:
    """What FHIR_KEYS names.

    :raises KeysError: it is empty, or names nothing that is known.
    """
    from fhir_server.remote.kms_aws import AwsKms  # noqa: PLC0415  they use this module
    from fhir_server.remote.kms_gcp import GcpKms  # noqa: PLC0415
    from fhir_server.remote.kms_vault import VaultKms  # noqa: PLC0415

    if not setting:
        msg = (
            "FHIR_KEYS is not set: data at rest is sealed, and it says what wraps the keys "
            "(file:PATH, vault:URL, aws-kms:ARN or gcp-kms:NAME)."
        )
        raise KeysError(msg)
    kind, _, rest = setting.partition(":")
    if kind == "file" and rest:
        return FileKms(Path(rest).expanduser())
    made = {"vault": VaultKms.of, "aws-kms": AwsKms.of, "gcp-kms": GcpKms.of}.get(kind)
    found: Kms | None = made(rest) if made else None
    if found is None:
        msg = f"FHIR_KEYS is none of file:PATH, vault:URL, aws-kms:ARN and gcp-kms:NAME: {setting[:80]}"
        raise KeysError(msg)
    return found


async def ask(what: str, url: str, **request: Any) -> Any:
    """The JSON answer of a key management service to one POST (or GET, as ``method``).

    :raises KeysError: it does not answer, or refuses; the service's text is not shown.
    """
    method = request.pop("method", "POST")
    try:
        # Proxies of the environment are no place for keys.
        async with httpx.AsyncClient(timeout=TIMEOUT_SECONDS, trust_env=False) as client:
            answer = await client.request(method, url, **request)
    except httpx.HTTPError as failed:
        msg = f"{what} does not answer at {httpx.URL(url).host}: {type(failed).__name__}."
        raise KeysError(msg) from failed
    if answer.status_code in {400, 403}:
        msg = f"{what} refuses (HTTP {answer.status_code}): wrong key, or no permission to use it."
        raise KeysError(msg)
    if not answer.is_success:
        msg = f"{what} answers HTTP {answer.status_code}."
        raise KeysError(msg)
    try:
        return answer.json()
    except ValueError:
        msg = f"{what} gives no JSON."
        raise KeysError(msg) from None


def field(what: str, answer: Any, *path: str) -> str:
    """A text inside of an answer.

    :raises KeysError: it is not there.
    """
    for name in path:
        answer = answer.get(name) if isinstance(answer, dict) else None
    if not isinstance(answer, str):
        msg = f"{what} gives no {path[-1]}."
        raise KeysError(msg)
    return answer


def text(raw: bytes) -> str:
    """Base64, as all of these services want it."""
    return base64.b64encode(raw).decode()


def raw(what: str, said: str) -> bytes:
    """The bytes of a service's base64."""
    try:
        return base64.b64decode(said, validate=True)
    except ValueError:
        msg = f"{what} gives no base64."
        raise KeysError(msg) from None
