"""The first floor: an ASGI application that knows nothing and answers recorded bytes."""

from __future__ import annotations

import json
from base64 import b64decode
from typing import Any

_KEPT_OUT = {"content-length", "content-type", "date", "server", "connection"}
_answers: dict[tuple[str, str], tuple[dict[str, Any], dict[str, Any]]] = {}


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Read the whole body, answer what was recorded for this method and target; ``POST /learn`` records."""
    if scope["type"] != "http":
        return
    parts = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            break
    if scope["path"] == "/learn":
        _learn(json.loads(b"".join(parts)))
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})
        return
    start, body = _answers[scope["method"], scope["path"]]
    await send(start)
    await send(body)


def _learn(exchanges: list[dict[str, Any]]) -> None:
    for one in exchanges:
        method, target, _ = b64decode(one["request"]).split(b" ", 2)
        body = b64decode(one["body"])
        lines = [line.partition(": ")[::2] for line in one["head"].split("\r\n")[1:]]
        headers = [(name.lower().encode(), value.encode()) for name, value in lines if name.lower() not in _KEPT_OUT]
        headers += [
            (b"content-type", b"application/fhir+json; charset=utf-8"),
            (b"content-length", str(len(body)).encode()),
        ]
        path = target.decode().partition("?")[0]
        start = {"type": "http.response.start", "status": one["status"], "headers": headers}
        _answers[method.decode(), path] = (start, {"type": "http.response.body", "body": body})
