"""Content negotiation and preferences, settled before anything has an effect. https://hl7.org/fhir/R4/http.html#mime-type

What a client accepts                                 What it gets
----------------------------------------------------  ------------
nothing said, ``*/*``, a browser's ``text/html``      JSON
one format, or one with a higher q than the other     that one
both alike                                            JSON, unless XML is named and JSON only meant by a wildcard
``_format``                                           that one, whatever ``Accept`` says
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import parse_qsl

from fhir_server.errors import Category, problem
from fhir_server.fhir.json import MAX_DEPTH, dump, parse
from fhir_server.fhir.xml import to_xml
from fhir_server.rest.answer import FHIR_JSON, FHIR_XML, Answer
from fhir_server.rest.context import JSON_TYPES, RETURNS, XML_TYPES, Context, speaks_r4

_FORMATS = {"json": "json", "xml": "xml", **dict.fromkeys(JSON_TYPES, "json"), **dict.fromkeys(XML_TYPES, "xml")}
# Formats that a media range means, and how closely it names them; a page for people is answered with JSON.
_BOTH = ("json", "xml")
_RANGES: dict[str, tuple[tuple[str, ...], int]] = {
    **{name: ((form,), 3) for name, form in _FORMATS.items() if "/" in name},
    "text/html": (("json",), 3),
    "application/xhtml+xml": (("json",), 3),
    "application/*": (_BOTH, 2),
    "text/*": (_BOTH, 2),
    "*/*": (_BOTH, 1),
}
PAGES = frozenset({"html", "text/html", "application/xhtml+xml"})
"""Names of a page for people, where an operation has one (``$access-report``)."""

_QUALITY = re.compile(r";\s*q\s*=\s*(0(?:\.\d*)?|1(?:\.0*)?)\s*(?:;|$)", re.IGNORECASE)
_BODIES = frozenset({"POST", "PUT", "PATCH"})
_OFFER = "this server answers application/fhir+json and application/fhir+xml"
# A Bundle is a few levels deeper than what is in it.
_OWN_DEPTH = 2 * MAX_DEPTH


def check(context: Context) -> None:
    """:raises Problem: 406 when the client accepts no format of ours, 415 for a body of another version or charset,
    400 for a bad ``_pretty`` or ``Prefer``.
    """
    _check_query(context)
    stated = context.headers.get("content-type", "")
    if ";" in stated and context.method in _BODIES:
        _check_body(stated)
    if "x-provenance" in context.headers:
        raise problem(Category.NOT_SUPPORTED, "this server keeps no Provenance", "X-Provenance")
    if context.headers.get("prefer"):
        _ = context.strict
        if context.prefers("return") not in {"", *RETURNS}:
            raise problem(Category.INVALID, f"Prefer: return is {', '.join(sorted(RETURNS))}", "Prefer")


def _check_query(context: Context) -> None:
    """``_format`` overrides Accept."""
    stated = ""
    if b"_format" in context.query_string or b"_pretty" in context.query_string:
        for name, value in context.query:
            if name == "_pretty" and value not in {"true", "false"}:
                raise problem(Category.INVALID, "_pretty is true or false", "_pretty")
            if name == "_format":
                stated = value
    if not stated:
        _check_accept(context)
    elif stated in PAGES and context.segments[-1:] == ["$access-report"]:
        return
    elif _format(stated) is None or not speaks_r4(stated):
        raise problem(Category.NOT_ACCEPTABLE, _OFFER, "_format")


def _check_accept(context: Context) -> None:
    accepts = context.headers.get("accept")
    if not accepts or accepts == "*/*" or any(quality for quality, _ in _accepted(accepts).values()):
        return
    foreign = any(_media_type(one) in _RANGES and not speaks_r4(one) for one in accepts.split(","))
    raise problem(Category.NOT_ACCEPTABLE, "this server speaks FHIR 4.0" if foreign else _OFFER, "Accept")


def _check_body(stated: str) -> None:
    if "charset=" in stated.lower().replace('"', "").replace("charset=utf-8", ""):
        raise problem(Category.MEDIA_TYPE, "the body must be UTF-8", "Content-Type")
    if not speaks_r4(stated):
        raise problem(Category.MEDIA_TYPE, "this server speaks FHIR 4.0", "Content-Type")


def presented(headers: Mapping[str, str], query_string: bytes, answer: Answer) -> Answer:
    """The answer in the format that the client prefers, with line breaks and indents for ``_pretty=true``.

    Asks of any request, also of one that was refused for what it asks: then it falls back on JSON.
    """
    if answer.content_type != FHIR_JSON or not answer.body:
        return answer
    form = _preferred(headers.get("accept", ""), query_string)
    pretty = b"_pretty=true" in query_string
    if form == "xml":
        resource = parse(answer.body, depth=_OWN_DEPTH)
        return replace(answer, body=to_xml(resource, pretty=pretty), content_type=FHIR_XML)
    return replace(answer, body=dump(parse(answer.body, depth=_OWN_DEPTH), pretty=True)) if pretty else answer


def wants_page(headers: Mapping[str, str], query_string: bytes) -> bool:
    """Whether a client prefers a page for people: by ``_format``, else because it names HTML and no format of FHIR."""
    stated = [value for name, value in parse_qsl(query_string.decode("latin-1")) if name == "_format"]
    if stated:
        return stated[-1] in PAGES
    named = {_media_type(one) for one in headers.get("accept", "").split(",")}
    return not named.isdisjoint(PAGES) and named.isdisjoint(_FORMATS.keys() - {"application/xml", "text/xml"})


def _preferred(accepts: str, query_string: bytes) -> str:
    """``json`` or ``xml``."""
    if b"_format" in query_string:
        pairs = parse_qsl(query_string.decode("latin-1"))
        stated = next((value for name, value in reversed(pairs) if name == "_format"), "")
        if stated:
            return _format(stated) or "json"
    # Without the word nobody asks for XML by name, and JSON is the default.
    if "xml" not in accepts.lower() and "q=0" not in accepts:
        return "json"
    found = _accepted(accepts)
    return "xml" if found["xml"][0] and found["xml"] > found["json"] else "json"


def _format(stated: str) -> str | None:
    """The format that ``_format`` names; a '+' that was not escaped arrives as a space."""
    return _FORMATS.get(_media_type(stated).replace(" ", "+"))


def _accepted(accepts: str) -> dict[str, tuple[float, int]]:
    """Quality and closeness of each format in an Accept header; of several ranges the closest decides."""
    found = dict.fromkeys(_BOTH, (0.0, 0))
    for one in accepts.split(","):
        forms, close = _RANGES.get(_media_type(one), ((), 0))
        if not forms or not speaks_r4(one):
            continue
        stated = _QUALITY.search(one)
        quality = float(stated[1]) if stated else 1.0
        for form in forms:
            known, closest = found[form]
            if close > closest or (close == closest and quality > known):
                found[form] = (quality, close)
    return found


def _media_type(one: str) -> str:
    return one.partition(";")[0].strip().lower()
