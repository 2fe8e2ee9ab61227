"""``batch`` and ``transaction``, https://hl7.org/fhir/R4/http.html#transaction.

A batch runs its entries one after the other, each through the router as a request of its own. A transaction collects
its writes for one use case; its reads run inside it, when everything is written.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

from fhir_server.access.record import Access
from fhir_server.errors import Category, Issue, Problem, problem
from fhir_server.fhir.bundle import Response, response_bytes
from fhir_server.fhir.json import dump
from fhir_server.fhir.outcome import outcome
from fhir_server.fhir.rewriting import Names, rewritten
from fhir_server.log import get_logger
from fhir_server.rest.answer import Answer
from fhir_server.rest.context import Context
from fhir_server.rest.entries import WRITES, EntryRequest, entries_of, request_of, write_of
from fhir_server.rest.idempotency import key_of
from fhir_server.rest.interactions.delete import deleted
from fhir_server.rest.recording import access_of
from fhir_server.rest.written import written
from fhir_server.services.bundles.entries import located, placed
from fhir_server.services.bundles.identities import raise_together
from fhir_server.services.bundles.transaction import Outcome, transaction
from fhir_server.services.versions import instant
from fhir_server.services.world import World
from fhir_server.store.driver import PyMongoError
from fhir_server.store.unit import unavailable

Part = tuple[str, bytes | None, Response]

log = get_logger("rest")

MOST_ANSWERED = 16 * 1024 * 1024
"""Bytes that a batch answers; the entries behind them are refused."""


async def bundle(context: Context) -> Answer:
    """200 with one answer for each entry, in their order; what refuses a transaction is its only answer."""
    await context.body(context.world.settings.bundle_body_limit)
    sent = await context.resource()
    entries = entries_of(context, sent)
    told: list[Access] = []
    run = _transaction if sent["type"] == "transaction" else _batch
    return Answer(200, await run(context, entries, told), parts=tuple(told))


async def _batch(context: Context, entries: Sequence[Mapping[str, Any]], told: list[Access]) -> bytes:
    if "idempotency-key" in context.headers:
        text = "an Idempotency-Key is for one effect; a batch has many"
        raise problem(Category.INVALID, text, "Idempotency-Key")
    names = frozenset(one["fullUrl"] for one in entries if one.get("fullUrl", "").startswith("urn:"))
    parts, size = [], 0
    for place, one in enumerate(entries):
        if size > MOST_ANSWERED:
            parts.append(
                _refusal(problem(Category.TOO_LARGE, "the answer is too large; ask in several batches"), place)
            )
            continue
        parts.append(await _alone(context, place, one, names, told))
        size += len(parts[-1][1] or b"")
    return response_bytes("batch-response", parts)


async def _alone(
    context: Context, place: int, entry: Mapping[str, Any], names: frozenset[str], told: list[Access]
) -> Part:
    """One entry of a batch; whatever happens to it happens to no other."""
    request, route = context, "unmatched"
    try:
        request = await request_of(context, place, entry)
        route, handler = _route(request)
        if request.given and names:
            _check_apart(request.given, names)
        context.world.catalogue.begin()
        answer = await handler(request)
        _tell(told, request, route, answer)
        return _part(request, route, answer)
    except Problem as refused:
        found = refused
    except PyMongoError as failed:
        log.warning("database did not answer", request_id=context.request_id, fault=type(failed).__name__)
        found = unavailable("the database does not answer")
    except Exception:
        log.exception("entry failed", request_id=context.request_id, place=place)
        found = problem(Category.EXCEPTION, f"the server has a defect; request {context.request_id}")
    _tell(told, request, route, Answer(found.category.status), found)
    return _refusal(found, place)


def _tell(told: list[Access], request: Context, route: str, answer: Answer, refused: Problem | None = None) -> None:
    """Add an entry to what is recorded."""
    if (access := access_of(request, route, answer, refused)) is not None:
        told.append(access)


def _refusal(found: Problem, place: int) -> Part:
    return "", None, Response(_status(found.category.status), outcome=dump(outcome(located(found, place))))


def _route(request: EntryRequest, *, operations: bool = True) -> tuple[str, Callable[[Context], Awaitable[Answer]]]:
    """The route of an entry and its handler.

    :raises Problem: 400 for a Bundle in a Bundle, and for an operation where there are none.
    """
    from fhir_server.rest import router  # noqa: PLC0415  the router's table holds this handler

    route, handler = router.find(request)
    if route == "bundle":
        raise problem(Category.INVALID, "a Bundle is no entry of a Bundle", "url")
    if route.startswith("$") and not operations:
        raise problem(Category.INVALID, "a transaction holds no operations; a batch does", "url")
    return route, handler


def _check_apart(resource: dict[str, Any], names: frozenset[str]) -> None:
    """:raises Problem: 400 for a link to another entry: a batch is many requests, and none knows of another."""
    links = Names({})
    rewritten(resource, links)
    text = "this names another entry, which only a transaction can resolve"
    issues = tuple(Issue(text, one.place) for one in links.open if one.text in names)
    if issues:
        raise Problem(Category.INVALID, issues)


async def _transaction(context: Context, entries: Sequence[Mapping[str, Any]], told: list[Access]) -> bytes:
    key = await key_of(context, "transaction")
    requests, writes, faults = [], [], []
    for place, entry in enumerate(entries):
        try:
            with placed(place):
                request = await request_of(context, place, entry)
                route, handler = _route(request, operations=False)
                requests.append((request, route, handler))
                if route in WRITES:
                    writes.append(await write_of(request, route))
        except Problem as fault:
            faults.append(fault)
    raise_together(faults)

    async def finish(inner: World, outcomes: Mapping[int, Outcome]) -> bytes:
        parts = []
        told.clear()  # the transaction may run again
        for request, route, handler in requests:
            with placed(request.place):
                found = outcomes.get(request.place)
                answer = _written(request, found) if found else await handler(replace(request, world=inner))
                _tell(told, request, route, answer)
                parts.append(_part(request, route, answer, found))
        return response_bytes("transaction-response", parts)

    return await transaction(context.world, context.caller, writes, finish, key)


def _written(request: EntryRequest, found: Outcome) -> Answer:
    if found.status == 204 or found.stored is None:
        return deleted(found.stored)
    return written(request, found.stored, found.status)


def _part(request: EntryRequest, route: str, answer: Answer, found: Outcome | None = None) -> Part:
    """An answer as an entry of the answering Bundle."""
    modified = answer.headers.get("Last-Modified", "")
    if found and found.stored:
        modified = instant(found.stored.at)
    elif modified:
        modified = parsedate_to_datetime(modified).isoformat().replace("+00:00", "Z")
    response = Response(
        _status(answer.status), answer.headers.get("Location", ""), answer.headers.get("ETag", ""), modified
    )
    if not answer.body or request.method == "HEAD":
        return "", None, response
    if answer.status >= 400 or (route in WRITES and request.prefers("return") == "OperationOutcome"):
        return "", None, replace(response, outcome=answer.body)
    return "", answer.body, response


def _status(status: int) -> str:
    return f"{status} {HTTPStatus(status).phrase}"
