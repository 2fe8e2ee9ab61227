"""``history`` of an instance, a type and the system, newest first, https://hl7.org/fhir/R4/http.html#history.

``_since``  versions written at this instant or later
``_at``     versions that were current at some time during this date, dateTime or instant, and deletions during it
``_count``  versions on a page; 0 asks for the total alone

``Bundle.meta.lastUpdated`` is the instant until which the answer is complete: the next ``_since``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from fhir_server.errors import Category, problem
from fhir_server.fhir.bundle import HistoryEntry, Response, history_bytes
from fhir_server.fhir.temporal import date_range, instant_ms
from fhir_server.fhir.types import RESOURCE_TYPES
from fhir_server.rest.answer import Answer, location
from fhir_server.rest.context import Context
from fhir_server.services import history as use_case
from fhir_server.services import page_tokens
from fhir_server.services.history import Cursor, Page
from fhir_server.services.versions import instant
from fhir_server.store.history import FOREVER, Place, Window
from fhir_server.store.resources import Stored

KNOWN = frozenset({"_count", "_since", "_at", "_page", "_format", "_pretty"})
STATUS = {"POST": "201 Created", "PUT": "200 OK", "DELETE": "204 No Content"}
_COUNT = re.compile(r"\d{1,9}", re.ASCII)


async def history(context: Context) -> Answer:
    """A page of the versions of one resource."""
    return await _answer(context, (context.segments[0],), context.segments[1])


async def history_type(context: Context) -> Answer:
    """A page of the versions of all resources of a type."""
    return await _answer(context, (context.segments[0],))


async def history_system(context: Context) -> Answer:
    """A page of the versions of all resources."""
    types = tuple(one for one in RESOURCE_TYPES if context.world.policy.permits(one, "s"))
    if not types:
        context.world.policy.require(RESOURCE_TYPES[0], "s")
    return await _answer(context, types)


async def _answer(context: Context, types: tuple[str, ...], id_: str = "") -> Answer:
    given = _given(context)
    count = _count(given, context)
    path = "/".join(context.segments)
    stated = {name: given[name] for name in ("_since", "_at") if name in given}
    if "_count" in given:
        stated["_count"] = str(count)
    bound = page_tokens.binding("history", context.caller.party, path, stated.items())
    token = given.get("_page")
    after = _cursor(await page_tokens.read(context.world, bound, token)) if token else None
    page = await use_case.history(context.world, types, _window(given, context), count=count, id_=id_, after=after)
    url = f"{context.base}/{path}"
    links = [("self", f"{url}?{urlencode(stated)}" if stated else url)]
    if page.next:
        following = await page_tokens.write(context.world, bound, _flat(page.next))
        links.append(("next", f"{url}?{urlencode({**stated, '_page': following})}"))
    entries = [_entry(context, one, page) for one in page.versions]
    people = dict.fromkeys(who for one in page.versions for who in one.extra.get("patients") or ())
    body = history_bytes(entries, page.total, links, instant(page.complete))
    return Answer(200, body, patients=tuple(one for one in people if one != "#"))


def _flat(cursor: Cursor) -> list[int | str | None]:
    return [*cursor.place, cursor.total, cursor.complete]


def _given(context: Context) -> Mapping[str, str]:
    """Parameters that have a value.

    :raises Problem: 400 for one that is given twice, and for an unknown one: a history has no place for a warning.
    """
    names = [name for name, _ in context.query]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise problem(Category.INVALID, "each parameter of a history is accepted once", twice[0][:64])
    unknown = sorted(set(names) - KNOWN)
    if unknown:
        raise problem(Category.NOT_SUPPORTED, "unknown parameter of a history", unknown[0][:64], "param-ignored")
    return {name: value for name, value in context.query if value}


def _entry(context: Context, stored: Stored, page: Page) -> HistoryEntry:
    method = "DELETE" if stored.deleted else str(stored.extra.get("method", "PUT"))
    created = not stored.deleted and Place.of(stored) in page.created
    status = "201 Created" if created else STATUS[method]
    etag, at = f'W/"{stored.version}"', instant(stored.at)
    response = Response(status, "" if stored.deleted else location(context.base, stored), etag, at)
    url = stored.type if method == "POST" else stored.reference
    body = None if stored.deleted else stored.body
    return HistoryEntry(f"{context.base}/{stored.reference}", body, method, url, response)


def _count(given: Mapping[str, str], context: Context) -> int:
    settings = context.world.settings
    text = given.get("_count", str(settings.page_size))
    if not _COUNT.fullmatch(text):
        raise problem(Category.INVALID, "_count is not a whole number from 0 up", "_count", "param-invalid")
    return min(int(text), settings.page_limit)


def _window(given: Mapping[str, str], context: Context) -> Window:
    # The + of an offset that was not escaped arrives as a space.
    since, at = (given.get(name, "").replace(" ", "+") for name in ("_since", "_at"))
    try:
        start = max(0, instant_ms(since)) if since else 0
    except (ValueError, OverflowError):
        raise problem(Category.INVALID, "_since is not an instant", "_since", "param-invalid") from None
    try:
        low, high = date_range(at, context.world.zone) if at else (0, FOREVER)
    except (ValueError, OverflowError):
        raise problem(Category.INVALID, "_at is not a date, dateTime or instant", "_at", "param-invalid") from None
    return Window(start, max(0, low), max(0, high))


def _cursor(values: Sequence[Any]) -> Cursor:
    at, id_, version, type_, total, complete = values
    return Cursor(Place(at, id_, version, type_), total, complete)
