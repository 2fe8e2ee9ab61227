"""What a message may say, and how it is told to a template in a person's language and time zone.

variable                                what it is
--------------------------------------  ----------------------------------------------------------------------------
clinic, phone                           name and telephone number of the clinic
date, time, day, time_zone              start: long date, time, short date, name of the zone
place, where                            name of the place; with its address
was, until                              the former time of a moved appointment, or the one that an offered time would
                                        replace; when an offer or a question ends
confirm, reschedule, cancel, join       links
google, outlook, unsubscribe            links
confirmed                               true when the person has confirmed already
service, practitioner                   empty unless the clinic turned ``detail`` on
choices                                 of ``which-appointment``: each has number, day, time, place
details, links, footer, choices_list    ready paragraphs of these in the language
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Any

from babel import Locale, UnknownLocaleError
from babel.dates import format_date, format_skeleton, format_time, get_timezone_name

_SPACES = re.compile("[\u00a0\u2009\u200a\u202f]")
_LINE = re.compile(r"[\x00-\x1f\x7f\u2028\u2029]+")


@dataclass(frozen=True, slots=True)
class Choice:
    """One of the appointments that an answer could mean; ``number`` is what to reply."""

    number: int
    start: datetime
    place: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """Times are aware; texts are plain; links are absolute URLs; what is empty is not said.

    ``service`` and ``practitioner`` are said only with ``detail``, which is the clinic's choice: they tell others who
    read a telephone's screen why somebody comes.
    """

    clinic: str
    start: datetime | None = None
    phone: str = ""
    place: str = ""
    address: str = ""
    was: datetime | None = None
    until: datetime | None = None
    confirm: str = ""
    reschedule: str = ""
    cancel: str = ""
    join: str = ""
    google: str = ""
    outlook: str = ""
    unsubscribe: str = ""
    confirmed: bool = False
    choices: tuple[Choice, ...] = ()
    service: str = ""
    practitioner: str = ""
    detail: bool = False


VARIABLES = frozenset(
    {
        "clinic", "phone", "date", "time", "day", "time_zone", "place", "where", "was", "until", "confirm",
        "reschedule", "cancel", "join", "google", "outlook", "unsubscribe", "confirmed", "service", "practitioner",
        "choices",
    }
)  # fmt: skip
PIECES = frozenset({"details", "links", "footer", "choices_list"})


def locale_of(language: str) -> Locale:
    """How dates are written in a language (BCP 47), by its longest known beginning; English where there is none."""
    words = language.split("-", 8)[:8]
    for length in range(len(words), 0, -1):
        try:
            return Locale.parse("-".join(words[:length]), sep="-")
        except (ValueError, UnknownLocaleError):
            continue
    return Locale("en")


def variables(facts: Facts, language: str, zone: tzinfo) -> dict[str, Any]:
    """The facts as a template sees them, but for the pieces."""
    locale = locale_of(language)
    start = (facts.start or datetime.fromtimestamp(0, UTC)).astimezone(zone)
    known = facts.start is not None
    said: Mapping[str, Any] = {
        "clinic": facts.clinic, "phone": facts.phone, "place": facts.place,
        "where": ", ".join(filter(None, (facts.place, facts.address))),
        "date": format_date(start, "full", locale=locale) if known else "",
        "time": _time(start, locale) if known else "",
        "day": _day(start, locale) if known else "",
        "time_zone": get_timezone_name(start, width="long", locale=locale) if known else "",
        "was": _moment(facts.was, locale, zone), "until": _moment(facts.until, locale, zone),
        "confirm": facts.confirm, "reschedule": facts.reschedule, "cancel": facts.cancel, "join": facts.join,
        "google": facts.google, "outlook": facts.outlook, "unsubscribe": facts.unsubscribe,
        "service": facts.service if facts.detail else "",
        "practitioner": facts.practitioner if facts.detail else "",
    }  # fmt: skip
    choices = [
        {
            "number": one.number, "day": _day(one.start.astimezone(zone), locale),
            "time": _time(one.start.astimezone(zone), locale), "place": _line(one.place),
        }
        for one in facts.choices
    ]  # fmt: skip
    return {name: _line(text) for name, text in said.items()} | {"confirmed": facts.confirmed, "choices": choices}


def _line(text: str) -> str:
    """One line: a fact breaks no header and no layout."""
    return _SPACES.sub(" ", _LINE.sub(" ", text)).strip()


def _day(at: datetime, locale: Locale) -> str:
    return _line(format_skeleton("MMMEd", at, tzinfo=at.tzinfo, locale=locale))


def _time(at: datetime, locale: Locale) -> str:
    # CLDR has a narrow no-break space before AM and PM: one such character makes a text message twice as long.
    return _line(format_time(at, "short", tzinfo=at.tzinfo, locale=locale))


def _moment(at: datetime | None, locale: Locale, zone: tzinfo) -> str:
    return f"{_day(at.astimezone(zone), locale)} {_time(at.astimezone(zone), locale)}" if at else ""
