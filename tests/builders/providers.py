"""Loopback twins of SendGrid, Twilio, Firebase and a browser's push service: their REST as far as we speak it."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

SENDGRID_KEY, ACCOUNT, TOKEN, FCM_TOKEN = "SG.key/secret", "AC0123456789", "twilio-secret", "fcm-token"

FAULTS: dict[str, dict[str, tuple[int, dict[str, str], Any]]] = {
    "sendgrid": {
        "throttled": (429, {"Retry-After": "7"}, {}),
        "credentials": (401, {}, {"errors": [{"message": "The provided authorization grant is invalid"}]}),
        "unavailable": (503, {}, {}),
        "rejected": (400, {}, {"errors": [{"message": "Bad subject", "field": "subject"}]}),
        "invalid-address": (
            400, {}, {"errors": [{"message": "No valid address.", "field": "personalizations.0.to.0.email"}]},
        ),
    },
    "twilio": {
        "throttled": (429, {"Retry-After": "7"}, {"code": 20429, "status": 429}),
        "credentials": (401, {}, {"code": 20003, "status": 401}),
        "unavailable": (500, {}, {}),
        "rejected": (400, {}, {"code": 21617, "message": "The message body exceeds the 1600 character limit."}),
        "invalid-address": (400, {}, {"code": 21211, "message": "Invalid 'To' Phone Number"}),
        "unsubscribed": (400, {}, {"code": 21610, "message": "Attempt to send to unsubscribed recipient"}),
    },
    "fcm": {
        "throttled": (429, {"Retry-After": "7"}, {"error": {"status": "RESOURCE_EXHAUSTED"}}),
        "credentials": (401, {}, {"error": {"status": "UNAUTHENTICATED"}}),
        "unavailable": (503, {}, {"error": {"status": "UNAVAILABLE"}}),
        "rejected": (400, {}, {"error": {"status": "INVALID_ARGUMENT"}}),
        "invalid-address": (
            404, {}, {"error": {"status": "NOT_FOUND", "details": [{"errorCode": "UNREGISTERED"}]}},
        ),
    },
    "web": {
        "throttled": (429, {"Retry-After": "7"}, {}),
        "credentials": (403, {}, {}),
        "unavailable": (502, {}, {}),
        "rejected": (413, {}, {}),
        "invalid-address": (410, {}, {}),
    },
}  # fmt: skip


class Providers:
    """One server that is all of them; ``seen`` has path, headers and body of each message that was taken."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.seen: list[tuple[str, dict[str, str], Any]] = []
        self.faults: list[tuple[int, dict[str, str], Any]] = []
        self.tokens = 0

    def answer(self, path: str, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str], Any]:
        if path == "/token":
            self.tokens += 1
            assert parse_qs(body.decode())["assertion"][0].count(".") == 2
            return 200, {}, {"access_token": FCM_TOKEN, "expires_in": 3600, "token_type": "Bearer"}
        if self.faults:
            return self.faults.pop(0)
        known, status, made, found = self._taken(path, headers, body)
        if headers.get("authorization", "").removeprefix("Bearer ") != known and not known.startswith("vapid"):
            return 401, {}, {}
        self.seen.append((path, headers, found))
        return status, {"X-Message-Id": f"sg-{len(self.seen)}"}, made

    def _taken(self, path: str, headers: dict[str, str], body: bytes) -> tuple[str, int, Any, Any]:
        number = len(self.seen) + 1
        if path == "/v3/mail/send":
            return SENDGRID_KEY, 202, {}, json.loads(body)
        if path.startswith(f"/2010-04-01/Accounts/{ACCOUNT}/"):
            form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
            basic = base64.b64encode(f"{ACCOUNT}:{TOKEN}".encode()).decode()
            return f"Basic {basic}", 201, {"sid": f"SM{number}", "status": "queued"}, form
        if path.startswith("/v1/projects/"):
            return FCM_TOKEN, 200, {"name": f"projects/p/messages/{number}"}, json.loads(body)
        return "vapid", 201, {}, body


@contextmanager
def providers() -> Iterator[Providers]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, more, found = known.answer(self.path, headers, body)
            raw = json.dumps(found).encode()
            self.send_response(status)
            for name, value in {"Content-Length": str(len(raw)), **more}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        known = Providers(server.server_port)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield known
        finally:
            server.shutdown()
            thread.join()
