"""Loopback twins of Vault, AWS KMS and Google Cloud KMS: their REST as far as the adapters speak it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

VAULT_TOKEN, ACCESS_KEY, SECRET_KEY, SESSION = "vault-token", "AKIDEXAMPLE", "secret/example", "session-token"
GCP_TOKEN = "gcp-token"

_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/kms/aws4_request, "
    r"SignedHeaders=([\w;-]+), Signature=(\w+)"
)


class KeyService:
    """One server that is all three; ``seen`` has path and headers of every request."""

    def __init__(self) -> None:
        self.keys: dict[str, AESGCM] = {}
        self.seen: list[tuple[str, dict[str, str]]] = []
        self.account_key: Any = None
        self.down = False
        self.url = ""

    def wrap(self, key: str, plain: bytes, bound: bytes = b"") -> bytes:
        nonce = os.urandom(12)
        return nonce + self.keys.setdefault(key, AESGCM(os.urandom(32))).encrypt(nonce, plain, bound)

    def unwrap(self, key: str, wrapped: bytes, bound: bytes = b"") -> bytes | None:
        try:
            return self.keys.setdefault(key, AESGCM(os.urandom(32))).decrypt(wrapped[:12], wrapped[12:], bound)
        except (InvalidTag, ValueError):
            return None

    def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, Any]:
        self.seen.append((path, headers))
        if self.down:
            return 503, {}
        if path.startswith("/v1/projects/"):
            return self._google(path, headers, json.loads(body))
        if path.startswith("/v1/"):
            return self._vault(path, headers, json.loads(body))
        if path == "/" and "x-amz-target" in headers:
            return self._aws(headers, body)
        return self._identity(method, path, headers, body)

    def _vault(self, path: str, headers: dict[str, str], body: Any) -> tuple[int, Any]:
        _, _, mount, act, key = path.split("/")
        if headers.get("x-vault-token") != VAULT_TOKEN:
            return 403, {"errors": ["permission denied"]}
        if act == "encrypt":
            sealed = _text(self.wrap(f"{mount}/{key}", base64.b64decode(body["plaintext"])))
            return 200, {"data": {"ciphertext": f"vault:v1:{sealed}", "key_version": 1}}
        found = re.fullmatch(r"vault:v1:(.+)", body["ciphertext"])
        plain = self.unwrap(f"{mount}/{key}", base64.b64decode(found[1])) if found else None
        return (
            (400, {"errors": ["invalid ciphertext"]}) if plain is None else (200, {"data": {"plaintext": _text(plain)}})
        )

    def _google(self, path: str, headers: dict[str, str], body: Any) -> tuple[int, Any]:
        key, _, act = path.rpartition(":")
        if headers.get("authorization") != f"Bearer {GCP_TOKEN}":
            return 403, {}
        if act == "encrypt":
            return 200, {"name": key, "ciphertext": _text(self.wrap(key, base64.b64decode(body["plaintext"])))}
        plain = self.unwrap(key, base64.b64decode(body["ciphertext"]))
        return (400, {}) if plain is None else (200, {"plaintext": _text(plain)})

    def _aws(self, headers: dict[str, str], body: bytes) -> tuple[int, Any]:
        if not _signed(headers, body):
            return 403, {"__type": "InvalidSignatureException"}
        asked = json.loads(body)
        bound = json.dumps(asked["EncryptionContext"], sort_keys=True).encode()
        if headers["x-amz-target"] == "TrentService.Encrypt":
            blob = self.wrap(asked["KeyId"], base64.b64decode(asked["Plaintext"]), bound)
            return 200, {"CiphertextBlob": _text(blob), "KeyId": asked["KeyId"]}
        plain = self.unwrap(asked["KeyId"], base64.b64decode(asked["CiphertextBlob"]), bound)
        return (400, {"__type": "InvalidCiphertextException"}) if plain is None else (200, {"Plaintext": _text(plain)})

    def _identity(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, Any]:
        """Who the caller is: credentials endpoints and metadata services."""
        role = {"AccessKeyId": ACCESS_KEY, "SecretAccessKey": SECRET_KEY, "Token": SESSION}
        role["Expiration"] = "2099-01-01T00:00:00Z"
        token = {"access_token": GCP_TOKEN, "expires_in": 3600, "token_type": "Bearer"}
        if path == "/container":
            return (200, role) if headers.get("authorization") == "pod" else (403, {})
        if path == "/latest/api/token" and method == "PUT":
            return 200, "imds-session"
        if path.startswith("/latest/meta-data/iam/"):
            if headers.get("x-aws-ec2-metadata-token") != "imds-session":
                return 401, {}
            return (200, role) if path.endswith("/server-role") else (200, "server-role")
        if path.startswith("/computeMetadata/"):
            return (200, token) if headers.get("metadata-flavor") == "Google" else (403, {})
        if path == "/token":
            return (200, token) if self._is_account(parse_qs(body.decode())["assertion"][0]) else (400, {})
        return 404, {}

    def _is_account(self, assertion: str) -> bool:
        """Whether the service account signed it."""
        signed, _, signature = assertion.rpartition(".")
        raw = base64.urlsafe_b64decode(signature + "==")
        self.account_key.verify(raw, signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        claims = json.loads(base64.urlsafe_b64decode(signed.split(".")[1] + "=="))
        return claims["aud"] == f"{self.url}/token" and claims["exp"] > claims["iat"]


@contextmanager
def key_service() -> Iterator[KeyService]:
    """The twin on a free loopback port."""
    service = KeyService()

    class Handler(BaseHTTPRequestHandler):
        def _any(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, found = service.answer(self.command, self.path, headers, body)
            raw = found.encode() if isinstance(found, str) else json.dumps(found).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        do_GET = do_POST = do_PUT = _any  # noqa: N815  the names that http.server calls

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        service.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield service
        finally:
            server.shutdown()
            thread.join()


def _signed(headers: dict[str, str], body: bytes) -> bool:
    """Whether the request carries the signature of ``SECRET_KEY``, computed anew from what arrived."""
    found = _AUTHORIZATION.fullmatch(headers.get("authorization", ""))
    if not found or found[1] != ACCESS_KEY or not {"host", "x-amz-date"} <= set(found[4].split(";")):
        return False
    lines = "".join(f"{name}:{headers[name].strip()}\n" for name in found[4].split(";"))
    asked = f"POST\n/\n\n{lines}\n{found[4]}\n{hashlib.sha256(body).hexdigest()}"
    scope = f"{found[2]}/{found[3]}/kms/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{headers['x-amz-date']}\n{scope}\n{hashlib.sha256(asked.encode()).hexdigest()}"
    key = b"AWS4" + SECRET_KEY.encode()
    for part in (found[2], found[3], "kms", "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.compare_digest(hmac.digest(key, text.encode(), "sha256").hex(), found[5])


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
