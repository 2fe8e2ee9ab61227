"""Ids of what is computed and not stored: a proposed Appointment, a free Slot.

    start (7) - duration (1…5) - service (0|9) - patient (0|9) - schedules (9 each)

Start and duration are seconds in base 36, the rest are short keys: at most 61 characters of ``[a-z0-9-]``, which is a
FHIR id (https://hl7.org/fhir/R4/datatypes.html#id). The id names a wish and grants nothing; what it stands for is
derived anew.
"""

from __future__ import annotations

import re
from base64 import b32encode
from dataclasses import dataclass
from hashlib import sha256

SHORT = 9  # characters of a short key: 45 bits
MAX_SCHEDULES = 4  # one less beside a patient

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_PAIRS = [high + low for high in _DIGITS for low in _DIGITS]
_KEY = f"[a-z2-7]{{{SHORT}}}"
_SHORT_KEY = re.compile(_KEY)
_ID = re.compile(f"([0-9a-z]{{7}})-([1-9a-z][0-9a-z]{{0,4}})-((?:{_KEY})?)-((?:{_KEY})?)-((?:{_KEY}){{1,4}})")


@dataclass(frozen=True, slots=True)
class ProposalKey:
    """What an id says: ``start`` in epoch seconds, ``duration`` in seconds, short keys of the rest; "" = none."""

    start: int
    duration: int
    service: str
    patient: str
    schedules: tuple[str, ...]


def short_key(reference: str) -> str:
    """Nine characters of lowercase base32 that stand for a reference such as ``Schedule/1``."""
    return b32encode(sha256(reference.encode()).digest()[:6]).decode().lower()[:SHORT]


def encode(key: ProposalKey) -> str:
    """The id of a proposal; ValueError if the key has no id (too many Schedules, a time out of range)."""
    start, duration = _base36(max(key.start, 0)), _base36(max(key.duration, 0))
    text = f"{start:0>7}-{duration}-{key.service}-{key.patient}-{''.join(key.schedules)}"
    if decode(text) != key:
        msg = "not a proposal that has an id"
        raise ValueError(msg)
    return text


def moved(text: str, start: int) -> str:
    """The id of the same wish at another start, without making it anew."""
    high, low = divmod(start, 1_679_616)
    upper, lower = divmod(high, 1296)
    return f"{_PAIRS[upper]}{_PAIRS[lower]}{_PAIRS[low // 1296]}{_PAIRS[low % 1296]}"[1:] + text[7:]


def decode(text: str) -> ProposalKey | None:
    """What an id says; None for every text that ``encode`` never makes."""
    parts = _ID.fullmatch(text)
    if parts is None:
        return None
    start, duration, service, patient, keys = parts.groups()
    schedules = tuple(_SHORT_KEY.findall(keys))
    if len(schedules) > MAX_SCHEDULES - bool(patient):
        return None
    return ProposalKey(int(start, 36), int(duration, 36), service, patient, schedules)


def _base36(number: int) -> str:
    digits = ""
    while number:
        number, digit = divmod(number, 36)
        digits = _DIGITS[digit] + digits
    return digits or "0"
