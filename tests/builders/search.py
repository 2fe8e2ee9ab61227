"""Random resources and random searches on them, drawn from small vocabularies so that they often meet."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fhir_server.search.definitions import Definitions, load
from fhir_server.search.extract import index_values
from fhir_server.search.parser import Parsed, parse

if TYPE_CHECKING:
    from random import Random

PARAMETERS = Path(__file__).parents[2] / "profiles" / "search_parameters"
DEFINITIONS: Definitions = load(PARAMETERS)
BASE = "https://ehr.example/fhir"
NOW_MS = 1_795_000_000_000

CODES = ("a", "b", "c")
SYSTEMS = ("http://x.example", "http://y.example", None)
TEXTS = (
    "Núñez",
    "nunez",
    "O'Brien",
    "a,b",
    ".*",
    "Ada",
    "Adams",
    "ad",
    "Straße",
    "$x",
    "x|y",
    "Ann  Lee",
    "Ǻsa",
    "\\d",
)
DATES = (
    "2026", "2026-11", "2026-12", "2026-11-23", "2026-11-24", "2026-11-23T09:00:00Z", "2026-11-23T09:00:00-05:00",
    "2026-11-23T09:00:00.500Z", "2026-11-23T09:00:01Z", "2026-11-23T23:59:60Z", "2027-01-01",
)  # fmt: skip
DAYS = tuple(text for text in DATES if "T" not in text)
INSTANTS = tuple(text for text in DATES if "T" in text)
URLS = ("http://u.example/a", "http://u.example/a/b", "http://u.example/ab", "http://u.example/a/b/c", "urn:oid:1.2")
PREFIXES = ("", "eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap")


def concept(rng: Random) -> dict[str, Any]:
    if rng.random() < 0.15:
        return {"text": "words only"}
    found = {"coding": [coding(rng) | ({"display": rng.choice(TEXTS)} if rng.random() < 0.3 else {}) for _ in "ab"]}
    return found | ({"text": rng.choice(TEXTS)} if rng.random() < 0.3 else {})


def coding(rng: Random) -> dict[str, Any]:
    system, code = rng.choice(SYSTEMS), rng.choice(CODES)
    return {"code": code} if system is None else {"system": system, "code": code}


def identifier(rng: Random) -> dict[str, Any]:
    found = coding(rng)
    found["value"] = found.pop("code")
    return found | ({"type": concept(rng)} if rng.random() < 0.5 else {})


def some(rng: Random, build: Any, most: int = 2) -> list[Any]:
    return [build(rng) for _ in range(rng.randint(0, most))]


def period(rng: Random) -> dict[str, str]:
    start, end = sorted(rng.sample(("2026-11-01", "2026-11-23", "2026-11-24", "2026-12-31"), 2))
    return rng.choice(({"start": start, "end": end}, {"start": start}, {"end": end}))


def reference(rng: Random) -> dict[str, Any]:
    kind, number = rng.choice(("Patient", "Practitioner", "Location")), rng.randint(1, 3)
    return rng.choice(
        (
            {"reference": f"{kind}/{number}"},
            {"reference": f"{BASE}/{kind}/{number}"},
            {"reference": f"{kind}/{number}/_history/2"},
            {"reference": f"http://other.example/{kind}/{number}"},
            {"type": kind, "identifier": identifier(rng)},
            {"display": "somebody"},
        )
    )


def appointment(rng: Random) -> dict[str, Any]:
    found: dict[str, Any] = {
        "resourceType": "Appointment",
        "status": rng.choice(("booked", "cancelled", "proposed")),
        "participant": [
            {"actor": reference(rng), "status": rng.choice(("accepted", "declined"))} for _ in range(rng.randint(1, 3))
        ],
        "identifier": some(rng, identifier),
        "serviceType": some(rng, concept),
        "requestedPeriod": some(rng, period),
    }
    if rng.random() < 0.8:
        found["start"] = rng.choice(INSTANTS)
    return {key: value for key, value in found.items() if value not in ([], None)}


def patient(rng: Random) -> dict[str, Any]:
    found: dict[str, Any] = {
        "resourceType": "Patient",
        "name": [
            {"family": rng.choice(TEXTS), "given": some(rng, lambda each: each.choice(TEXTS))}
            for _ in range(rng.randint(0, 2))
        ],
        "birthDate": rng.choice((None, *DATES[:5])),
        "active": rng.choice((None, True, False)),
        "telecom": some(rng, lambda each: {"system": each.choice(("phone", "email")), "value": each.choice(CODES)}),
        "identifier": some(rng, identifier),
        "deceasedDateTime": rng.choice((None, None, *DATES[:5])),
    }
    return {key: value for key, value in found.items() if value not in ([], None)}


def group(rng: Random) -> dict[str, Any]:
    traits: list[dict[str, Any]] = []
    for _ in range(rng.randint(0, 3)):
        value = rng.choice(
            ({"valueBoolean": rng.random() < 0.5}, {"valueCodeableConcept": concept(rng)}, {"valueRange": {}})
        )
        traits.append({"code": concept(rng), "exclude": rng.random() < 0.5} | value)
    return {"resourceType": "Group", "actual": False} | ({"characteristic": traits} if traits else {})


def slot(rng: Random) -> dict[str, Any]:
    meta: dict[str, Any] = {"profile": some(rng, lambda each: each.choice(URLS) + each.choice(("", "|1", "|2")))}
    meta |= {"source": rng.choice(URLS)} if rng.random() < 0.6 else {}
    found: dict[str, Any] = {"resourceType": "Slot", "meta": meta, "start": rng.choice(INSTANTS)}
    return found | {"status": rng.choice(("free", "busy")), "specialty": some(rng, concept)}


def encounter(rng: Random) -> dict[str, Any]:
    found: dict[str, Any] = {
        "resourceType": "Encounter",
        "status": rng.choice(("planned", "finished")),
        "class": coding(rng),
        "location": [{"period": period(rng)} for _ in range(rng.randint(0, 2))],
        "period": rng.choice((None, period(rng))),
    }
    if rng.random() < 0.7:
        value = Decimal(rng.choice(("30", "29.5", "30.5", "30.4", "45")))
        found["length"] = {"value": value, "code": "min", "system": "http://unitsofmeasure.org", "unit": "minutes"}
    return {key: value for key, value in found.items() if value not in ([], None)}


def location(rng: Random) -> dict[str, Any]:
    found: dict[str, Any] = {"resourceType": "Location", "name": rng.choice(TEXTS), "alias": [rng.choice(TEXTS)]}
    if rng.random() < 0.8:
        latitude, longitude = Decimal(rng.randint(-900, 900)) / 10, Decimal(rng.randint(-1800, 1800)) / 10
        found["position"] = {"latitude": latitude, "longitude": longitude}
    return found


BUILDERS = {
    "Appointment": appointment, "Patient": patient, "Encounter": encounter, "Location": location, "Group": group,
    "Slot": slot,
}  # fmt: skip


class _Terminology:
    """A tree ``a`` above ``b`` above ``c`` in two systems, and a value set of two codes."""

    def members(self, value_set):
        return {"http://v": [("http://x.example", "a"), ("http://y.example", "b")], "http://none": []}.get(value_set)

    def below(self, system, code):
        return self._cut(system, code, slice(ord(code[0]) - ord("a"), None))

    def above(self, system, code):
        return self._cut(system, code, slice(0, ord(code[0]) - ord("a") + 1))

    def _cut(self, system, code, part):
        return CODES[part] if system in ("http://x.example", "http://y.example", "http://s") else None


TERMINOLOGY = _Terminology()


def _token_values(rng: Random) -> str:
    code, system = rng.choice(CODES), rng.choice(SYSTEMS[:2])
    return rng.choice((code, f"{system}|{code}", f"|{code}", f"{system}|"))


def _date_values(rng: Random) -> str:
    return rng.choice(PREFIXES) + rng.choice(DATES)


def _reference_values(rng: Random) -> str:
    kind, number = rng.choice(("Patient", "Practitioner", "Location")), rng.randint(1, 3)
    return rng.choice((f"{number}", f"{kind}/{number}", f"{BASE}/{kind}/{number}", f"http://other.example/{kind}/1"))


def _text_values(rng: Random) -> str:
    text = rng.choice(TEXTS)
    cut = text[: rng.randint(1, len(text))] if rng.random() < 0.6 else text
    for mark in "\\,|$":
        cut = cut.replace(mark, "\\" + mark)
    return cut


_NUMBERS = ("30", "30.0", "29.5", "3e1", "45||min", "30|http://unitsofmeasure.org|min", "30||h")


def _related_values(rng: Random) -> str:
    return f"{rng.choice(SYSTEMS[:2])}|{rng.choice(CODES)}"


_STYLES: dict[str, Any] = {
    "token": _token_values,
    "date": _date_values,
    "reference": _reference_values,
    "string": _text_values,
    "quantity": lambda rng: rng.choice(PREFIXES) + rng.choice(_NUMBERS),
    "special": lambda rng: f"{rng.randint(-90, 90)}|{rng.randint(-180, 180)}|{rng.randint(0, 9000)}|km",
    "uri": lambda rng: rng.choice(URLS) + rng.choice(("", "", "|1")),
    "composite": lambda rng: f"{_token_values(rng)}${rng.choice((_token_values(rng), 'true', 'false'))}",
}
_MODIFIED: dict[str, Any] = {
    "missing": lambda rng: rng.choice(("true", "false")),
    "text": _text_values,
    "of-type": lambda rng: f"{_related_values(rng)}|{rng.choice(CODES)}",
    "in": lambda rng: rng.choice(("http://v", "http://none")),
    "not-in": lambda rng: rng.choice(("http://v", "http://none")),
    "identifier": _token_values,
}
_SEARCHED = {
    "Appointment": (
        "status", "part-status", "identifier", "service-type", "date", "requested-period", "-date-or-req-period",
        "actor", "patient", "location", "_lastUpdated", "_id",
    ),
    "Patient": (
        "name", "family", "given", "birthdate", "active", "telecom", "phone", "identifier", "deceased", "death-date",
    ),
    "Encounter": ("status", "class", "date", "location-period", "length"),
    "Location": ("name", "near"),
    "Group": ("characteristic", "value", "exclude", "characteristic-value"),
    "Slot": ("_profile", "_source", "start", "status", "specialty"),
}  # fmt: skip
_CODED = {
    "status": ("booked", "cancelled", "planned", "free"),
    "part-status": ("accepted", "declined"),
    "active": ("true", "false"),
    "deceased": ("true", "false"),
    "exclude": ("true", "false"),
    "_id": ("1", "2", "30"),
}


def criteria(rng: Random, kind: str) -> list[tuple[str, str]]:
    """One to three ``(name, value)`` pairs of a search on ``kind``."""
    return [_criterion(rng, kind) for _ in range(rng.randint(1, 3))]


def _criterion(rng: Random, kind: str) -> tuple[str, str]:
    code = rng.choice(_SEARCHED[kind])
    definition = DEFINITIONS.of(kind)[code]
    modifiers = sorted(definition.modifiers - ({"in", "not-in", "above", "below"} if definition.coded else set()))
    modifier = rng.choice(("", "", *modifiers))
    build = _MODIFIED.get(modifier, _STYLES[definition.type])
    if modifier in ("above", "below"):
        build = _related_values if definition.type == "token" else lambda each: each.choice(URLS[:4])
    elif definition.sealed and definition.type == "date" and not modifier:
        build = lambda each: each.choice(("", "eq")) + each.choice(DAYS)  # noqa: E731
    elif code in _CODED and modifier in ("", "not"):
        build = lambda each: each.choice(_CODED[code])  # noqa: E731
    count = 1 if modifier == "missing" else rng.choice((1, 1, 2))
    return f"{code}:{modifier}" if modifier else code, ",".join(build(rng) for _ in range(count))


def order(rng: Random, kind: str) -> str:
    """A ``_sort`` of one to three keys, none of whose values is hashed: hashes have an order of their own."""
    known = DEFINITIONS.of(kind)
    codes = [
        code
        for code in _SEARCHED[kind]
        if known[code].sortable and not (known[code].personal and known[code].type == "reference")
    ]
    return ",".join(rng.choice(("", "-")) + code for code in rng.sample(codes, min(len(codes), rng.randint(1, 3))))


def read(kind: str, *pairs: tuple[str, str], strict: bool = True, **changed: Any) -> Parsed:
    """The parsed search with the defaults of these tests: zone UTC, pages of 50, base ``BASE``."""
    options = {"zone": UTC, "page_size": 50, "page_limit": 1000, "now_ms": NOW_MS, "bases": (BASE,)}
    options |= {"terminology": TERMINOLOGY} | changed
    return parse(kind, pairs, DEFINITIONS, strict=strict, **options)


def document(resource: dict[str, Any], number: int = 1, **options: Any) -> dict[str, Any]:
    """``{_id, at, idx}`` as the store holds it; ``at`` moves by a second from document to document."""
    written = datetime(2026, 11, 23, 9, tzinfo=UTC) + timedelta(seconds=number)
    index = index_values(resource, DEFINITIONS.of(resource["resourceType"]), (BASE,), **options)
    return {"_id": str(number), "at": int(written.timestamp() * 1000), "idx": index}
