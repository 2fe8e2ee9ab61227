"""When a patient is reminded of an appointment, by which channels, and when one that nobody confirms is released.

A clinic's rule says how long before the start; whole days are days of the calendar: *7 d* before Monday 9:00 is Monday
9:00, also when clocks change between. What falls into quiet hours goes out before them, else after them, else not at
all. Nothing is planned for a time that is past. Pure; times are epoch seconds, lengths seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal

from fhir_server.scheduling.civil import DAY, local_day, wall_intervals

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from zoneinfo import ZoneInfo

    from fhir_server.scheduling.interval import Interval

Medium = Literal["email", "sms", "voice", "push"]
"""A code of the CodeSystem *reminder-channel*."""

Kind = Literal["reminder", "confirmation-request"]
"""What a reminder is about, codes of the CodeSystem *reminder-kind*."""

HOUR = 3600
EARLIER = 12 * HOUR
"""How much earlier than wanted something still makes sense that quiet hours move."""

BEFORE_QUIET = 60
"""Seconds before quiet hours at which goes out what would fall into them."""

LAST_MINUTE = 15 * 60
"""Nothing that quiet hours delay goes out later than so long before the start."""

FOLLOW_UP = "confirmation-follow-up"
"""The key of the second request to confirm."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One reminder of the clinic's policy. ``modalities``: only visits of these kinds; empty = all."""

    kind: Kind
    before: int
    media: tuple[Medium, ...]
    modalities: frozenset[str] = frozenset()

    @property
    def key(self) -> str:
        """What tells a reminder of one appointment from its others, and stays when the appointment moves."""
        return f"{self.kind}-{self.before}"


@dataclass(frozen=True, slots=True)
class Quiet:
    """Quiet hours on the wall clock, seconds from midnight; ``end <= start`` ends on the next day."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Confirming:
    """What happens to an appointment that the patient does not confirm.

    ``follow_up``: asked again so long after the request, None = not. ``cutoff`` and ``release``: so long before the
    start the time is given to others.
    """

    follow_up: int | None = None
    cutoff: int = DAY
    release: bool = False


@dataclass(frozen=True, slots=True)
class Preference:
    """What a patient wants of one kind; ``kind`` empty = of all others. Without ``media``: as the clinic does."""

    kind: str = ""
    media: tuple[str, ...] = ()
    off: bool = False


@dataclass(frozen=True, slots=True)
class Planned:
    """One message to be sent at ``due`` by the first of ``media`` that takes it."""

    key: str
    kind: Kind
    due: int
    media: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """What lies ahead of one patient of an appointment. ``release``: when its time is given up unless confirmed."""

    messages: tuple[Planned, ...]
    release: int | None = None


IN_PERSON = frozenset({"in-person", "phone"})
DEFAULT_RULES: tuple[Rule, ...] = (
    Rule("reminder", 7 * DAY, ("email",)),
    Rule("confirmation-request", 3 * DAY, ("sms", "email", "push")),
    Rule("reminder", 2 * DAY, ("email", "push", "sms")),
    Rule("reminder", DAY, ("sms", "push", "email")),
    Rule("reminder", 2 * HOUR, ("sms", "push", "email"), IN_PERSON),
    Rule("reminder", 2 * HOUR, ("push", "sms", "email"), frozenset({"video"})),
)
DEFAULT_QUIET = Quiet(21 * HOUR, 8 * HOUR)
DEFAULT_CONFIRMING = Confirming()


def plan(
    start: int,
    now: int,
    *,
    zone: ZoneInfo,
    rules: Iterable[Rule] = DEFAULT_RULES,
    modality: str = "in-person",
    quiet: Quiet | None = DEFAULT_QUIET,
    confirming: Confirming = DEFAULT_CONFIRMING,
    preferences: Sequence[Preference] = (),
    usable: Collection[str] = frozenset(),
    confirmed: bool = False,
    asked: int | None = None,
) -> Plan:
    """What is sent to a patient about an appointment at ``start``, from ``now`` on, earliest first.

    :param zone: where the patient lives, for quiet hours and whole days.
    :param modality: how the visit takes place; empty counts as in person.
    :param usable: channels that reach the patient and that they did not decline.
    :param confirmed: the patient said that they come, so nobody asks.
    :param asked: when they were asked to confirm, if they were.
    """
    found: dict[int, Planned] = {}
    for rule in _applying(rules, modality or "in-person"):
        if rule.kind == "confirmation-request" and (confirmed or asked is not None):
            continue
        media = channels(rule.kind, rule.media, preferences, usable)
        due = allowed(_wanted(start, rule.before, zone), now, start, quiet, zone) if media else None
        if due is not None:
            _keep(found, Planned(rule.key, rule.kind, due, media))
    if confirmed:
        return Plan(_sorted(found))
    asking = next((one for one in _sorted(found) if one.kind == "confirmation-request"), None)
    since = asking.due if asking else asked
    if since is None:
        return Plan(_sorted(found))
    release = _release(start, now, since, quiet, zone, confirming)
    again = _follow_up(start, now, since, release, quiet, zone, confirming)
    # Who cannot be asked is not asked, and nobody loses an appointment for an answer that was never asked for.
    default = next((rule.media for rule in rules if rule.kind == "confirmation-request"), ())
    if again is not None and (media := channels("confirmation-request", default, preferences, usable)):
        _keep(found, Planned(FOLLOW_UP, "confirmation-request", again, media))
    return Plan(_sorted(found), release)


def channels(
    kind: str, media: Sequence[str], preferences: Sequence[Preference], usable: Collection[str]
) -> tuple[str, ...]:
    """The channels for one kind of message, in order: the patient's choice, else the clinic's; only usable ones.

    A preference for the kind counts before one for all kinds.
    """
    chosen = next((one for one in preferences if one.kind == kind), None)
    chosen = chosen or next((one for one in preferences if not one.kind), None)
    if chosen is not None and chosen.off:
        return ()
    order = chosen.media if chosen is not None and chosen.media else media
    return tuple(one for one in dict.fromkeys(order) if one in usable)


def allowed(wanted: int, now: int, start: int, quiet: Quiet | None, zone: ZoneInfo) -> int | None:
    """``wanted``, or the time to which quiet hours move it: before them, else after; None where neither will do.

    The answer is later than ``now`` and earlier than ``start``.
    """
    if wanted <= now or wanted >= start:
        return None
    rest = quiet_around(wanted, quiet, zone)
    if rest is None:
        return wanted
    earlier: int = rest.start - BEFORE_QUIET
    while wanted - earlier <= EARLIER and (again := quiet_around(earlier, quiet, zone)):
        earlier = again.start - BEFORE_QUIET
    if earlier > now and wanted - earlier <= EARLIER:
        return earlier
    later = after_quiet(wanted, quiet, zone)
    return later if later is not None and later <= start - LAST_MINUTE else None


def after_quiet(at: int, quiet: Quiet | None, zone: ZoneInfo) -> int | None:
    """``at``, or the end of the quiet hours in which it lies; None where quiet hours never end."""
    for _ in range(8):
        rest = quiet_around(at, quiet, zone)
        if rest is None:
            return at
        at = rest.end
    return None


def quiet_around(at: int, quiet: Quiet | None, zone: ZoneInfo) -> Interval | None:
    """The quiet hours in which an instant lies."""
    if quiet is None:
        return None
    return next((one for one in _nights(at, quiet, zone) if one.start <= at < one.end), None)


def _nights(at: int, quiet: Quiet, zone: ZoneInfo) -> Iterator[Interval]:
    day = local_day(zone, at)
    for near in (day - timedelta(days=1), day):
        yield from wall_intervals(zone, near, quiet.start, quiet.end)


def _applying(rules: Iterable[Rule], modality: str) -> Iterator[Rule]:
    """Rules for a kind of visit, each kind and time once: what names the modality counts before what does not."""
    found: dict[str, Rule] = {}
    for rule in rules:
        if rule.modalities and modality not in rule.modalities:
            continue
        known = found.get(rule.key)
        if known is None or (rule.modalities and not known.modalities):
            found[rule.key] = rule
    yield from found.values()


def _wanted(start: int, before: int, zone: ZoneInfo) -> int:
    """So long before the start: whole days on the calendar of the zone, the rest by the clock."""
    days, rest = divmod(before, DAY)
    if rest or not days:
        return start - before
    local = datetime.fromtimestamp(start, zone)
    wall = (local.replace(tzinfo=None) - timedelta(days=days)).replace(tzinfo=zone, fold=local.fold)
    return int(wall.timestamp())


def _keep(found: dict[int, Planned], one: Planned) -> None:
    """One message at a time: a question counts before a reminder, then the one nearer to the visit."""
    known = found.get(one.due)
    if known is None or _weight(one) > _weight(known):
        found[one.due] = one


def _weight(one: Planned) -> tuple[bool, bool, int]:
    before = one.key.rpartition("-")[2]
    return one.kind == "confirmation-request", one.key != FOLLOW_UP, -int(before) if before.isdigit() else 0


def _sorted(found: Mapping[int, Planned]) -> tuple[Planned, ...]:
    return tuple(found[due] for due in sorted(found))


def _release(
    start: int, now: int, since: int, quiet: Quiet | None, zone: ZoneInfo, confirming: Confirming
) -> int | None:
    """When an unconfirmed appointment is released: at the cut-off, outside of quiet hours, well after the question."""
    if not confirming.release:
        return None
    wanted = max(_wanted(start, confirming.cutoff, zone), since + HOUR)
    at = after_quiet(max(wanted, now + 1), quiet, zone)
    return at if at is not None and at <= start - LAST_MINUTE else None


def _follow_up(
    start: int, now: int, since: int, release: int | None, quiet: Quiet | None, zone: ZoneInfo, confirming: Confirming
) -> int | None:
    """When the patient is asked again: after the delay, and while an answer still changes something."""
    if confirming.follow_up is None:
        return None
    end = release if release is not None else start
    at = allowed(since + confirming.follow_up, now, end, quiet, zone)
    return at if at is not None and at > since else None
