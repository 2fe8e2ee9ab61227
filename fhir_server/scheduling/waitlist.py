"""The waitlist: who waits for what, which times fit, and who comes first. Pure: entries and times in, words out.

A time fits an entry when every line holds; the first that does not is the reason.

code        holds when
----------  ------------------------------------------------------------------------------------
service     the time is for one of the services, or of the codes, that the entry names
length      it is as long as the entry asks
actor       one of the acceptable people or devices gives it, if any are named
place       it is at one of the acceptable places, if any are named; else, for a code, in a clinic of the entry
modality    it is in the way that the entry asks (in person, video, phone)
window      it lies in one of the requested periods
day         it is on one of the days of the week
hours       it begins in one of the parts of the day, and between the hours that the entry names
notice      it begins as far ahead as the patient needs
move-up     it begins earlier than the appointment that the patient keeps until then
had         it was not offered to this entry before, and meets nothing of the same freed time that was declined
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from fhir_server.scheduling.civil import DAY, local_day, offset
from fhir_server.scheduling.interval import Interval
from fhir_server.scheduling.waitlist_terms import DEFAULT_ORDERING, WaitlistTerms, completed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from zoneinfo import ZoneInfo

    from fhir_server.scheduling.waitlist_terms import Criterion

PartOfDay = Literal["morning", "afternoon", "evening"]
Outcome = Literal["open", "accepted", "declined", "expired", "withdrawn"]

PARTS: Mapping[PartOfDay, tuple[int, int]] = {
    "morning": (0, 12 * 3600),
    "afternoon": (12 * 3600, 17 * 3600),
    "evening": (17 * 3600, DAY),
}
"""Parts of the day in seconds from local midnight, half-open."""

MOST_URGENT = 10
UNANSWERED = frozenset({"declined", "expired"})


@dataclass(frozen=True, slots=True)
class Offer:
    """A time that was offered to an entry: epoch seconds, the Schedule that gave it, and what came of it.

    ``freed`` is the time that became free and was the reason to offer; None where the offer itself is that time.
    """

    start: int
    end: int
    schedule: str
    outcome: Outcome
    freed: Interval | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """Somebody who waits.

    ``since`` is in milliseconds, ``windows`` in seconds since the epoch; no window = any time. ``services`` are
    references, ``types`` index tokens of codes; one of either does, and who names none waits for nothing. Empty
    ``actors``, ``places``, ``days``, ``parts`` = any. ``earliest`` and ``latest`` are seconds from local midnight: when
    the visit begins at the earliest, and ends at the latest. ``clinics`` are those in whose walls the entry is.
    ``urgency`` is 0 to 10, 10 the most urgent. ``kept``: the appointment that is kept until an earlier time is
    accepted, which begins at ``kept_start``.
    """

    id: str
    patient: str
    since: int
    services: frozenset[str] = frozenset()
    types: frozenset[str] = frozenset()
    actors: frozenset[str] = frozenset()
    places: frozenset[str] = frozenset()
    clinics: frozenset[str] = frozenset()
    windows: tuple[Interval, ...] = ()
    days: frozenset[int] = frozenset()
    parts: frozenset[PartOfDay] = frozenset()
    earliest: int | None = None
    latest: int | None = None
    duration: int | None = None
    modality: str = ""
    notice: int = 0
    urgency: int = 0
    established: bool = False
    kept: str = ""
    kept_start: int | None = None
    offers: tuple[Offer, ...] = ()

    @property
    def is_offered(self) -> bool:
        """Whether a time is held for this entry now."""
        return any(one.outcome == "open" for one in self.offers)


@dataclass(frozen=True, slots=True)
class Time:
    """A free time: ``[start, end)`` in epoch seconds, whose it is, where, and for what.

    ``freed`` is the time that became free and of which this uses some; None where somebody only looks.
    """

    schedule: str
    start: int
    end: int
    zone: ZoneInfo
    service: str = ""
    types: frozenset[str] = frozenset()
    actors: frozenset[str] = frozenset()
    places: frozenset[str] = frozenset()
    clinics: frozenset[str] = frozenset()
    modality: str = ""
    freed: Interval | None = None


@dataclass(frozen=True, slots=True)
class Misfit:
    """Why an entry does not get a time: a code of the table above, and words without patient data."""

    code: str
    text: str


@dataclass(frozen=True, slots=True)
class Ranked:
    """An entry with its place, from 1 on, and the words that explain it."""

    entry: Entry
    place: int
    reason: str


def fits(entry: Entry, time: Time, now: int) -> Misfit | None:
    """None if the time is one that the entry waits for, else the first reason why not."""
    return next(_misfits(entry, time, now), None)


def barred(entry: Entry, terms: WaitlistTerms) -> Misfit | None:
    """Why the entry gets no offer of its own accord now, whatever the time; None if it does."""
    if entry.is_offered:
        return Misfit("offered", "a time is offered already")
    most = terms.max_offers
    if most is not None and sum(one.outcome in UNANSWERED for one in entry.offers) >= most:
        return Misfit("offers", f"{most} offers were declined or not answered; staff may offer another")
    return None


def declined(offers: Iterable[Offer], time: Time) -> bool:
    """Whether a time meets one of the same freed time that was declined, or not answered.

    Who does not want 09:00 is not asked about 09:10, which became free by the same cancellation.
    """
    return time.freed is not None and any(
        one.outcome in UNANSWERED
        and (one.schedule, one.freed) == (time.schedule, time.freed)
        and one.start < time.end
        and one.end > time.start
        for one in offers
    )


def rank(entries: Iterable[Entry], ordering: Sequence[Criterion] | None = None) -> tuple[Ranked, ...]:
    """Entries in the order of the criteria, the same for the same entries whatever order they come in.

    What is still equal follows the time of entry, then the id.
    """
    criteria = tuple(ordering or DEFAULT_ORDERING)
    found = sorted(entries, key=lambda one: (*(_weight(one, each) for each in criteria), one.since, one.id))
    return tuple(Ranked(one, place, _reason(one, criteria)) for place, one in enumerate(found, 1))


def next_for(
    time: Time,
    ranked: Iterable[Ranked],
    terms: WaitlistTerms,
    now: int,
    excluded: frozenset[str] = frozenset(),
) -> Ranked | None:
    """The first who may be offered a time, None if nobody is left.

    :param ranked: in order.
    :param excluded: ids of entries that cannot have it for reasons outside of this module (another appointment then).
    """
    whole = completed(terms)
    return next(
        (
            one
            for one in ranked
            if one.entry.id not in excluded and barred(one.entry, whole) is None and fits(one.entry, time, now) is None
        ),
        None,
    )


def _misfits(entry: Entry, time: Time, now: int) -> Iterator[Misfit]:
    if not _serves(entry, time):
        yield Misfit("service", "it is for another service")
    if entry.duration is not None and time.end - time.start != entry.duration:
        yield Misfit("length", "it is not as long as asked")
    if entry.actors and not entry.actors & time.actors:
        yield Misfit("actor", "somebody else gives it")
    if entry.places and not entry.places & time.places:
        yield Misfit("place", "it is at another place")
    if _elsewhere(entry, time):
        yield Misfit("place", "it is in another clinic")
    if entry.modality and entry.modality != time.modality:
        yield Misfit("modality", f"it is not {entry.modality}")
    if entry.windows and not any(one.start <= time.start and time.end <= one.end for one in entry.windows):
        yield Misfit("window", "it lies outside of the requested period")
    if entry.days and local_day(time.zone, time.start).weekday() not in entry.days:
        yield Misfit("day", "it is on another day of the week")
    if not _in_hours(entry, time):
        yield Misfit("hours", "it is at another time of day")
    if time.start < now + entry.notice:
        yield Misfit("notice", "it is too soon for the patient")
    if entry.kept_start is not None and time.start >= entry.kept_start:
        yield Misfit("move-up", "it is not earlier than the appointment that is kept")
    if any((one.schedule, one.start) == (time.schedule, time.start) for one in entry.offers):
        yield Misfit("had", "it was offered before")
    if declined(entry.offers, time):
        yield Misfit("had", "it meets what was declined of the same freed time")


def _serves(entry: Entry, time: Time) -> bool:
    return time.service in entry.services or bool(entry.types & time.types)


def _elsewhere(entry: Entry, time: Time) -> bool:
    """Whether a time is in none of the entry's clinics; who names the service or the place means it wherever it is."""
    if entry.places or time.service in entry.services or not entry.clinics or not time.clinics:
        return False
    return entry.clinics.isdisjoint(time.clinics)


def _in_hours(entry: Entry, time: Time) -> bool:
    start = (time.start + offset(time.zone, time.start)) % DAY
    if entry.parts and not any(PARTS[one][0] <= start < PARTS[one][1] for one in entry.parts):
        return False
    if entry.earliest is not None and start < entry.earliest:
        return False
    return entry.latest is None or start + time.end - time.start <= entry.latest


def _weight(entry: Entry, criterion: Criterion) -> int:
    """Less comes first."""
    if criterion == "urgency":
        return -entry.urgency
    if criterion == "established":
        return 0 if entry.established else 1
    if criterion == "fewest-offers":
        return len(entry.offers)
    if criterion == "without-appointment":
        return 1 if entry.kept else 0
    return entry.since


def _reason(entry: Entry, criteria: Sequence[Criterion]) -> str:
    said = [_words(entry, one) for one in dict.fromkeys((*criteria, "since"))]
    return ", ".join(said)


def _words(entry: Entry, criterion: str) -> str:
    if criterion == "urgency":
        return f"urgency {entry.urgency}"
    if criterion == "established":
        return "established" if entry.established else "new patient"
    if criterion == "fewest-offers":
        count = len(entry.offers)
        return "1 offer" if count == 1 else f"{count} offers"
    if criterion == "without-appointment":
        return "keeps an appointment" if entry.kept else "no appointment"
    return f"waiting since {datetime.fromtimestamp(entry.since // 1000, UTC):%Y-%m-%d %H:%M} UTC"
