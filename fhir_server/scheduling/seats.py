"""Who may sit in the same time: one visit each, a group up to its capacity, and the seats that staff add."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fhir_server.scheduling.calendar_day import Entry


def live(entry: Entry, now: int, ignore: frozenset[str] = frozenset()) -> bool:
    """Whether an entry exists for a reader at ``now`` who looks past the owners in ``ignore``."""
    return (entry.expires is None or entry.expires > now) and entry.owner not in ignore


def share_key(schedule: str, service: str, start: int, end: int) -> str:
    """What the entries of one group visit, offered by rules, have in common."""
    return f"{schedule}|{service}|{start}|{end}"


def clashes(
    entries: Sequence[Entry],
    wanted: Entry,
    now: int,
    ignore: frozenset[str] = frozenset(),
    extra_seats: int = 0,
) -> tuple[Entry, ...]:
    """The live entries that keep ``wanted`` out of this calendar; empty when it may sit.

    Entries whose busy intervals overlap may sit together if they have the same non-empty ``share`` and never more than
    ``wanted.capacity`` of them meet. ``extra_seats`` lets ``wanted`` overlap so many more holds and bookings at any
    moment, of any share; ``blocked`` time stays blocked.
    """
    start, end = wanted.busy_start, wanted.busy_end
    hits = [
        entry
        for entry in entries
        if entry.busy_start < end
        and entry.busy_end > start
        and (entry.expires is None or entry.expires > now)
        and entry.owner not in ignore
    ]
    if not hits:
        return ()
    # An entry around midnight UTC stands in both days' documents and takes one seat.
    hits = list(dict.fromkeys(hits))
    share = wanted.share
    strangers = [entry for entry in hits if not share or entry.share != share]
    sharers = [entry for entry in hits if share and entry.share == share]
    if extra_seats > 0:
        blocked = tuple(entry for entry in strangers if entry.kind == "blocked")
        if blocked:
            return blocked
    if _excess(sharers, strangers, wanted) <= extra_seats:
        return ()
    if not strangers or extra_seats > 0 or _excess(sharers, [], wanted) > 0:
        return tuple(hits)
    return tuple(strangers)


def _excess(sharers: list[Entry], strangers: list[Entry], wanted: Entry) -> int:
    """Seats that ``wanted`` needs beyond the rules at the fullest moment of its busy interval.

    Every stranger costs one, and so does every sharer for whom ``wanted`` leaves no room.
    """
    moments = sorted({wanted.busy_start, *(max(hit.busy_start, wanted.busy_start) for hit in (*sharers, *strangers))})
    fullest = 0
    for moment in moments:
        together = 1 + sum(hit.busy_start <= moment < hit.busy_end for hit in sharers)
        apart = sum(hit.busy_start <= moment < hit.busy_end for hit in strangers)
        fullest = max(fullest, apart + max(0, together - wanted.capacity))
    return fullest
