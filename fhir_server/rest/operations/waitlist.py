"""``Appointment/$waitlist`` and ``Appointment/$offers``: who waits, in which order and why; which offers are open."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from fhir_server.fhir.bundle import searched_bytes, searchset_bytes
from fhir_server.fhir.parameters import Arguments
from fhir_server.rest.answer import Answer, accessed
from fhir_server.rest.context import Context
from fhir_server.rest.operations.arguments import arguments
from fhir_server.rest.operations.coded import only
from fhir_server.services import page_tokens
from fhir_server.services.waitlist.view import Asked, Row, offers, waitlist
from fhir_server.services.wishes import resolve
from fhir_server.settings import CANONICAL
from fhir_server.store.resources import Stored

RANK_URL = f"{CANONICAL}StructureDefinition/waitlist-rank"
KNOWN = frozenset({"service", "practitioner", "location", "patient", "_count", "_page"})
PAGE = 50


async def handle(context: Context) -> Answer:
    """A searchset of entries in the order of the waitlist, each with its place and the reason for it."""
    given = await arguments(context)
    only(given, KNOWN)
    asked = Asked(
        await _several(context, given, "service", "HealthcareService"),
        await _several(context, given, "practitioner", "Practitioner", "PractitionerRole"),
        await _several(context, given, "location", "Location"),
        next(iter(await _several(context, given, "patient", "Patient")), ""),
    )
    settings = context.world.settings
    stated = given.integer("_count", 0)
    count = min(PAGE if stated is None else stated, settings.page_limit)
    pairs = [
        *((name, one) for name, several in (
            ("service", asked.services), ("practitioner", asked.practitioners), ("location", asked.locations),
        ) for one in several),
        *([("patient", asked.patient)] if asked.patient else ()),
        ("_count", str(count)),
    ]  # fmt: skip
    bound = page_tokens.binding("waitlist", context.caller.party, "Appointment/$waitlist", pairs)
    token = given.string("_page")
    first = int((await page_tokens.read(context.world, bound, token))[0]) if token else 0
    rows = await waitlist(context.world, asked)
    page = rows[first : first + count]
    following = await page_tokens.write(context.world, bound, [first + count]) if first + count < len(rows) else ""
    url = f"{context.base}/Appointment/$waitlist"
    links = [("self", f"{url}?{urlencode(pairs)}")]
    if following and count:
        links.append(("next", f"{url}?{urlencode([*pairs, ('_page', following)])}"))
    entries = [(f"{context.base}/{one.stored.reference}", one.stored.body, _search(one)) for one in page]
    return Answer(200, searched_bytes(entries, len(rows), links), accessed=_shown([one.stored for one in page]))


async def open_offers(context: Context) -> Answer:
    """A searchset of Appointments that are offered to the caller's patients."""
    given = await arguments(context)
    only(given, {"patient"})
    patient = next(iter(await _several(context, given, "patient", "Patient")), "")
    found = await offers(context.world, patient)
    url = f"{context.base}/Appointment/$offers"
    links = [("self", f"{url}?{urlencode([('patient', patient)])}" if patient else url)]
    entries = [(f"{context.base}/{one.reference}", one.body, "match") for one in found]
    return Answer(200, searchset_bytes(entries, len(found), links), accessed=_shown(found))


def _search(row: Row) -> dict[str, Any]:
    if row.ranked is None:
        return {"mode": "match"}
    parts = [
        {"url": "place", "valuePositiveInt": row.ranked.place},
        {"url": "reason", "valueString": row.ranked.reason},
    ]
    return {"extension": [{"url": RANK_URL, "extension": parts}], "mode": "match"}


def _shown(found: list[Stored]) -> Any:
    return tuple(each for one in found for each in accessed(one))


async def _several(context: Context, given: Arguments, name: str, *types: str) -> tuple[str, ...]:
    """References as they resolve; one that names nothing stays a reference to nothing."""
    found = [await resolve(context.world, one, *types) or "#" for one in given.references(name, *types)]
    return tuple(dict.fromkeys(found))
