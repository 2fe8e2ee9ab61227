"""A server of key sets on loopback, which counts who asks."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class KeyServer:
    """``keys`` is what it answers, ``headers`` with what, ``hits`` counts the questions."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/jwks"
        self.keys: Any = {"keys": []}
        self.headers: dict[str, str] = {}
        self.status = 200
        self.hits = 0


@contextmanager
def key_server() -> Iterator[KeyServer]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known.hits += 1
            body = known.keys if isinstance(known.keys, bytes) else json.dumps(known.keys).encode()
            self.send_response(known.status)
            for name, value in {"Content-Length": str(len(body)), **known.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    known = KeyServer(server.server_port)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield known
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
