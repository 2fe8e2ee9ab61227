"""``search`` on a type, on several and in a compartment, by GET and by POST ``_search``.

https://hl7.org/fhir/R4/http.html#search
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlencode

from fhir_server.fhir.bundle import searchset_bytes
from fhir_server.fhir.json import dump
from fhir_server.fhir.outcome import informational
from fhir_server.rest.answer import Answer
from fhir_server.rest.context import Context
from fhir_server.rest.searches import Search, read, read_several, types_in
from fhir_server.services import compartments, page_tokens, system_search
from fhir_server.services import search as use_case
from fhir_server.services.search import Page


async def search(context: Context) -> Answer:
    """A searchset; unknown parameters are left out and warned about, or refused with ``Prefer: handling=strict``."""
    type_ = context.segments[0]
    asked = read(context, type_, await _pairs(context))
    return _answer(context, asked, await use_case.search(context.world, asked.queries[0], _bound(context, asked)))


async def search_system(context: Context) -> Answer:
    """A searchset of the types that ``_type`` names; the bare base leads whoever looks there to the capabilities."""
    pairs = await _pairs(context)
    if not pairs and context.method != "POST":
        return Answer(302, b"", {"Location": f"{context.base}/metadata"})
    types = types_in(pairs)
    for one in types:
        context.world.policy.require(one, "s")
    asked = read_several(context, "", types, pairs)
    return _answer(context, asked, await system_search.search(context.world, asked.queries, _bound(context, asked)))


async def search_compartment(context: Context) -> Answer:
    """A searchset of one type, or of all with ``*``, in the compartment of a resource that exists."""
    kind, id_, type_ = context.segments[:3]
    world, pairs, path = context.world, await _pairs(context), f"{kind}/{id_}/{type_}"
    await compartments.check(world, kind, id_)
    if type_ == "*":
        types = types_in(pairs, sorted(compartments.COMPARTMENTS[kind]))
        asked = read_several(context, path, [one for one in types if world.policy.permits(one, "s")] or types, pairs)
    else:
        world.policy.require(type_, "s")
        asked = read(context, type_, pairs, path)
    queries = [compartments.within(world, kind, id_, one) for one in asked.queries]
    bound = _bound(context, asked)
    if type_ == "*":
        return _answer(context, asked, await system_search.search(world, queries, bound))
    return _answer(context, asked, await use_case.search(world, queries[0], bound))


async def _pairs(context: Context) -> list[tuple[str, str]]:
    """Parameters of the URL and of a form together."""
    return [*context.query, *(await context.form() if context.method == "POST" else ())]


def _bound(context: Context, asked: Search) -> bytes:
    return page_tokens.binding("search", context.caller.party, asked.path, asked.used)


def _answer(context: Context, asked: Search, page: Page) -> Answer:
    base, show = context.base, asked.subset.show
    entries = [(f"{base}/{one.type}/{one.id}", show(one.type, one.body), "match") for one in page.matches]
    entries += [(f"{base}/{one.type}/{one.id}", show(one.type, one.body), "include") for one in page.included]
    if issues := [*asked.warnings, *page.warnings]:
        entries.append(("", dump(informational(issues)), "outcome"))
    url = f"{base}/{asked.path}"
    token = asked.queries[0].page
    links = [("self", _url(url, [*asked.used, *([("_page", token)] if token else [])]))]
    if page.next:
        links.append(("next", _url(url, [*asked.used, ("_page", page.next)])))
    people = dict.fromkeys(who for one in (*page.matches, *page.included) for who in one.patients)
    body = searchset_bytes(entries, page.total, links)
    return Answer(200, body, patients=tuple(one for one in people if one != "#"))


def _url(url: str, pairs: Sequence[tuple[str, str]]) -> str:
    return f"{url}?{urlencode(pairs)}" if pairs else url
