"""``Patient/$everything``, https://hl7.org/fhir/R4/patient-operation-everything.html.

``start``, ``end``  dates of care
``_since``          changed at this instant or later
``_type``           only these types
``_count``          resources on a page; 0 asks for the total alone
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlencode

from fhir_server.errors import Category, Issue, problem
from fhir_server.fhir.bundle import searchset_bytes
from fhir_server.fhir.json import dump
from fhir_server.fhir.outcome import informational
from fhir_server.fhir.parameters import QUERY, Arguments
from fhir_server.fhir.temporal import date_range, instant_ms
from fhir_server.fhir.types import HELD
from fhir_server.rest.answer import Answer
from fhir_server.rest.context import Context
from fhir_server.rest.operations.arguments import CONTROLS, arguments
from fhir_server.rest.operations.unknown import left_out
from fhir_server.search.extract import EARLIEST, LATEST
from fhir_server.services import page_tokens
from fhir_server.services.everything import Asked, Page, everything

KNOWN = frozenset({"start", "end", "_since", "_type", "_count", "_page"}) | CONTROLS
_TIMES = frozenset({QUERY, "date", "dateTime", "instant", "string"})


async def handle(context: Context) -> Answer:
    """A searchset: the patient and the compartment as matches, what they refer to as includes."""
    given = await arguments(context)
    types = _types(given)
    issues = left_out(context, {*given, *types} - KNOWN - HELD)
    stated = _stated(given)
    bound = page_tokens.binding("everything", context.caller.party, "/".join(context.segments), stated)
    token = given.string("_page")
    after = await page_tokens.read(context.world, bound, token) if token else None
    page = await everything(context.world, context.segments[1], _asked(context, given, types, after))
    following = await page_tokens.write(context.world, bound, page.next) if page.next else ""
    shown = (f"Patient/{context.segments[1]}",)
    return Answer(200, _bundle(context, stated, page, issues, following), patients=shown)


def _asked(context: Context, given: Arguments, types: list[str], after: Sequence[str] | None) -> Asked:
    limit = context.world.settings.page_limit
    count = given.integer("_count", 0)
    start, end = (_range(context, given, name) for name in ("start", "end"))
    since = _time(given, "_since")
    try:
        changed = instant_ms(since) if since else EARLIEST
    except ValueError:
        raise _malformed(given, "_since", "an instant") from None
    return Asked(
        low=start[0] if start else EARLIEST,
        high=end[1] if end else LATEST,
        since=changed,
        types=frozenset(types) if types else None,
        count=limit if count is None else min(count, limit),
        after=(after[0], after[1]) if after else None,
    )


def _stated(given: Arguments) -> list[tuple[str, str]]:
    """The parameters in effect."""
    stated = [(name, text) for name in ("start", "end", "_since") if (text := _time(given, name))]
    stated += [("_type", ",".join(types))] if (types := _types(given)) else []
    stated += [("_count", str(count))] if (count := given.integer("_count")) is not None else []
    return stated


def _bundle(context: Context, stated: list[tuple[str, str]], page: Page, issues: list[Issue], following: str) -> bytes:
    base = context.base
    entries = [(f"{base}/{one.type}/{one.id}", one.body, one.mode) for one in page.entries]
    if issues:
        entries.append(("", dump(informational(issues)), "outcome"))
    url = f"{base}/Patient/{context.segments[1]}/$everything"
    links = [("self", f"{url}?{urlencode(stated)}" if stated else url)]
    if following:
        links.append(("next", f"{url}?{urlencode([*stated, ('_page', following)])}"))
    return searchset_bytes(entries, page.total, links)


def _types(given: Arguments) -> list[str]:
    """Names of types: repeats and lists with commas, in a body too."""
    return [name for text in given.strings("_type") for name in text.split(",") if name]


def _time(given: Arguments, name: str) -> str:
    """The text of a date or time, empty if it is not given."""
    argument = given.get(name)
    if argument is None:
        return ""
    if argument.kind not in _TIMES or not isinstance(argument.value, str):
        raise _malformed(given, name, "a date or time")
    # The + of an offset that was not escaped arrives as a space.
    return argument.value.replace(" ", "+") if argument.kind == QUERY else argument.value


def _range(context: Context, given: Arguments, name: str) -> tuple[int, int] | None:
    text = _time(given, name)
    try:
        return date_range(text, context.world.zone) if text else None
    except (ValueError, OverflowError):
        raise _malformed(given, name, "a date") from None


def _malformed(given: Arguments, name: str, wanted: str) -> Exception:
    return problem(Category.INVALID, f"{name} is not {wanted}", given.given(name)[0].place, "param-invalid")
