"""``Patient/[id]/$access-report``: who saw what of this patient, as AuditEvents or as a page to print.

``start``, ``end``  dates or times between which it was recorded; six years at most
``_count``          events on a page
``_format=html``    the page, also for whoever accepts ``text/html``
"""

from __future__ import annotations

from fhir_server.errors import Category, problem
from fhir_server.fhir.json import dump
from fhir_server.fhir.parameters import QUERY, Arguments
from fhir_server.fhir.temporal import date_range
from fhir_server.rest.answer import Answer
from fhir_server.rest.context import Context
from fhir_server.rest.interactions.audit_events import after_of, bundle
from fhir_server.rest.negotiation import wants_page
from fhir_server.rest.operations.access_report_page import HTML, POLICY, page_of
from fhir_server.rest.operations.arguments import CONTROLS, arguments
from fhir_server.rest.operations.unknown import left_out
from fhir_server.services import page_tokens
from fhir_server.services.audit.events import render
from fhir_server.services.audit.readers import check_report
from fhir_server.services.audit.report import names, report
from fhir_server.services.audit.search import Range

KNOWN = frozenset({"start", "end", "_count", "_page"}) | CONTROLS
_TIMES = frozenset({QUERY, "date", "dateTime", "instant", "string"})


async def handle(context: Context) -> Answer:
    """A searchset of AuditEvents, the newest first, or the page."""
    patient = f"Patient/{context.segments[1]}"
    check_report(context.world.policy, patient)
    given = await arguments(context)
    issues = left_out(context, set(given) - KNOWN)
    used, path = _stated(given), f"{patient}/$access-report"
    bound = page_tokens.binding("access-report", context.caller.party, path, used)
    after = await after_of(context, bound, [("_page", given.string("_page") or "")])
    settings = context.world.settings
    count = given.integer("_count", 0)
    wanted = settings.page_size if count is None else min(count, settings.page_limit)
    page = await report(context.world, patient, _period(context, given), wanted, after)
    known = await names(context.world, [event.access for event in page.events])
    if wants_page(context.headers, context.query_string):
        following = await page_tokens.write(context.world, bound, page.next) if page.next else ""
        html = page_of(patient, page.events, known, used, following, context.world.zone)
        return Answer(200, html.encode(), {"Content-Security-Policy": POLICY}, HTML)
    events = [(event, dump(render(event, context.base, known, queries=False))) for event in page.events]
    return Answer(200, await bundle(context, path, used, bound, page, events, issues))


def _stated(given: Arguments) -> list[tuple[str, str]]:
    """The parameters in effect."""
    stated = [(name, text) for name in ("start", "end") if (text := _time(given, name))]
    return stated + ([("_count", str(count))] if (count := given.integer("_count", 0)) is not None else [])


def _period(context: Context, given: Arguments) -> Range:
    start, end = (_range(context, given, name) for name in ("start", "end"))
    return (start[0] if start else None, end[1] if end else None)


def _range(context: Context, given: Arguments, name: str) -> tuple[int, int] | None:
    text = _time(given, name)
    try:
        return date_range(text, context.world.zone) if text else None
    except (ValueError, OverflowError):
        raise _malformed(given, name) from None


def _time(given: Arguments, name: str) -> str:
    """The text of a date or time, empty if it is not given."""
    argument = given.get(name)
    if argument is None:
        return ""
    if argument.kind not in _TIMES or not isinstance(argument.value, str):
        raise _malformed(given, name)
    # The + of an offset that was not escaped arrives as a space.
    return argument.value.replace(" ", "+") if argument.kind == QUERY else argument.value


def _malformed(given: Arguments, name: str) -> Exception:
    return problem(Category.INVALID, f"{name} is not a date or time", given.given(name)[0].place, "param-invalid")
