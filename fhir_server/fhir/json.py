"""FHIR JSON, strictly read and written to the letter, https://hl7.org/fhir/R4/json.html.

Decimals are :class:`decimal.Decimal` and leave as they came: ``1.00`` stays ``1.00``.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal, InvalidOperation
from typing import Any, NoReturn, Self

import orjson

from fhir_server.errors import Category, Problem, problem

MAX_DEPTH = 64
"""Deepest nesting of objects and arrays that is read."""

_MAX_DIGITS = 64
_MAX_EXPONENT = 308
_BOM = b"\xef\xbb\xbf"
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")
_SPEAKABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}", re.ASCII)


class Written(Decimal):
    """A decimal that remembers a spelling which ``str(Decimal)`` would change, such as ``0.0000001`` or ``1e2``."""

    __slots__ = ("_text",)
    _text: str

    def __new__(cls, text: str) -> Self:
        """:raises Problem: STRUCTURE for an exponent that no decimal has."""
        try:
            number = super().__new__(cls, text)
        except InvalidOperation:
            raise _refusal(_TOO_LARGE) from None
        number._text = text
        return number

    def __str__(self) -> str:
        return self._text


def parse(raw: bytes, *, depth: int = MAX_DEPTH) -> Any:
    """Read one JSON text in UTF-8.

    Refused as ``Category.STRUCTURE``: anything that is not JSON (NaN, trailing text, a byte order mark, a lone
    surrogate), a property that occurs twice or is null, a control character, nesting deeper than ``depth`` and
    numbers beyond 64 digits or 1e±308. The texts name line and column, never a value.
    """
    if raw.startswith(_BOM):
        raise _refusal("the body starts with a byte order mark; plain UTF-8 is needed")
    try:
        value = _DECODER.decode(raw.decode())
    except UnicodeDecodeError:
        raise _refusal("the body is not UTF-8") from None
    except json.JSONDecodeError as fault:
        # The parser's own words name a kind of fault and a position only.
        raise _refusal(f"the body is not JSON: {fault.msg}, line {fault.lineno} column {fault.colno}") from None
    except RecursionError:
        raise _refusal(_TOO_DEEP) from None
    if b"\\" in raw:
        _check_escapes(raw, value)
    if raw.count(b"{") + raw.count(b"[") > depth:
        check_depth(value, depth)
    return value


def dump(value: Any, *, pretty: bool = False) -> bytes:
    """Write JSON in UTF-8; decimals keep their digits. Raises ``TypeError`` for what JSON cannot say."""
    return orjson.dumps(value, _number, orjson.OPT_INDENT_2) if pretty else orjson.dumps(value, _number)


def _number(value: Any) -> orjson.Fragment:
    if isinstance(value, Decimal) and value.is_finite():
        return orjson.Fragment(str(value))
    msg = "not a JSON value"
    raise TypeError(msg)


def _refusal(text: str) -> Problem:
    return problem(Category.STRUCTURE, text)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        name = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise _refusal(f"{_said(name)} occurs twice in one object")
    # Identity, so that the scan stays in C and calls no __eq__ of a Decimal.
    for name, value in pairs:
        if value is None:
            raise _refusal(f"{_said(name)} is null; leave it out instead")
    return found


def _said(name: str) -> str:
    return f"property '{name}'" if _SPEAKABLE.fullmatch(name) else "a property"


def _decimal(text: str) -> Decimal:
    if len(text) > _MAX_DIGITS:
        raise _refusal(_TOO_LARGE)
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise _refusal(_TOO_LARGE) from None
    if not -_MAX_EXPONENT <= number.adjusted() <= _MAX_EXPONENT:
        raise _refusal(_TOO_LARGE)
    return number if str(number) == text else Written(text)


def number(text: str) -> int | Decimal:
    """A JSON number by its text, as :func:`parse` reads it; the text must have the form of one."""
    return _integer(text) if text.removeprefix("-").isdecimal() else _decimal(text)


def _integer(text: str) -> int | Decimal:
    """An int where 64 bits hold it and its text comes back, else a decimal."""
    if len(text) < 19 and text != "-0":
        return int(text)
    return _decimal(text)


def _constant(_: str) -> NoReturn:
    raise _refusal("the body is not JSON: NaN and Infinity are not numbers here")


def _check_escapes(raw: bytes, value: Any) -> None:
    """Escapes can smuggle in what raw UTF-8 cannot: lone surrogates and control characters."""
    try:
        orjson.dumps(value, _number)
    except TypeError:
        raise _refusal("a string holds half of a surrogate pair") from None
    if b"\\u00" not in raw and b"\\b" not in raw and b"\\f" not in raw:
        return
    level = [value]
    while level:
        node = level.pop()
        if isinstance(node, str):
            if _CONTROL.search(node):
                raise _refusal("a string holds a control character")
        elif isinstance(node, dict):
            level.extend(node)
            level.extend(node.values())
        elif isinstance(node, list):
            level.extend(node)


def check_depth(value: Any, depth: int = MAX_DEPTH) -> None:
    """:raises Problem: objects and arrays are nested deeper than ``depth``."""
    level = [value]
    for _ in range(depth):
        level = [
            child
            for node in level
            if isinstance(node, dict | list)
            for child in (node.values() if isinstance(node, dict) else node)
            if isinstance(child, dict | list)
        ]
        if not level:
            return
    raise _refusal(_TOO_DEEP)


_TOO_DEEP = f"the body is nested deeper than {MAX_DEPTH} levels"
_TOO_LARGE = f"a number has more than {_MAX_DIGITS} digits or lies beyond 1e±{_MAX_EXPONENT}"
_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_float=_decimal, parse_int=_integer, parse_constant=_constant
)
