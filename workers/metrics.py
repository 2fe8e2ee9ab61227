"""What a worker counts, for Prometheus: pieces of work by kind and outcome, and how long they took."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from prometheus_client import Counter, Histogram, start_http_server

PERFORMED = Counter("fhir_work_total", "pieces of due work", ["kind", "outcome"])
SECONDS = Histogram("fhir_work_seconds", "time that a piece of due work took", ["kind"])


@contextmanager
def performing(kind: str) -> Iterator[Callable[[str | None], None]]:
    """Around one piece of work; what is called with its outcome counts it, a fault counts as ``fault``."""
    began = time.perf_counter()
    outcome: list[str | None] = ["fault"]
    try:
        yield lambda told: outcome.__setitem__(0, told)
    finally:
        if outcome[0] is not None:
            PERFORMED.labels(kind, outcome[0]).inc()
            SECONDS.labels(kind).observe(time.perf_counter() - began)


def serve(port: int) -> None:
    """Answer ``/metrics`` on a loopback port; 0 = not at all."""
    if port:
        start_http_server(port, addr="127.0.0.1")
