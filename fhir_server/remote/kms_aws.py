"""AWS KMS, https://docs.aws.amazon.com/kms/latest/APIReference/API_Encrypt.html, with Signature Version 4.

Who we are comes, in this order, from ``AWS_ACCESS_KEY_ID`` and its kin, from the container's credentials endpoint (ECS,
EKS Pod Identity), or from the metadata service of the machine (IMDSv2).
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from fhir_server.errors import KeysError
from fhir_server.remote.http import httpx
from fhir_server.remote.kms import TIMEOUT_SECONDS, ask, field, raw, text

_WHAT = "AWS KMS"
_ARN = re.compile(r"arn:(aws[\w-]*):kms:([\w-]+):\d*:(key|alias)/[\w/:-]+")
_CONTAINER = "http://169.254.170.2"
_MACHINE = "http://169.254.169.254"
_JSON = "application/x-amz-json-1.1"
_EARLY_SECONDS = 300
_DEFAULT_SECONDS = 900
_CONTEXT = {"application": "fhir-server"}


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who signs; ``until`` in seconds since the epoch."""

    access_key: str
    secret_key: str
    token: str = ""
    until: float = float("inf")

    def __repr__(self) -> str:
        return f"Credentials({self.access_key})"


class AwsKms:
    """A symmetric key of AWS KMS; ``AWS_ENDPOINT_URL_KMS`` names another endpoint (a VPC endpoint)."""

    name = "aws-kms"

    def __init__(self, arn: str, region: str, domain: str) -> None:
        self._arn, self._region = arn, region
        self._endpoint = os.environ.get("AWS_ENDPOINT_URL_KMS", f"https://kms.{region}.{domain}").rstrip("/")
        self._credentials: Credentials | None = None

    @classmethod
    def of(cls, arn: str) -> Self | None:
        found = _ARN.fullmatch(arn)
        if found is None:
            return None
        return cls(arn, found[2], "amazonaws.com.cn" if found[1] == "aws-cn" else "amazonaws.com")

    async def begin(self) -> None:
        """The key is made by whoever runs the account."""

    async def wrap(self, plain: bytes) -> bytes:
        return raw(_WHAT, await self._ask("Encrypt", {"Plaintext": text(plain)}, "CiphertextBlob"))

    async def unwrap(self, wrapped: bytes) -> bytes:
        return raw(_WHAT, await self._ask("Decrypt", {"CiphertextBlob": text(wrapped)}, "Plaintext"))

    async def _ask(self, act: str, more: dict[str, Any], wanted: str) -> str:
        if self._credentials is None or self._credentials.until - _EARLY_SECONDS < time.time():
            self._credentials = await credentials()
        body = json.dumps({"KeyId": self._arn, "EncryptionContext": _CONTEXT, **more}).encode()
        headers = {"Content-Type": _JSON, "X-Amz-Target": f"TrentService.{act}"}
        signed = sign(self._credentials, self._region, f"{self._endpoint}/", headers, body, datetime.now(UTC))
        return field(_WHAT, await ask(_WHAT, f"{self._endpoint}/", content=body, headers=signed), wanted)


def sign(
    who: Credentials, region: str, url: str, headers: Mapping[str, str], body: bytes, now: datetime
) -> dict[str, str]:
    """The headers of a POST to KMS with its signature."""
    at, day = f"{now:%Y%m%dT%H%M%SZ}", f"{now:%Y%m%d}"
    whole = {**headers, "Host": urlsplit(url).netloc, "X-Amz-Date": at}
    if who.token:
        whole["X-Amz-Security-Token"] = who.token
    lines = sorted((name.lower(), value.strip()) for name, value in whole.items())
    names = ";".join(name for name, _ in lines)
    asked = "\n".join(
        ("POST", urlsplit(url).path or "/", "", *(f"{name}:{value}" for name, value in lines), "", names, _sha(body))
    )
    scope = f"{day}/{region}/kms/aws4_request"
    key = f"AWS4{who.secret_key}".encode()
    for part in (day, region, "kms", "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    to_sign = "\n".join(("AWS4-HMAC-SHA256", at, scope, _sha(asked.encode())))
    signature = hmac.digest(key, to_sign.encode(), "sha256").hex()
    whole["Authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={who.access_key}/{scope}, SignedHeaders={names}, Signature={signature}"
    )
    return whole


async def credentials() -> Credentials:
    """Who this process is.

    :raises KeysError: nobody says it.
    """
    env = os.environ
    if "AWS_ACCESS_KEY_ID" in env and "AWS_SECRET_ACCESS_KEY" in env:
        return Credentials(env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"], env.get("AWS_SESSION_TOKEN", ""))
    if relative := env.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"):
        return _read(await ask("the container's credentials endpoint", f"{_CONTAINER}{relative}", method="GET"))
    if full := env.get("AWS_CONTAINER_CREDENTIALS_FULL_URI"):
        token = _container_token()
        headers = {"Authorization": token} if token else {}
        return _read(await ask("the container's credentials endpoint", full, method="GET", headers=headers))
    return await _of_machine(env.get("AWS_EC2_METADATA_SERVICE_ENDPOINT", _MACHINE).rstrip("/"))


def _container_token() -> str:
    file = os.environ.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")
    try:
        return Path(file).read_text().strip() if file else os.environ.get("AWS_CONTAINER_AUTHORIZATION_TOKEN", "")
    except OSError as failed:
        msg = "The file that AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE names cannot be read."
        raise KeysError(msg) from failed


async def _of_machine(base: str) -> Credentials:
    what = "the machine's metadata service"
    try:
        async with httpx.AsyncClient(timeout=TIMEOUT_SECONDS, trust_env=False) as client:
            session = await client.put(
                f"{base}/latest/api/token", headers={"X-aws-ec2-metadata-token-ttl-seconds": "300"}
            )
            headers = {"X-aws-ec2-metadata-token": session.text}
            roles = f"{base}/latest/meta-data/iam/security-credentials/"
            role = (await client.get(roles, headers=headers)).text.strip().splitlines()
    except httpx.HTTPError as failed:
        msg = "FHIR_KEYS names AWS KMS, and neither AWS_ACCESS_KEY_ID nor a role of the machine says who asks."
        raise KeysError(msg) from failed
    if not role:
        msg = "FHIR_KEYS names AWS KMS, and this machine has no role."
        raise KeysError(msg)
    return _read(await ask(what, f"{roles}{role[0]}", method="GET", headers=headers))


def _read(answer: Any) -> Credentials:
    what = "AWS's credentials endpoint"
    try:
        until = datetime.fromisoformat(field(what, answer, "Expiration")).timestamp()
    except ValueError:
        until = time.time() + _DEFAULT_SECONDS
    return Credentials(
        field(what, answer, "AccessKeyId"),
        field(what, answer, "SecretAccessKey"),
        str(answer.get("Token") or answer.get("SessionToken") or ""),
        until,
    )


def _sha(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()
