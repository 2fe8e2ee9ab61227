"""Idempotency-Key: the first answer is remembered in the transaction of its effect and given again.

https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fhir_server.errors import Category, Problem, problem
from fhir_server.fhir.json import parse
from fhir_server.services.access.policy import READING
from fhir_server.services.world import World
from fhir_server.store.driver import DuplicateKeyError
from fhir_server.store.idempotency import Remembered
from fhir_server.store.resources import Stored
from fhir_server.store.unit import Unit

Render = Callable[[Stored, int], tuple[int, Mapping[str, str], bytes]]

LARGEST_ANSWER = 12 * 1024 * 1024
"""Bytes of an answer that is kept: a document of MongoDB holds 16 MiB."""


@dataclass(frozen=True)
class Key:
    """The key of one request, scoped by client and operation."""

    key: str
    fingerprint: str

    async def keep(self, world: World, unit: Unit, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """Write the answer in the transaction of its effect.

        :raises Problem: 413 for an answer that is too large to be kept.
        """
        if len(body) > LARGEST_ANSWER:
            text = "the answer is too large to be kept for an Idempotency-Key; ask for return=minimal"
            raise problem(Category.TOO_LARGE, text, "Prefer")
        try:
            await world.store.idempotency.put(unit, Remembered(self.key, self.fingerprint, status, headers, body))
        except DuplicateKeyError:
            raise _Answered from None


@dataclass(frozen=True)
class Keyed(Key):
    """The key of a request that writes one resource.

    ``render`` makes the answer from the resource that was written and the status (200 or 201).
    """

    render: Render

    async def remember(self, world: World, unit: Unit, written: Stored, status: int) -> None:
        """Write the answer in the transaction of its effect."""
        code, headers, body = self.render(written, status)
        await self.keep(world, unit, code, headers, body)


@dataclass(eq=False)
class Replayed(Exception):  # noqa: N818  not an error: the answer that was already given
    """The request was answered before."""

    answer: Remembered


class _Answered(Exception):  # noqa: N818  another process wrote the answer first
    pass


class Running:
    """Keys whose first request this process is working on."""

    def __init__(self) -> None:
        self.keys: set[str] = set()


_running = Running()


async def once(world: World, keyed: Key | None, work: Callable[[], Awaitable[Any]]) -> Any:
    """Run ``work`` unless its key was answered before.

    :raises Replayed: with the first answer.
    :raises Problem: DUPLICATE for another body under the key, IN_PROGRESS while the first request runs.
    """
    if keyed is None:
        return await work()
    await replay(world, keyed)
    if keyed.key in _running.keys:
        raise _in_progress()
    _running.keys.add(keyed.key)
    try:
        return await work()
    except _Answered:
        await replay(world, keyed)
        raise _in_progress() from None
    except Problem:
        # Another process may have been faster with the same key; its answer is the answer.
        await replay(world, keyed)
        raise
    finally:
        _running.keys.discard(keyed.key)


async def replay(world: World, keyed: Key) -> None:
    """Give the first answer again, to who may still see what is in it.

    :raises Replayed: the key was answered before.
    :raises Problem: it was answered for another request; 403 for what the caller has lost sight of.
    """
    answer = await world.store.idempotency.get(keyed.key)
    if answer is None:
        return
    if answer.fingerprint != keyed.fingerprint:
        text = "this Idempotency-Key was used for another request"
        raise problem(Category.DUPLICATE, text, "", "idempotency-mismatch")
    if not world.policy.unlimited and answer.body:
        for type_, id_ in _shown(parse(answer.body)):
            stored = await world.store.resources.get(type_, id_) if type_ in world.definitions.types else None
            if stored and not any([await world.policy.may(world, stored, one) for one in (READING, "cu")]):
                raise problem(Category.FORBIDDEN, "what was answered then is not shown any more", type_, "withheld")
    raise Replayed(answer)


def _shown(resource: Any) -> Iterator[tuple[str, str]]:
    """Type and id of every resource of an answer, those in Bundles too."""
    if not isinstance(resource, Mapping):
        return
    if resource.get("resourceType") == "Bundle":
        for entry in resource.get("entry", ()):
            yield from _shown(entry.get("resource"))
    elif "id" in resource:
        yield str(resource.get("resourceType", "")), str(resource["id"])


def _in_progress() -> Problem:
    text = "the first request with this Idempotency-Key is still running"
    return problem(Category.IN_PROGRESS, text, "", "in-progress", Retry_After="1")
