"""Counters and times for Prometheus, by route and status; never by id or query.

With several worker processes (``PROMETHEUS_MULTIPROC_DIR``) whichever is asked answers for all of them.
https://prometheus.github.io/client_python/multiprocess/
"""

from __future__ import annotations

import os

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector

from fhir_server.services.following.status import Status

CONTENT_TYPE = CONTENT_TYPE_LATEST

REQUESTS = Counter("fhir_requests_total", "FHIR requests", ["method", "route", "status"])
SECONDS = Histogram(
    "fhir_request_seconds",
    "Time to answer a FHIR request",
    ["route"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)


def observe(method: str, route: str, status: int, seconds: float) -> None:
    """Count one answer."""
    REQUESTS.labels(method if method in _METHODS else "OTHER", route, str(status)).inc()
    SECONDS.labels(route).observe(seconds)


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def following(found: Status) -> bytes:
    """How far behind what follows from writes is, as it is now."""
    registry = CollectorRegistry()
    Gauge("fhir_outbox_versions", "versions that nobody was told of yet", registry=registry).set(found.untold)
    Gauge("fhir_outbox_lag_seconds", "how long the oldest of them waits", registry=registry).set(found.lag / 1000)
    work = Gauge("fhir_work", "pieces of work by kind and state", ["kind", "state"], registry=registry)
    for (kind, state), count in found.work.items():
        work.labels(kind, state).set(count)
    return generate_latest(registry)


def exposition() -> bytes:
    """Everything that is counted, in the text format of Prometheus."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return generate_latest(REGISTRY)
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # the library has no types here
    return generate_latest(registry)
