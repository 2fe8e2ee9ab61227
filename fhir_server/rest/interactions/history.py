"""``history`` of an instance, newest first, https://hl7.org/fhir/R4/http.html#history."""

from __future__ import annotations

from urllib.parse import urlencode

from fhir_server.errors import Category, problem
from fhir_server.fhir.bundle import HistoryEntry, Response, history_bytes
from fhir_server.fhir.temporal import instant_ms
from fhir_server.rest.answer import Answer, location
from fhir_server.rest.context import Context
from fhir_server.rest.unbuilt import unbuilt
from fhir_server.services import resources
from fhir_server.services.versions import instant
from fhir_server.store.resources import Stored

KNOWN = frozenset({"_count", "_since", "_page", "_format", "_pretty"})
STATUS = {"POST": "201 Created", "PUT": "200 OK", "DELETE": "204 No Content"}


async def history(context: Context) -> Answer:
    """A page of versions."""
    given = dict(context.query)
    if len(given) != len(context.query):
        raise problem(Category.INVALID, "each parameter of a history is accepted once")
    unknown = set(given) - KNOWN
    if unknown and context.strict:
        raise problem(Category.NOT_SUPPORTED, "unknown parameter of a history", min(unknown))
    count = min(_number(given, "_count", context.world.settings.page_size), context.world.settings.page_limit)
    below = _number(given, "_page", 0)
    since = _since(given.get("_since", ""))
    type_, id_ = context.segments[0], context.segments[1]
    versions, total = await resources.history(context.world, type_, id_, count=count, below=below, since=since)
    shown = versions[:count]
    url = f"{context.base}/{type_}/{id_}/_history"
    stated: dict[str, str] = {name: given[name] for name in ("_count", "_since") if name in given}
    links = [("self", f"{url}?{urlencode(stated)}" if stated else url)]
    if len(versions) > count and shown:
        links.append(("next", f"{url}?{urlencode({**stated, '_page': str(shown[-1].version)})}"))
    older = [*versions[1:], None]
    entries = [_entry(context, one, before) for one, before in zip(shown, older, strict=False)]
    return Answer(200, history_bytes(entries, total, links))


def _entry(context: Context, stored: Stored, before: Stored | None) -> HistoryEntry:
    """One version; it was created where the one ``before`` it is a deletion, or there is none."""
    method = "DELETE" if stored.deleted else str(stored.extra.get("method", "PUT"))
    created = not stored.deleted and (stored.version == 1 or (before is not None and before.deleted))
    status = "201 Created" if created else STATUS[method]
    etag, at = f'W/"{stored.version}"', instant(stored.at)
    response = Response(status, "" if stored.deleted else location(context.base, stored), etag, at)
    url = stored.type if method == "POST" else stored.reference
    body = None if stored.deleted else stored.body
    return HistoryEntry(f"{context.base}/{stored.reference}", body, method, url, response)


def _number(given: dict[str, str], name: str, default: int) -> int:
    text = given.get(name, "")
    if not text:
        return default
    if not text.isdecimal() or len(text) > 9:
        raise problem(Category.INVALID, f"{name} is not a number", name)
    return int(text)


def _since(text: str) -> int:
    if not text:
        return 0
    try:
        return instant_ms(text.replace(" ", "+"))
    except ValueError:
        raise problem(Category.INVALID, "_since is not an instant", "_since") from None


history_type = unbuilt
history_system = unbuilt
