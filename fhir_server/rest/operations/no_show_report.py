"""``Appointment/$no-show-report``: how many visits were missed, by whom they were given, and what was done about it.

``start``, ``end``    dates or times of the visits' starts; the last 90 days without them, 366 days at most
``practitioner``      only visits of these
``organization``      only visits inside these clinics
``minimum-cell``      rows with fewer visits are put together
"""

from __future__ import annotations

from typing import Any

from fhir_server.errors import Category, problem
from fhir_server.fhir.json import dump
from fhir_server.fhir.parameters import QUERY, Arguments
from fhir_server.fhir.temporal import date_range
from fhir_server.rest.answer import Answer
from fhir_server.rest.context import Context
from fhir_server.rest.operations.arguments import CONTROLS, arguments
from fhir_server.rest.operations.coded import only
from fhir_server.services.attending import check_staff
from fhir_server.services.booking import FIRST_INSTANT, LAST_INSTANT
from fhir_server.services.no_show.report import Period, Question, report

KNOWN = frozenset({"start", "end", "practitioner", "organization", "minimum-cell"}) | CONTROLS
DAY_MS = 86_400_000
USUAL_DAYS, MOST_DAYS = 90, 366
_TIMES = frozenset({QUERY, "date", "dateTime", "instant", "string"})


async def handle(context: Context) -> Answer:
    """200 with the MeasureReport; it names no patient."""
    check_staff(context.caller, "the rates are the clinic's own")
    given = await arguments(context)
    only(given, KNOWN)
    asked = Question(
        _period(context, given),
        tuple(one.local(context.world.bases) for one in given.references("practitioner", "Practitioner")),
        tuple(one.local(context.world.bases) for one in given.references("organization", "Organization")),
        given.integer("minimum-cell", 0) or 0,
    )
    return Answer(200, dump(await report(context.world, asked)))


def _period(context: Context, given: Arguments) -> Period:
    """:raises Problem: 400 for what is no time, and for a period that is empty, too long, or on no calendar."""
    start, end = (_range(context, given, name) for name in ("start", "end"))
    last = end[1] if end else context.world.clock()
    first = start[0] if start else last - USUAL_DAYS * DAY_MS
    if not first < last <= first + MOST_DAYS * DAY_MS:
        text = f"the period is empty, or longer than {MOST_DAYS} days"
        raise problem(Category.INVALID, text, "end" if end else "start", "param-invalid")
    if first < FIRST_INSTANT * 1000 or last > LAST_INSTANT * 1000:
        text = "the period begins before 1900, or ends after 2199"
        raise problem(Category.INVALID, text, "end" if end else "start", "param-invalid")
    return Period(first, last)


def _range(context: Context, given: Arguments, name: str) -> tuple[int, int] | None:
    argument = given.get(name)
    if argument is None:
        return None
    value: Any = argument.value if argument.kind in _TIMES else ""
    # The + of an offset that was not escaped arrives as a space.
    text = str(value).replace(" ", "+") if argument.kind == QUERY else str(value)
    try:
        return date_range(text, context.world.zone)
    except (ValueError, OverflowError):
        raise problem(Category.INVALID, f"{name} is not a date or time", argument.place, "param-invalid") from None
