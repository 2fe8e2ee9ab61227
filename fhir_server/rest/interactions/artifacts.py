"""read and search of the server's own conformance and terminology resources.

https://hl7.org/fhir/R4/conformance-module.html
"""

from __future__ import annotations

from datetime import UTC
from email.utils import formatdate, parsedate_to_datetime
from urllib.parse import urlencode

from fhir_server.conformance.capability import software_statement
from fhir_server.errors import Category, Issue, problem
from fhir_server.fhir.bundle import searchset_bytes
from fhir_server.fhir.json import dump
from fhir_server.fhir.outcome import informational
from fhir_server.rest.answer import Answer
from fhir_server.rest.context import Context
from fhir_server.rest.interactions import capabilities
from fhir_server.search.parser import Parsed, parse
from fhir_server.services.artifacts import Document, Found, Shelf

STATEMENT = "CapabilityStatement"


async def read(context: Context) -> Answer:
    """The artifact, which is the same until the server is another; 304 when the client has it."""
    for name, value in context.query:
        if name == "_elements" or (name == "_summary" and value != "false"):
            raise problem(Category.NOT_SUPPORTED, "artifacts are shown whole", name)
    found = _shelf(context).read(context.segments[0], context.segments[1])
    headers = {"ETag": f'W/"{found.version}"', "Last-Modified": formatdate(found.at / 1000, usegmt=True)}
    return Answer(304, b"", headers) if _has_it(context, found) else Answer(200, found.body, headers)


async def search(context: Context) -> Answer:
    """A searchset by R4's parameters of the type; unknown ones are warned about, or refused when strict."""
    pairs = list(context.query)
    if context.method == "POST":
        pairs += await context.form()
    shelf, settings = _shelf(context), context.world.settings
    parsed = parse(
        context.segments[0],
        pairs,
        shelf.definitions,
        strict=context.strict,
        zone=context.world.zone,
        page_size=settings.page_size,
        page_limit=settings.page_limit,
        now_ms=context.world.clock(),
        bases=(context.base, *context.world.bases),
        terminology=context.world.terminology,
    )
    if parsed.query.elements:
        raise problem(Category.NOT_SUPPORTED, "artifacts are shown whole", "_elements")
    if parsed.query.summary not in {None, "false", "count"}:
        raise problem(Category.NOT_SUPPORTED, "artifacts are shown whole: _summary is count or false", "_summary")
    return Answer(200, _bundle(context, parsed, shelf.search(parsed.query)))


def _shelf(context: Context) -> Shelf:
    shelf = context.world.shelf
    if context.segments[0] == STATEMENT and not shelf.of(STATEMENT):
        shelf.put(software_statement(capabilities.describe(context.world, context.base)))
    return shelf


def _has_it(context: Context, found: Document) -> bool:
    """If-None-Match wins over If-Modified-Since."""
    known = context.headers.get("if-none-match")
    if known is not None:
        tags = {one.strip().removeprefix("W/").strip('"') for one in known.split(",")}
        return "*" in tags or found.version in tags
    try:
        moment = parsedate_to_datetime(context.headers.get("if-modified-since", ""))
    except ValueError:
        return False
    return found.at // 1000 <= moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()


def _bundle(context: Context, parsed: Parsed, found: Found) -> bytes:
    url = f"{context.base}/{parsed.query.type}"
    entries = [(f"{url}/{one.id}", one.body, "match") for one in found.documents]
    if parsed.unknown:
        issues = [
            Issue(f"unknown search parameter {name[:64]} was left out", name[:64], "param-ignored", severity="warning")
            for name in parsed.unknown
        ]
        entries.append(("", dump(informational(issues)), "outcome"))
    links = [("self", _url(url, parsed.used))]
    if found.next:
        links.append(("next", _url(url, [*parsed.used, ("_page", found.next)])))
    return searchset_bytes(entries, None if parsed.query.total == "none" else found.total, links)


def _url(url: str, pairs: list[tuple[str, str]]) -> str:
    return f"{url}?{urlencode(pairs)}" if pairs else url
