"""``Appointment/$find``: free times as proposals, the same searchset for every dialect.

http://fhir.org/guides/argonaut/scheduling/ and https://profiles.ihe.net/ITI/Scheduling/ITI-115.html
"""

from __future__ import annotations

from urllib.parse import urlencode

from fhir_server.errors import Category, Issue, problem
from fhir_server.fhir.bundle import searchset_bytes
from fhir_server.fhir.json import dump
from fhir_server.fhir.outcome import informational
from fhir_server.fhir.temporal import format_instant
from fhir_server.rest.answer import Answer
from fhir_server.rest.context import Context
from fhir_server.rest.operations import criteria as reading
from fhir_server.rest.operations.arguments import arguments
from fhir_server.services import page_tokens
from fhir_server.services.candidates import Criteria
from fhir_server.services.find import Cursor, Found, find
from fhir_server.services.proposals import proposed

PAGE = 20
LARGEST_PAGE = 1000


async def handle(context: Context) -> Answer:
    """A searchset of proposed Appointments; an informational outcome says why there is none and when there will be."""
    given = await arguments(context, bare="patient-resource")
    asked = await reading.criteria(context.world, context.caller, given)
    stated = given.integer("_count", 0)
    count = min(PAGE if stated is None else stated, LARGEST_PAGE)
    ignored = reading.unused(given)
    if ignored and context.strict:
        raise problem(Category.NOT_SUPPORTED, ignored[0].text, ignored[0].expression, "param-ignored")
    pairs = [*reading.pairs(asked), ("_count", str(count))]
    bound = page_tokens.binding("find", context.caller.party, "Appointment/$find", pairs)
    token = given.string("_page")
    after = Cursor(*await page_tokens.read(context.world, bound, token)) if token else None
    found = await find(context.world, asked, count=count, after=after)
    following = await page_tokens.write(context.world, bound, found.next) if found.next else ""
    return Answer(200, _bundle(context, asked, found, pairs, following, ignored), patients=asked.patients)


def _bundle(
    context: Context,
    asked: Criteria,
    found: Found,
    stated: list[tuple[str, str]],
    following: str,
    ignored: list[Issue],
) -> bytes:
    base = context.base
    entries = []
    for time in found.times:
        proposal = proposed(time, asked.patients, asked.modality)
        url = f"{base}/Appointment/{proposal['id']}" if "id" in proposal else ""
        entries.append((url, dump(proposal), "match"))
    if found.reasons or ignored:
        after = found.next_available
        when = format_instant(after.start, after.candidate.schedules[0].zone) if after else ""
        issues = [*found.reasons, *ignored]
        if when and found.reasons:
            issues.append(Issue(f"the next free time is {when}", "", "next-available", severity="information"))
        entries.append(("", dump(informational(issues, next_available=when)), "outcome"))
    url = f"{base}/Appointment/$find"
    links = [("self", f"{url}?{urlencode(stated)}")]
    if following:
        links.append(("next", f"{url}?{urlencode([*stated, ('_page', following)])}"))
    return searchset_bytes(entries, found.total, links)
