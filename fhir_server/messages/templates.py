"""The texts as they come with the server, and where a clinic's own take their place.

``templates/<kind>/<language>.txt`` has one section for each part, which begins with a line such as ``--- sms``. A
clinic's text has the key ``<kind>/<language>/<part>``; the language may have a region (``de-CH``).

part                   where                                    kind of text
---------------------  ---------------------------------------  ---------------------
subject, email, html   e-mail; ``html`` is made of ``email``    one line, plain, HTML
sms                    text message                             plain
push-title, push-body  push message                             one line each
voice                  call                                     spoken
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Literal, get_args

Kind = Literal[
    "reminder", "confirmation-request", "confirmed", "booked", "moved", "cancelled", "released", "waitlist-offer",
    "waitlist-offer-ended", "which-appointment", "not-understood", "opted-out", "opted-in", "no-show",
    "telehealth-soon",
]  # fmt: skip
Part = Literal["subject", "email", "html", "sms", "push-title", "push-body", "voice"]

KINDS: tuple[Kind, ...] = get_args(Kind)
PARTS: tuple[Part, ...] = get_args(Part)
LANGUAGES = ("en", "es", "de")

_FOLDER = Path(__file__).with_name("templates")
_SECTION = re.compile(r"^--- ([a-z-]+)\n", re.MULTILINE)
_KEY = re.compile(r"([a-z-]+)/([A-Za-z]{2,3}(?:-[A-Za-z0-9]{2,8})*)/([a-z-]+)")


def prefixes(language: str) -> Iterator[str]:
    """``de-CH-1996``, ``de-CH``, ``de``. https://www.rfc-editor.org/rfc/rfc4647#section-3.4"""
    words = language.split("-", 8)[:8]
    for length in range(len(words), 0, -1):
        yield "-".join(words[:length])


def language_of(language: str) -> str:
    """The language of ours for a person's (BCP 47): the longest known beginning, else English."""
    return next((one.lower() for one in prefixes(language) if one.lower() in LANGUAGES), "en")


@cache
def sections(name: str, language: str) -> Mapping[str, str]:
    """The parts of a file: those of a kind, or of ``pieces``."""
    text = (_FOLDER / name / f"{language}.txt").read_text(encoding="utf-8")
    found = _SECTION.split(text)
    return dict(zip(found[1::2], (one.strip("\n") for one in found[2::2]), strict=True))


def source(kind: Kind, language: str, part: Part) -> str:
    """The text that comes with the server, for a clinic to begin with. ``html`` has none: it is made of ``email``."""
    return sections(kind, language_of(language)).get(part, "")


def own(overrides: Mapping[str, str], kind: Kind, language: str, part: Part) -> str | None:
    """The clinic's text for this language or a beginning of it; the keys are in lower case."""
    wanted = (f"{kind}/{one}/{part}".lower() for one in prefixes(language))
    return next((overrides[key] for key in wanted if key in overrides), None)


def check_key(key: str) -> str:
    """What is wrong with ``<kind>/<language>/<part>``; empty if nothing is."""
    found = _KEY.fullmatch(key)
    if not found:
        return "A text is named <kind>/<language>/<part>, such as reminder/en/sms."
    if found[1] not in KINDS:
        return f"There is no kind {found[1]}; there are {', '.join(KINDS)}."
    return "" if found[3] in PARTS else f"There is no part {found[3]}; there are {', '.join(PARTS)}."
