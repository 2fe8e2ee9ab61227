"""read and search of AuditEvents: the access record, for auditors and for the patients themselves.

Nobody writes one: PUT, PATCH, DELETE and POST are answered with 405. https://hl7.org/fhir/R4/auditevent.html
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from urllib.parse import urlencode

from fhir_server.errors import Category, Issue, problem
from fhir_server.fhir.bundle import searchset_bytes
from fhir_server.fhir.json import dump
from fhir_server.fhir.outcome import informational
from fhir_server.fhir.types import AUDIT_EVENT
from fhir_server.rest.answer import Answer
from fhir_server.rest.audit_parameters import read as read_parameters
from fhir_server.rest.context import Context
from fhir_server.rest.operations.unknown import left_out
from fhir_server.services import page_tokens
from fhir_server.services.audit import search as use_case
from fhir_server.services.audit.events import Event, render
from fhir_server.services.audit.readers import visible_to
from fhir_server.services.audit.search import Page, Place

Pairs = Sequence[tuple[str, str]]


async def read(context: Context) -> Answer:
    """One AuditEvent, shown whole; it never changes."""
    visible = visible_to(context.world.policy, "r")
    _whole(context.query)
    event = await use_case.read(context.world.store.audit, context.segments[1], visible)
    return Answer(200, dump(render(event, context.base, queries=visible is None)))


async def search(context: Context) -> Answer:
    """A searchset, the newest first. A page may be short, even empty, and still have a next one."""
    visible = visible_to(context.world.policy, "s")
    pairs = [*context.query, *(await context.form() if context.method == "POST" else ())]
    given = read_parameters(context, pairs)
    unknown = _whole([(name, text) for name, text in pairs if name in given.unknown])
    issues = left_out(context, unknown)
    bound = page_tokens.binding("audit", context.caller.party, AUDIT_EVENT, given.used)
    after = await after_of(context, bound, pairs)
    asked = replace(given.asked, visible=visible, after=after)
    page = await use_case.search(context.world.store.audit, asked)
    events = [(event, dump(render(event, context.base, queries=visible is None))) for event in page.events]
    return Answer(200, await bundle(context, AUDIT_EVENT, given.used, bound, page, events, issues))


def _whole(pairs: Pairs) -> list[str]:
    """The names that are not about parts of resources.

    :raises Problem: 400 for these.
    """
    for name, text in pairs:
        if name == "_elements" or (name == "_summary" and text != "false"):
            raise problem(Category.NOT_SUPPORTED, "AuditEvents are shown whole and not counted", name)
    return [name for name, _ in pairs if name != "_summary"]


async def after_of(context: Context, bound: bytes, pairs: Pairs) -> Place | None:
    """The place behind which the page begins.

    :raises Problem: 400 and 410 for a token that is none of this list.
    """
    token = next((text for name, text in pairs if name == "_page" and text), "")
    return Place(*await page_tokens.read(context.world, bound, token)) if token else None


async def bundle(
    context: Context,
    path: str,
    used: Pairs,
    bound: bytes,
    page: Page,
    events: Sequence[tuple[Event, bytes]],
    issues: list[Issue],
) -> bytes:
    """A searchset of events and their bytes, with the link to the next page."""
    entries = [(f"{context.base}/{AUDIT_EVENT}/{event.id}", body, "match") for event, body in events]
    if issues:
        entries.append(("", dump(informational(issues)), "outcome"))
    url = f"{context.base}/{path}"
    links = [("self", f"{url}?{urlencode(used)}" if used else url)]
    if page.next is not None:
        following = await page_tokens.write(context.world, bound, page.next)
        links.append(("next", f"{url}?{urlencode([*used, ('_page', following)])}"))
    return searchset_bytes(entries, None, links)
