"""A fuzz run: thousands of requests over every route, header and body mutation.

No answer is a 500, none takes long twice, every refusal is an OperationOutcome that says nothing of our insides, and
the process does not grow. The requests follow from a seed; ``FHIR_TEST_FUZZ`` says how many there are (``make soak``
asks for more).
"""

from __future__ import annotations

import gc
import os
import time
from pathlib import Path
from typing import Any

import pytest

from fhir_server.services.world import World
from tests.builders.fuzz import Fuzz

COUNT = int(os.environ.get("FHIR_TEST_FUZZ", "4000"))
LONG = 2.0
"""Seconds, the best of three, on a machine that also does other work."""
GROWTH_MB = 60
INSIDES = (b"Traceback", b"pymongo", b"mongodb://", b"fhir_server/", b"site-packages", b"pydantic", b"127.0.0.1")


@pytest.fixture
def fuzz(world: World) -> Fuzz:
    return Fuzz(20261124, world.definitions)


async def test_no_request_breaks_the_server(client: Any, fuzz: Fuzz) -> None:
    half = 0.0
    for number in range(COUNT):
        request = fuzz.request()
        answer, seconds = await _ask(client, request)
        told = (number, request, answer.status_code, answer.text[:500])
        assert answer.status_code < 500, told
        if seconds > LONG:
            # The machine may have been busy elsewhere: what is slow by itself is slow again.
            again = [(await _ask(client, request))[1] for _ in range(3)]
            assert min(again) < LONG, (*told, seconds, again)
        if answer.status_code >= 400 and request["method"] != "HEAD":
            assert not any(one in answer.content for one in INSIDES), told
            # A path with dots may lead out of the FHIR base.
            if answer.url.path.startswith("/fhir"):
                _check_outcome(answer, told)
        if number == COUNT // 2:
            half = _resident()
    gc.collect()
    assert _resident() - half < GROWTH_MB, "memory grows"


async def _ask(client: Any, request: dict[str, Any]) -> tuple[Any, float]:
    begun = time.monotonic()
    answer = await client.request(
        request["method"], request["url"], headers=request["headers"], content=request.get("content")
    )
    return answer, time.monotonic() - begun


def _check_outcome(answer: Any, told: Any) -> None:
    kind = answer.headers["content-type"]
    if kind.startswith("application/fhir+xml"):
        assert answer.content.lstrip(b'<?xml version="1.0" encoding="UTF-8"?>\n ').startswith(b"OperationOutcome"), told
        return
    assert kind.startswith("application/fhir+json"), told
    outcome = answer.json()
    assert outcome["resourceType"] == "OperationOutcome", told
    assert outcome["issue"], told


def _resident() -> float:
    """Megabytes of this process in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
