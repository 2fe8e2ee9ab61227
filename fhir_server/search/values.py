"""One value of a search parameter as a clause, by parameter type and modifier.

type       modifiers                                                    prefixes
---------  -----------------------------------------------------------  --------------------------
token      :not :missing; :text of concepts and identifiers; :of-type
           of identifiers; :in :not-in :above :below of codes
string     :exact :contains :missing
reference  :identifier :[Type] :missing
date       :missing                                                     eq ne gt lt ge le sa eb ap
number     :missing                                                     eq ne gt lt ge le sa eb ap
quantity   :missing                                                     eq ne gt lt ge le sa eb ap
uri        :above :below :missing
composite  :missing                                                     those of its components
special    :missing (near)

What a sealed parameter can be asked is in ``sealed.py``.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, cast

from fhir_server.fhir.temporal import date_range
from fhir_server.fhir.types import is_id
from fhir_server.search.extract import normalised
from fhir_server.search.query import (
    Clause,
    DateCompare,
    IdIn,
    Missing,
    Near,
    Not,
    OfType,
    Or,
    Prefix,
    QuantityCompare,
    ReferenceIn,
    StringContains,
    StringExact,
    StringStarts,
    Together,
    TokenIn,
    TokenText,
    UriBelow,
    UriIn,
)
from fhir_server.search.references import comparable
from fhir_server.search.sealed import LONGEST
from fhir_server.search.syntax import invalid, plain, sealed, split, token, unsupported
from fhir_server.search.terminology import member_of, related

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import tzinfo

    from fhir_server.search.definitions import Definition
    from fhir_server.search.terminology import Terminology

_PREFIXED = re.compile(r"(eq|ne|gt|lt|ge|le|sa|eb|ap)?(.*)", re.DOTALL)
_DAY = re.compile(r"\d{4}(-\d\d){0,2}", re.ASCII)
_SPACED_OFFSET = re.compile(r"(T[0-9:.]+) (\d\d:\d\d)")
_NUMBER = re.compile(r"[+-]?\d{1,18}(?:\.\d{1,18})?(?:[eE][+-]?\d{1,2})?", re.ASCII)
_METRES = {"": 1000.0, "km": 1000.0, "m": 1.0, "[mi_i]": 1609.344, "[mi_us]": 1609.347219, "mi": 1609.344}
_NEAR_KM = "50"
_SEGMENTS = 64


@dataclass(frozen=True, slots=True)
class Reading:
    """What the meaning of a value depends on: zone of dates without an offset, now (ms), our base URLs, each with /."""

    zone: tzinfo
    now_ms: int
    bases: tuple[str, ...]
    terminology: Terminology | None = None


def clause(definition: Definition, modifier: str, text: str, name: str, reading: Reading) -> Clause | None:
    """The clause for ``text`` (values joined by commas, escapes in place); ``None`` when every value is empty.

    Raises ``Problem`` INVALID for a malformed value and NOT_SUPPORTED for a modifier; both name ``name``.
    """
    values = [value for value in split(text, ",") if value]
    if not values:
        return None
    if definition.sealed and modifier == "contains":
        raise sealed(name, "it is found by the beginning of a text, and by :exact")
    if modifier and modifier not in definition.modifiers and modifier not in definition.targets:
        raise unsupported(name, "this modifier is not supported for this parameter")
    if modifier == "missing":
        return _missing(definition, text, name)
    if definition.code == "_id":
        ids = IdIn(tuple(plain(value) for value in values))
        return Not(ids) if modifier else ids
    return _READERS[definition.type](definition, modifier, values, name, reading)


def _missing(definition: Definition, text: str, name: str) -> Clause:
    if text not in ("true", "false"):
        raise invalid(name, ":missing is true or false")
    return Missing(definition, text == "true")


def _token(definition: Definition, modifier: str, values: list[str], name: str, reading: Reading) -> Clause:
    if modifier == "text":
        return TokenText(definition, _folded(values, name, hashed=definition.personal))
    if modifier == "of-type":
        return OfType(definition, tuple(_of_type(value, name) for value in values))
    if modifier in ("in", "not-in"):
        members = member_of(definition, values, name, reading.terminology)
        return Not(members) if modifier == "not-in" else members
    if modifier in ("above", "below"):
        return related(definition, modifier, values, name, reading.terminology)
    found = TokenIn(definition, tuple(_token_value(value, name, coded=definition.coded) for value in values))
    return Not(found) if modifier else found


def _of_type(text: str, name: str) -> tuple[str, str, str]:
    parts = [plain(part) for part in split(text, "|")]
    if len(parts) != 3 or not all(parts):
        raise invalid(name, "system|code|value is needed: the identifier's type and its value")
    return parts[0], parts[1], parts[2]


def _token_value(text: str, name: str, *, coded: bool) -> str:
    system, code = token(text)
    if not code and (not system or coded):
        raise invalid(name, "a code is needed, as code, system|code or |code")
    if system is None or coded:
        # The system of a code element is implied by its definition.
        return f"={code}"
    return f"{system}|{code}"


def _string(definition: Definition, modifier: str, values: list[str], name: str, _: Reading) -> Clause:
    if modifier == "exact":
        return StringExact(definition, tuple(unicodedata.normalize("NFC", plain(value)) for value in values))
    folded = _folded(values, name, hashed=definition.sealed)
    return StringContains(definition, folded) if modifier else StringStarts(definition, folded)


def _folded(values: list[str], name: str, *, hashed: bool) -> tuple[str, ...]:
    folded = tuple(normalised(plain(value)) for value in values)
    if "" in folded:
        raise invalid(name, "a text with at least one letter or sign is needed")
    if hashed and max(map(len, folded)) > LONGEST:
        raise sealed(name, f"a text is found by its first {LONGEST} characters at most, or whole by :exact")
    return folded


def _reference(definition: Definition, modifier: str, values: list[str], name: str, reading: Reading) -> Clause:
    if modifier == "identifier":
        return ReferenceIn(definition, tuple(f"#{_token_value(value, name, coded=False)}" for value in values))
    targets = (modifier,) if modifier else definition.targets
    found: dict[str, None] = {}
    for value in values:
        text = comparable(plain(value), reading.bases)
        if is_id(text):
            found.update((f"{target}/{text}", None) for target in targets)
        elif modifier and "://" not in text and not text.startswith(f"{modifier}/"):
            raise invalid(name, "the reference is not of the type that the modifier says")
        elif not text.startswith("#"):
            found[text] = None
    return ReferenceIn(definition, tuple(found))


def _uri(definition: Definition, modifier: str, values: list[str], name: str, _: Reading) -> Clause:
    texts = tuple(plain(value) for value in values)
    if not modifier:
        return UriIn(definition, texts)
    if not all("://" in text and "|" not in text and text.count("/") < _SEGMENTS for text in texts):
        raise invalid(name, "a URL without a version is needed")
    if modifier == "below":
        return UriBelow(definition, tuple(text.rstrip("/") for text in texts))
    return UriIn(definition, tuple(dict.fromkeys(above for text in texts for above in _above(text))))


def _above(url: str) -> list[str]:
    """The URL and all that it continues, each with and without a ``/`` at its end."""
    scheme, _, rest = url.rstrip("/").partition("://")
    steps = rest.split("/")
    starts = [f"{scheme}://{'/'.join(steps[:length])}" for length in range(1, len(steps) + 1)]
    return [form for start in starts for form in (start, f"{start}/")]


def _date(definition: Definition, _: str, values: list[str], name: str, reading: Reading) -> Clause:
    return _any([_day(definition, value, name, reading) for value in values])


def _day(definition: Definition, text: str, name: str, reading: Reading) -> Clause:
    prefix, rest = _prefixed(text)
    try:
        # A form decodes the + of an offset to a space.
        low, high = date_range(_SPACED_OFFSET.sub(r"\1+\2", rest), reading.zone)
    except (ValueError, OverflowError):
        raise invalid(
            name, "a date is needed: YYYY, YYYY-MM, YYYY-MM-DD or YYYY-MM-DDThh:mm:ss with an offset"
        ) from None
    if definition.sealed and (prefix != "eq" or _DAY.fullmatch(rest) is None):
        raise sealed(name, "it is found by a year, a month or a day, without a prefix")
    if prefix == "ap":
        gap = abs(reading.now_ms - low) // 10
        low, high = low - gap, high + gap
    return DateCompare(definition, prefix, low, high)


def _quantity(definition: Definition, __: str, values: list[str], name: str, _: Reading) -> Clause:
    return _any([_amount(definition, value, name) for value in values])


def _amount(definition: Definition, text: str, name: str) -> Clause:
    number, *unit = split(text, "|")
    prefix, digits = _prefixed(number)
    if definition.type == "number" and (unit or _NUMBER.fullmatch(digits) is None):
        raise invalid(name, "a number is needed")
    if _NUMBER.fullmatch(digits) is None or len(unit) not in (0, 2):
        raise invalid(name, "a quantity is needed: number, or number|system|code")
    value = Decimal(digits)
    half = abs(value) / 10 if prefix == "ap" else _half(value, exponential="e" in digits.lower())
    system, code = (plain(part) for part in unit) if unit else ("", "")
    if system and not code:
        raise invalid(name, "a unit with a system needs a code")
    key = f"{system}|{code}" if system else code and f"={code}"
    return QuantityCompare(definition, prefix, float(value), float(value - half), float(value + half), key)


def _half(value: Decimal, *, exponential: bool) -> Decimal:
    """Half of the last digit's place: 100 is [99.5, 100.5), 1e2 is [95, 105), as the specification reads it."""
    _, digits, exponent = value.as_tuple()
    assert isinstance(exponent, int)
    return Decimal(5).scaleb(exponent - (2 if exponential and len(digits) == 1 else 1))


def _composite(definition: Definition, _: str, values: list[str], name: str, reading: Reading) -> Clause:
    return _any([_parts(definition, value, name, reading) for value in values])


def _parts(definition: Definition, text: str, name: str, reading: Reading) -> Clause:
    parts = split(text, "$")
    if len(parts) != len(definition.components) or not all(parts):
        raise invalid(name, f"{len(definition.components)} values joined by $ are needed")
    return Together(
        definition,
        tuple(
            _READERS[component.type](component, "", [part], name, reading)
            for component, part in zip(definition.components, parts, strict=True)
        ),
    )


def _near(definition: Definition, __: str, values: list[str], name: str, _: Reading) -> Clause:
    return _any([_circle(definition, value, name) for value in values])


def _circle(definition: Definition, text: str, name: str) -> Clause:
    parts = split(text, "|")
    if not 2 <= len(parts) <= 4:
        raise invalid(name, "a position is needed: latitude|longitude|distance|unit")
    latitude, longitude, distance, unit = [*parts, "", ""][:4]
    distance = distance or _NEAR_KM
    if unit not in _METRES:
        raise invalid(name, "the unit of the distance is km, m or [mi_i]")
    if not all(_NUMBER.fullmatch(number) for number in (latitude, longitude, distance)):
        raise invalid(name, "latitude, longitude and distance are numbers")
    circle = Near(definition, float(latitude), float(longitude), float(distance) * _METRES[unit])
    if abs(circle.latitude) > 90 or abs(circle.longitude) > 180 or circle.metres < 0:
        raise invalid(name, "latitude, longitude or distance is out of range")
    return circle


def _prefixed(text: str) -> tuple[Prefix, str]:
    found = _PREFIXED.fullmatch(text)
    assert found is not None
    return cast("Prefix", found[1] or "eq"), found[2]


def _any(clauses: list[Clause]) -> Clause:
    return clauses[0] if len(clauses) == 1 else Or(tuple(clauses))


_READERS: dict[str, Callable[[Definition, str, list[str], str, Reading], Clause]] = {
    "token": _token,
    "string": _string,
    "reference": _reference,
    "date": _date,
    "quantity": _quantity,
    "number": _quantity,
    "uri": _uri,
    "composite": _composite,
    "special": _near,
}
