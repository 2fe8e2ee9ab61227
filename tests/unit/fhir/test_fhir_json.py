"""Strict reading and exact writing of JSON."""

from __future__ import annotations

import copy
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.errors import Category, Problem
from fhir_server.fhir.json import MAX_DEPTH, dump, parse

DECIMALS = ["1.00", "0.10", "-0.0", "-0", "1e2", "1E+2", "0.0000001", "1E-7", "123456789012345678901234567890", "5"]

texts = st.text(st.characters(exclude_categories=("Cs",), min_codepoint=32))
numbers = st.integers(-(10**17), 10**17) | st.decimals(allow_nan=False, allow_infinity=False, places=4).map(Decimal)
values = st.recursive(
    st.booleans() | texts | numbers,
    lambda inner: st.lists(inner | st.none(), max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=20,
)


@given(values)
def test_what_is_written_reads_back_as_it_was(value):
    assert parse(dump(value)) == value
    assert parse(dump(value, pretty=True)) == value
    assert dump(parse(dump(value))) == dump(value)


@pytest.mark.parametrize("text", DECIMALS)
def test_a_number_keeps_its_letters(text):
    assert dump(parse(f'{{"value":{text}}}'.encode())) == f'{{"value":{text}}}'.encode()


def test_decimals_are_decimals_and_survive_a_copy():
    value = parse(b'{"a":1.50,"b":1e2,"c":7}')
    assert value == {"a": Decimal("1.5"), "b": Decimal(100), "c": 7}
    assert type(value["c"]) is int
    assert dump(copy.deepcopy(value)) == b'{"a":1.50,"b":1e2,"c":7}'


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b'{"a":1,}', "not JSON"),
        (b"{'a':1}", "not JSON"),
        (b'{"a":1} x', "Extra data, line 1 column 9"),
        (b'{"a":01}', "not JSON"),
        (b'["a\nb"]', "not JSON"),
        (b'{"a":NaN}', "NaN and Infinity"),
        (b'{"a":-Infinity}', "NaN and Infinity"),
        (b"\xef\xbb\xbf{}", "byte order mark"),
        (b'"\xff"', "not UTF-8"),
        (b'"\xed\xa0\x80"', "not UTF-8"),
        (b'["\\ud800"]', "surrogate"),
        (b'{"\\udc00":1}', "surrogate"),
        (b'["\\u0000"]', "control character"),
        (b'{"a\\b":1}', "control character"),
        (b'{"a":{"b":"x\\fy"}}', "control character"),
        (b'{"a":1,"a":1}', "property 'a' occurs twice"),
        (b'{"secret name":1,"secret name":2}', "a property occurs twice"),
        (b'{"a":null}', "property 'a' is null"),
        (b"[1e999999]", "a number"),
        (b"[-1e-400]", "a number"),
        (b"[1." + b"0" * 70 + b"]", "a number"),
        (b"9" * 5000, "a number"),
        (b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), "nested deeper"),
        (b'{"a":' * (MAX_DEPTH + 1) + b"1" + b"}" * (MAX_DEPTH + 1), "nested deeper"),
        (b"[" * 200_000, "nested deeper"),
        (b'{"a":' * 100_000, "nested deeper"),
    ],
)
def test_what_is_not_strict_json_is_refused(raw, words):
    with pytest.raises(Problem) as refusal:
        parse(raw)
    assert refusal.value.category is Category.STRUCTURE
    assert words in refusal.value.issues[0].text


def test_depth_counts_levels_and_not_brackets():
    assert parse(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)
    assert len(parse(b"[" + b"{}," * 500 + b"{}]")) == 501


def test_escapes_that_are_right_are_read():
    assert parse(rb'["\ud83d\ude00 \u00e9 \n \t \\u0000 \\ud800"]') == ["\U0001f600 é \n \t \\u0000 \\ud800"]


def test_null_stands_in_arrays():
    assert parse(b'{"given":[null,"x"]}') == {"given": [None, "x"]}


@pytest.mark.parametrize("value", [Decimal("NaN"), Decimal("Infinity"), {1, 2}, "\ud800"])
def test_what_json_cannot_say_is_not_written(value):
    with pytest.raises(TypeError):
        dump([value])


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(raw):
    try:
        value = parse(raw)
    except Problem:
        return
    assert parse(dump(value)) == value
