"""How much two Patients look like one person: points for evidence, a score from them, a grade from the score. Pure.

evidence     points
-----------  ------  ------------------------------------------------------------------------------------
identifier      60   system and value are the same; 30 for the same value where one side names no system
family          15   the same; 8 a part in common (Garcia, Garcia-Lopez); -10 different
given           10   the first ones are the same; 5 another one in common, or the same initial; -10 different
birthDate       20   the same; 8 one is less precise and holds the other; -30 different
gender           5   the same; -10 different
telecom         15   a phone number or e-mail address in common
address         10   a line and the postal code or city are the same; 5 the postal code or city alone

What one side does not state gives nothing. Names are compared without case, accents and signs, phone numbers by their
digits; the best pair of names counts, nicknames are not known. Old identifiers (``use`` = old) do not count.

Relatives share member numbers, addresses and telephones: whoever differs in a name or the gender has at most 94
points, whoever has another birth date at most 49.

score = points / 100, from 0 to 1

grade          score      reached by
-------------  ---------  ---------------------------------------------------------------------------------
certain        from 0.95  an identifier, family name and birth date, and nothing that differs
probable       from 0.50  full name, birth date and gender; an identifier alone
possible       from 0.30  family name with birth date or telephone
certainly-not  below

https://hl7.org/fhir/R4/valueset-match-grade.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from fhir_server.search.extract import normalised

MOST = 10
"""Names, identifiers, addresses and telephones of one side that are looked at."""

GRADES = (("certain", 95), ("probable", 50), ("possible", 30), ("certainly-not", 0))
_SHORTEST_NUMBER = 7

Patient = Mapping[str, Any]
Name = tuple[str, tuple[str, ...]]


def points(one: Patient, other: Patient) -> int:
    """Points of the table above, from 0 to 100."""
    born = _birth_date(one.get("birthDate", ""), other.get("birthDate", ""))
    person = [*_best_name(one, other), _gender(one.get("gender", ""), other.get("gender", ""))]
    found = _identifier(one, other) + born + sum(person) + _telecom(one, other) + _best_address(one, other)
    most = 49 if born < 0 else 94 if min(person) < 0 else 100
    return min(most, max(0, found))


def grade(found: int) -> str:
    """The match-grade of so many points."""
    return next(name for name, least in GRADES if found >= least)


def score(found: int) -> Decimal:
    """``Bundle.entry.search.score`` of so many points."""
    return Decimal(found) / 100


def names(patient: Patient) -> list[Name]:
    """Family name and given names of each name, as they are compared; a name of text alone is taken apart."""
    found = []
    for one in _list(patient, "name"):
        family, given = one.get("family", ""), one.get("given", ())
        if not family and not given:
            text = one.get("text", "")
            family, comma, rest = text.partition(",")
            given = rest.split() if comma else text.split()[:-1]
            family = family if comma else " ".join(text.split()[-1:])
        plain = tuple(filter(None, (_plain(each) for each in given if isinstance(each, str))))
        if _plain(family) or plain:
            found.append((_plain(family), plain))
    return found


def identifiers(patient: Patient) -> list[tuple[str, str]]:
    """System (empty where there is none) and value of the identifiers in use."""
    return [
        (one.get("system", ""), one["value"].strip())
        for one in _list(patient, "identifier")
        if one.get("use") != "old" and (one.get("value") or "").strip()
    ]


def telecoms(patient: Patient, system: str) -> list[str]:
    """Values of phones or e-mail addresses as they were stated."""
    return [
        one["value"].strip()
        for one in _list(patient, "telecom")
        if one.get("system") == system and one.get("use") != "old" and (one.get("value") or "").strip()
    ]


def _list(patient: Patient, name: str) -> list[Any]:
    return list(patient.get(name, ()))[:MOST]


def _plain(text: str) -> str:
    """Letters and digits in words."""
    return " ".join("".join(sign if sign.isalnum() else " " for sign in normalised(text)).split())


def _identifier(one: Patient, other: Patient) -> int:
    found = 0
    for system, value in identifiers(one):
        for other_system, other_value in identifiers(other):
            if value == other_value and system == other_system and system:
                return 60
            if value == other_value and not (system and other_system):
                found = 30
    return found


def _best_name(one: Patient, other: Patient) -> tuple[int, int]:
    """Points of family and given names."""
    pairs = [(_family(left[0], right[0]), _given(left[1], right[1])) for left in names(one) for right in names(other)]
    return max(pairs, key=sum, default=(0, 0))


def _family(one: str, other: str) -> int:
    if not one or not other:
        return 0
    if one == other:
        return 15
    return 8 if set(one.split()) & set(other.split()) else -10


def _given(one: tuple[str, ...], other: tuple[str, ...]) -> int:
    if not one or not other:
        return 0
    if one[0] == other[0]:
        return 10
    initial = one[0][0] == other[0][0] and 1 in (len(one[0]), len(other[0]))
    return 5 if initial or set(one) & set(other) else -10


def _birth_date(one: str, other: str) -> int:
    if not one or not other:
        return 0
    if one == other:
        return 20
    return 8 if f"{one}-".startswith(f"{other}-") or f"{other}-".startswith(f"{one}-") else -30


def _gender(one: str, other: str) -> int:
    if not {one, other}.isdisjoint({"", "unknown"}):
        return 0
    return 5 if one == other else -10


def _telecom(one: Patient, other: Patient) -> int:
    emails = {value.casefold() for value in telecoms(one, "email")}
    if not emails.isdisjoint(value.casefold() for value in telecoms(other, "email")):
        return 15
    return 15 if any(_same_number(left, right) for left in _numbers(one) for right in _numbers(other)) else 0


def _numbers(patient: Patient) -> Iterator[str]:
    for value in telecoms(patient, "phone"):
        digits = "".join(sign for sign in value if "0" <= sign <= "9")
        if len(digits) >= _SHORTEST_NUMBER:
            yield digits


def _same_number(one: str, other: str) -> bool:
    """Whether one number is the other, with or without the prefix of a country."""
    return one.endswith(other) or other.endswith(one)


def _best_address(one: Patient, other: Patient) -> int:
    pairs = ((left, right) for left in _list(one, "address") for right in _list(other, "address"))
    return max((_address(left, right) for left, right in pairs), default=0)


def _address(one: Mapping[str, Any], other: Mapping[str, Any]) -> int:
    def same(name: str) -> bool:
        left, right = (_plain(each.get(name) or "") for each in (one, other))
        return bool(left) and left == right

    if not same("postalCode") and not same("city"):
        return 0
    lines, others = ({_plain(line) for line in each.get("line", ()) if line} for each in (one, other))
    return 10 if lines & others - {""} else 5
