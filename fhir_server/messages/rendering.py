"""Facts in, words out: every part of a message in one language.

A clinic's own text that cannot be used (it was stored by other means than ours) is left out for the one that comes with
the server: a reminder is not lost for a missing brace.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import tzinfo
from functools import lru_cache
from typing import Any

from jinja2 import TemplateError
from markupsafe import Markup

from fhir_server.log import get_logger
from fhir_server.messages import language as grammar
from fhir_server.messages.facts import PIECES, Facts, variables
from fhir_server.messages.segments import plain
from fhir_server.messages.templates import Kind, Part, language_of, own, prefixes, sections, source

log = get_logger("messages")

_PARAGRAPHS = re.compile(r"\n{3,}")
_BLANKS = re.compile(r"[ \t]+\n")
_TWO_DOTS = re.compile(r"\b([ap]\. ?m\.)\.")
UNFIT = (TemplateError, ValueError, TypeError, AttributeError, LookupError)
"""What a text that cannot be used ends in."""

_BREAKS = "{% for line in lines %}{{ line | urlize }}{% if not loop.last %}<br>\n{% endif %}{% endfor %}"
_LAYOUT = """<!DOCTYPE html>
<html lang="{{ language }}"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">\
<title>{{ subject }}</title></head>
<body style="font-family:sans-serif;font-size:16px;line-height:1.5;max-width:38em;margin:1em auto;padding:0 1em">
{% for paragraph in paragraphs %}
<p>{{ paragraph }}</p>
{% endfor %}
</body></html>
"""


@dataclass(frozen=True, slots=True)
class Rendered:
    """Every part; ``language`` is BCP 47, that of the words."""

    language: str
    subject: str
    text: str
    html: str
    sms: str
    push_title: str
    push_body: str
    voice: str


def render(kind: Kind, language: str, facts: Facts, overrides: Mapping[str, str] | None, zone: tzinfo) -> Rendered:
    """A message in a person's language and time zone.

    :param language: BCP 47, such as ``de-CH``; the words are those of the longest known beginning, else English.
    :param overrides: the clinic's texts by ``<kind>/<language>/<part>``; its languages may be others than ours.
    """
    given = {key.lower(): text for key, text in (overrides or {}).items()}
    spoken = language_of(language)
    # Dates are in the language of the words around them.
    regional = language if spoken in map(str.lower, prefixes(language)) else spoken
    known = values(regional, facts, zone)
    own_known = known if regional == language else values(language, facts, zone)

    def part(name: Part) -> str:
        mine = own(given, kind, language, name)
        if mine is not None:
            try:
                return filled(mine, name, own_known)
            except UNFIT as failed:
                where = f"{kind}/{language}/{name}"
                log.warning("a clinic's text cannot be used", text=where, fault=type(failed).__name__)
        return filled(source(kind, spoken, name), name, known)

    written = language if own(given, kind, language, "email") is not None else regional
    subject, text = part("subject"), part("email")
    html = part("html") if own(given, kind, language, "html") is not None else ""
    page = html or _page(written, subject, text)
    return Rendered(
        written, subject, text, page, part("sms"), part("push-title"), part("push-body"), part("voice")
    )  # fmt: skip


def values(language: str, facts: Facts, zone: tzinfo) -> dict[str, Any]:
    """The variables of a template, with the ready paragraphs."""
    known = variables(facts, language, zone)
    parts = sections("pieces", language_of(language))
    made = {name: _tidy(_compiled(text, html=False).render(known)) for name, text in parts.items()}
    pieces = {"choices_list": made["choices"], **{name: made[name] for name in ("details", "links", "footer")}}
    return {**known, **pieces}


def filled(text: str, part: Part, known: Mapping[str, Any]) -> str:
    """A source with its variables.

    :raises ValueError: it is not of our small language; others of ``UNFIT``: it does not fit the facts.
    """
    found = _faults(text)
    if found:
        raise ValueError(found[0])
    html = part == "html"
    if html:
        known = {**known, **{name: Markup(_lines(str(known[name]))) for name in PIECES}}  # noqa: S704  _lines escapes
    made = _tidy(_compiled(text, html=html).render(known))
    return plain(made) if part == "sms" else made if part in {"email", "html"} else " ".join(made.split())


def _lines(text: str) -> str:
    made: str = _compiled(_BREAKS, html=True).render(lines=text.split("\n"))
    return made


@lru_cache(maxsize=2000)
def _faults(text: str) -> tuple[str, ...]:
    return tuple(grammar.faults(text))


@lru_cache(maxsize=2000)
def _compiled(text: str, *, html: bool) -> Any:
    return (grammar.HTML if html else grammar.TEXT).from_string(text)


def _tidy(text: str) -> str:
    """No blank ends of lines, no two empty lines, no second dot behind ``p.m.``."""
    return _TWO_DOTS.sub(r"\1", _PARAGRAPHS.sub("\n\n", _BLANKS.sub("\n", text))).strip()


def _page(language: str, subject: str, text: str) -> str:
    """The plain text as a page: what is said is the same, and links can be followed."""
    paragraphs = [Markup(_lines(one)) for one in text.split("\n\n")]  # noqa: S704  _lines escapes
    made: str = _compiled(_LAYOUT, html=True).render(language=language, subject=subject, paragraphs=paragraphs)
    return made
