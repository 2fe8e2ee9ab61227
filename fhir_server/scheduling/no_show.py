"""No-shows: when a visit is suspected to be one, how they count, and what a clinic's policy makes of them. Pure.

action            a patient with more than ``most`` no-shows in twelve months
----------------  ---------------------------------------------------------------------------------
warn              books as ever; the Appointment carries a warning
restrict-advance  books at most ``advance`` seconds ahead (``no-show-restricted``)
prepayment        is refused until the clinic has been paid (``prepayment-required``)
fee               books as ever; the Appointment says what another no-show costs

Staff who override the rules with a reason are refused neither.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Action = Literal["warn", "restrict-advance", "prepayment", "fee"]
ACTIONS = get_args(Action)
NOTICES = ("warn", "fee")
"""Actions that only say something."""

TWELVE_MONTHS = 365 * 86400
ADVANCE = 7 * 86400


@dataclass(frozen=True, slots=True)
class NoShowTerms:
    """What a clinic does about no-shows; lengths in seconds.

    ``flag_after``: a visit without check-in is suspected so long after its start. ``most``: no-shows in twelve months
    that have no consequence. ``amount``: what is to be prepaid or costs a fee (FHIR Money).
    """

    flag_after: int = 15 * 60
    most: int = 3
    actions: tuple[Action, ...] = ("warn",)
    advance: int = ADVANCE
    amount: Mapping[str, object] | None = None


DEFAULT = NoShowTerms()


@dataclass(frozen=True, slots=True)
class Standing:
    """How a patient stands with a clinic: ``count`` no-shows within twelve months; restricted from ``since`` (when the
    one too many took place) until ``until`` (when one of them is too long ago), None where they are not.
    """

    count: int
    since: int | None = None
    until: int | None = None

    @property
    def restricted(self) -> bool:
        return self.until is not None


def standing(missed: Iterable[int], most: int, now: int) -> Standing:
    """The standing at ``now`` of who missed visits that started at these times."""
    recent = sorted(at for at in missed if now - TWELVE_MONTHS < at <= now)
    if len(recent) <= most:
        return Standing(len(recent))
    return Standing(len(recent), recent[most], recent[len(recent) - most - 1] + TWELVE_MONTHS)


def suspected_at(terms: NoShowTerms, start: int) -> int:
    """When a visit without check-in is suspected to be a no-show."""
    return start + terms.flag_after


@dataclass(frozen=True, slots=True)
class Denial:
    """Why a restricted patient may not book: the code, words, and the element it speaks of."""

    code: str
    text: str
    element: str


def denials(terms: NoShowTerms, start: int, now: int, *, moving: bool = False) -> tuple[Denial, ...]:
    """What the terms refuse a restricted patient who wants a visit at ``start``.

    :param moving: the visit is booked already and only moves: what was to be paid is not asked for again.
    """
    found = []
    if "restrict-advance" in terms.actions and start > now + terms.advance:
        text = "After several missed visits only visits in the near future can be booked; call the clinic."
        found.append(Denial("no-show-restricted", text, "start"))
    if "prepayment" in terms.actions and not moving:
        text = "After several missed visits the clinic asks for payment before it books; call the clinic."
        found.append(Denial("prepayment-required", text, "participant"))
    return tuple(found)


def notices(terms: NoShowTerms) -> tuple[Action, ...]:
    """What a booking of a restricted patient says."""
    return tuple(one for one in terms.actions if one in NOTICES)
