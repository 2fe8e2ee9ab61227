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
INSTANTS = tuple(text for text in DATES if "T" in text)
PREFIXES = ("", "eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap")


def concept(rng: Random) -> dict[str, Any]:
    if rng.random() < 0.15:
        return {"text": "words only"}
    return {"coding": [coding(rng) for _ in range(rng.randint(1, 2))]}


def coding(rng: Random) -> dict[str, Any]:
    system, code = rng.choice(SYSTEMS), rng.choice(CODES)
    return {"code": code} if system is None else {"system": system, "code": code}


def identifier(rng: Random) -> dict[str, Any]:
    found = coding(rng)
    found["value"] = found.pop("code")
    return found


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
        "requestedPeriod": some(rng, period, 1),
    }
    found["requestedPeriod"] = found["requestedPeriod"][0] if found["requestedPeriod"] else None
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
    }
    return {key: value for key, value in found.items() if value not in ([], None)}


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


BUILDERS = {"Appointment": appointment, "Patient": patient, "Encounter": encounter, "Location": location}


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


_NUMBERS = ("30", "30.0", "29.5", "45||min", "30|http://unitsofmeasure.org|min", "30||h")
_STYLES: dict[str, tuple[Any, tuple[str, ...]]] = {
    "token": (_token_values, ("", ":not")),
    "date": (_date_values, ("",)),
    "reference": (_reference_values, ("",)),
    "string": (_text_values, ("", ":exact", ":contains")),
    "quantity": (lambda rng: rng.choice(PREFIXES) + rng.choice(_NUMBERS), ("",)),
    "special": (lambda rng: f"{rng.randint(-90, 90)}|{rng.randint(-180, 180)}|{rng.randint(0, 9000)}|km", ("",)),
}
_SEARCHED = {
    "Appointment": (
        "status", "part-status", "identifier", "service-type", "date", "requested-period", "-date-or-req-period",
        "actor", "patient", "location", "_lastUpdated", "_id",
    ),
    "Patient": ("name", "family", "given", "birthdate", "active", "telecom", "phone", "identifier"),
    "Encounter": ("status", "class", "date", "location-period", "length"),
    "Location": ("name", "near"),
}  # fmt: skip
_CODED = {
    "status": ("booked", "cancelled", "planned"),
    "part-status": ("accepted", "declined"),
    "active": ("true", "false"),
    "_id": ("1", "2", "30"),
}


def criteria(rng: Random, kind: str) -> list[tuple[str, str]]:
    """One to three ``(name, value)`` pairs of a search on ``kind``."""
    return [_criterion(rng, kind) for _ in range(rng.randint(1, 3))]


def _criterion(rng: Random, kind: str) -> tuple[str, str]:
    code = rng.choice(_SEARCHED[kind])
    if rng.random() < 0.1 and not code.startswith("_"):
        return f"{code}:missing", rng.choice(("true", "false"))
    values, modifiers = _STYLES[DEFINITIONS.of(kind)[code].type]
    count = rng.choice((1, 1, 2))
    if code in _CODED:
        return code + rng.choice(modifiers), ",".join(rng.choice(_CODED[code]) for _ in range(count))
    return code + rng.choice(modifiers), ",".join(values(rng) for _ in range(count))


def read(kind: str, *pairs: tuple[str, str], strict: bool = True, **changed: Any) -> Parsed:
    """The parsed search with the defaults of these tests: zone UTC, pages of 50, base ``BASE``."""
    options = {"zone": UTC, "page_size": 50, "page_limit": 1000, "now_ms": NOW_MS, "bases": (BASE,)} | changed
    return parse(kind, pairs, DEFINITIONS, strict=strict, **options)


def document(resource: dict[str, Any], number: int = 1, **options: Any) -> dict[str, Any]:
    """``{_id, at, idx}`` as the store holds it; ``at`` moves by a second from document to document."""
    written = datetime(2026, 11, 23, 9, tzinfo=UTC) + timedelta(seconds=number)
    index = index_values(resource, DEFINITIONS.of(resource["resourceType"]), (BASE,), **options)
    return {"_id": str(number), "at": int(written.timestamp() * 1000), "idx": index}
