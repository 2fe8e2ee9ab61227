"""Answers of a test run, one of each shape, to be checked by the independent validator when the run ends.

``FHIR_TEST_ANSWERS=1`` switches it on. A resource counts as seen when one of its type with the same elements was; a
Bundle is checked with its first entries, and what it holds one by one.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from typing import Any

import pytest

from fhir_server.fhir.subset import is_subsetted
from tests.conformance import independent

MOST = 3000
"""Shapes that are kept."""

SECONDS = 60
"""The time that the check may take."""

ENTRIES = 3
"""Entries with which a Bundle is checked."""

NAMED = 20
"""Invalid answers that are shown."""


class Recorder:
    """Collects by :meth:`hear`, judges by :meth:`check`."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, frozenset[str]], tuple[str, dict[str, Any]]] = {}

    async def hear(self, response: Any) -> None:
        """A hook of the HTTP client: look at an answer that is FHIR JSON."""
        if response.headers.get("content-type", "").startswith("application/fhir+json"):
            body = await response.aread()
            if body:
                self.keep(json.loads(body), f"{response.request.method} {response.request.url.path}")

    def keep(self, resource: dict[str, Any], origin: str) -> None:
        """Remember a resource and what a Bundle holds, each shape once; a part of a resource need not be valid."""
        if is_subsetted(resource):
            return
        if resource.get("resourceType") == "Bundle":
            for entry in resource.get("entry", ()):
                if "resource" in entry:
                    self.keep(entry["resource"], origin)
            resource = {**resource, **({"entry": resource["entry"][:ENTRIES]} if "entry" in resource else {})}
            shape = frozenset({resource["type"], *(path for path in _paths(resource) if ".resource." not in path)})
        else:
            shape = frozenset(_paths(resource))
        if len(self.kept) < MOST:
            self.kept.setdefault((resource["resourceType"], shape), (origin, resource))

    def faults(self) -> tuple[list[str], int]:
        """Faults with the request that was answered so, and how many shapes there was no time for."""
        found: list[str] = []
        until = time.monotonic() + SECONDS
        left = len(self.kept)
        for (type_, _), (origin, resource) in self.kept.items():
            if time.monotonic() > until:
                break
            left -= 1
            found += (f"{type_} of {origin}: {fault}" for fault in independent.faults(resource))
        return found, left

    def check(self) -> None:
        """Fail when an answer was not valid R4."""
        found, left = self.faults()
        if found:
            shown = "\n".join(list(dict.fromkeys(found))[:NAMED])
            pytest.fail(
                f"{len(found)} faults in {len(self.kept)} shapes of answers, {left} unseen:\n{shown}", pytrace=False
            )


def recorder() -> Recorder | None:
    """A recorder when ``FHIR_TEST_ANSWERS`` is set; a run that asks for it and cannot have it fails at once."""
    if not os.environ.get("FHIR_TEST_ANSWERS"):
        return None
    try:
        independent.validator()
    except independent.UnavailableError as reason:
        pytest.fail(f"FHIR_TEST_ANSWERS is set, but {reason}", pytrace=False)
    return Recorder()


def _paths(node: Any, prefix: str = "") -> Iterator[str]:
    """Paths of all elements, without indexes; an extension carries its URL."""
    if isinstance(node, dict):
        if prefix.endswith("extension"):
            prefix = f"{prefix}({node.get('url')})"
        for name, value in node.items():
            yield f"{prefix}.{name}"
            yield from _paths(value, f"{prefix}.{name}")
    elif isinstance(node, list):
        for item in node:
            yield from _paths(item, prefix)
