"""Content negotiation and preferences, settled before anything has an effect. https://hl7.org/fhir/R4/http.html#mime-type"""

from __future__ import annotations

from dataclasses import replace

from fhir_server.errors import Category, problem
from fhir_server.fhir.json import dump, parse
from fhir_server.rest.answer import FHIR_JSON, Answer
from fhir_server.rest.context import JSON_TYPES, RETURNS, Context, speaks_r4

ACCEPTED = JSON_TYPES | {"*/*", "application/*", "text/html", "application/xhtml+xml"}
FORMATS = JSON_TYPES | {"json"}


def check(context: Context) -> None:
    """:raises Problem: 406 when the client accepts no FHIR JSON, 400 for a bad ``_pretty`` or ``Prefer``."""
    _check_query(context)
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
    # A '+' that was not escaped arrives as a space.
    elif stated.partition(";")[0].strip().lower().replace(" ", "+") not in FORMATS or not speaks_r4(stated):
        raise problem(Category.NOT_ACCEPTABLE, "this server answers application/fhir+json", "_format")


def _check_accept(context: Context) -> None:
    accepts = context.headers.get("accept")
    if not accepts or accepts == "*/*":
        return
    known = [one for one in accepts.split(",") if one.partition(";")[0].strip().lower() in ACCEPTED]
    if not known:
        raise problem(Category.NOT_ACCEPTABLE, "this server answers application/fhir+json", "Accept")
    if not any(speaks_r4(one) for one in known):
        raise problem(Category.NOT_ACCEPTABLE, "this server speaks FHIR 4.0", "Accept")


def presented(context: Context, answer: Answer) -> Answer:
    """The answer with line breaks and indents for ``_pretty=true``."""
    if b"_pretty=true" not in context.query_string or not answer.body or answer.content_type != FHIR_JSON:
        return answer
    return replace(answer, body=dump(parse(answer.body), pretty=True))
