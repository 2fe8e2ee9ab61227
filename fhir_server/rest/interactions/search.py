"""``search-type`` by GET and by POST ``_search``, https://hl7.org/fhir/R4/http.html#search."""

from __future__ import annotations

from urllib.parse import urlencode

from fhir_server.errors import Issue
from fhir_server.fhir.bundle import searchset_bytes
from fhir_server.fhir.json import dump
from fhir_server.fhir.outcome import informational
from fhir_server.rest.answer import Answer
from fhir_server.rest.context import Context
from fhir_server.rest.unbuilt import unbuilt
from fhir_server.search.parser import Parsed, parse
from fhir_server.services import search as use_case
from fhir_server.services.search import Page


async def search(context: Context) -> Answer:
    """A searchset; unknown parameters are left out and warned about, or refused with ``Prefer: handling=strict``."""
    pairs = list(context.query)
    if context.method == "POST":
        pairs += await context.form()
    settings = context.world.settings
    parsed = parse(
        context.segments[0],
        pairs,
        context.world.definitions,
        strict=context.strict,
        zone=context.world.zone,
        page_size=settings.page_size,
        page_limit=settings.page_limit,
        now_ms=context.world.clock(),
        bases=(context.base, *context.world.bases),
    )
    return Answer(200, _bundle(context, parsed, await use_case.search(context.world, parsed.query)))


def _bundle(context: Context, parsed: Parsed, page: Page) -> bytes:
    base = context.base
    entries = [(f"{base}/{one.type}/{one.id}", one.body, "match") for one in page.matches]
    entries += [(f"{base}/{one.type}/{one.id}", one.body, "include") for one in page.included]
    if parsed.unknown:
        issues = [
            Issue(f"unknown search parameter {name[:64]} was left out", name[:64], "param-ignored", severity="warning")
            for name in parsed.unknown
        ]
        entries.append(("", dump(informational(issues)), "outcome"))
    url = f"{base}/{parsed.query.type}"
    links = [("self", _url(url, parsed.used))]
    if page.next:
        links.append(("next", _url(url, [*parsed.used, ("_page", page.next)])))
    return searchset_bytes(entries, page.total, links)


def _url(url: str, pairs: list[tuple[str, str]]) -> str:
    return f"{url}?{urlencode(pairs)}" if pairs else url


search_system = unbuilt
search_compartment = unbuilt
