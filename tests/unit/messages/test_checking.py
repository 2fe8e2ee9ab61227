"""A clinic's text is checked before it is kept, and whatever it says it ends."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_server.messages.checking import check_all, check_template
from fhir_server.messages.facts import PIECES, VARIABLES, Facts
from fhir_server.messages.language import faults
from fhir_server.messages.rendering import UNFIT, filled, values
from fhir_server.messages.templates import PARTS, Part

FINE = [
    "{{ clinic }}: {{ day }} {{ time }}",
    "{% if place %}{{ place | upper }}{% elif phone %}{{ phone }}{% else %}-{% endif %} {{ clinic }}",
    "{{ clinic if confirmed and not place else time }}",
    "{% for choice in choices %}{{ choice.day }}{% if loop.last %}!{% endif -%}{% endfor %} {{ day }}",
    "{# a note #}{{ clinic }}", "{% if clinic == 'Lakeside' %}Hello{% else %}Good day{% endif %}",
    "Plain words alone",
]  # fmt: skip

BAD = [
    ("{{ clinic", "Line 1"), ("a\nb\n{% if x %}", "Line 3"), ("{{ patient }}", "no patient"), ("{% endif %}", "Line 1"),
    ("{{ clinic.upper() }}", "Call"), ("{{ clinic.__class__.__mro__ }}", "no ."), ("{{ ''.__class__ }}", "no ."),
    ("{{ clinic['x'] }}", "Getitem"), ("{{ 'a' * 1000000000 }}", "Mul"), ("{{ 2 ** 9999 }}", "Pow"),
    ("{{ clinic ~ clinic }}", "Concat"), ("{{ [1, 2] }}", "List"), ("{% set a = 1 %}", "Assign"),
    ("{% include 'x' %}", "Include"), ("{% extends 'x' %}", "Extends"), ("{% import 'x' as y %}", "Import"),
    ("{% macro m() %}{% endmacro %}", "Macro"), ("{% block a %}{% endblock %}", "Block"),
    ("{% for a in 'abc' %}{{ a }}{% endfor %}", "choices"), ("{% for a in choices recursive %}{% endfor %}", "choices"),
    ("{% for a in choices %}{% for b in choices %}{% endfor %}{% endfor %}", "once"),
    ("{% for a in choices %}{{ a.number.real }}{% endfor %}", "no ."), ("{{ loop.index }}", "no ."),
    ("{% for a in choices %}{{ loop.cycle }}{% endfor %}", "no ."), ("{{ clinic | center(100000) }}", "center"),
    ("{{ clinic | attr('x') }}", "attr"), ("{{ clinic | replace('a', 'b') }}", "replace"),
    ("{{ clinic is defined }}", "Test"),
    ("{{ self }}", "no self"), ("{{ range }}", "no range"), ("{{ config }}", "no config"),
    ("{% if clinic < choices %}a{% endif %}b", "cannot be filled in"), ("", "says nothing"), ("  \n ", "says nothing"),
    ("{{ confirm }}", "where there are no links"), ("x" * 20_001, "longer than"),
    ("{% if clinic %}" * 60 + "x" + "{% endif %}" * 60, "deeply"), ("{{ " + "not " * 4000 + "clinic }}", "deeply"),
    ("{{ " + "(" * 5000 + "clinic" + ")" * 5000 + " }}", "deeply"),
    ("{{ clinic" + " and clinic" * 800 + " }}", "deeply"),
]  # fmt: skip


@pytest.mark.parametrize("text", FINE)
@pytest.mark.parametrize("part", PARTS)
def test_fine_texts(text: str, part: Part) -> None:
    assert check_template(text, part) == []


@pytest.mark.parametrize(("text", "said"), BAD, ids=range(len(BAD)))
def test_what_is_wrong_is_said(text: str, said: str) -> None:
    found = check_template(text, "email")
    assert said in found[0]
    assert all(one.endswith(".") or one.startswith("Line") for one in found)


def test_all_faults_are_said_together() -> None:
    found = check_template("{{ a }}\n{{ b }}\n{{ a }}", "email")
    assert [one.split(";")[0] for one in found] == [
        "Line 1: there is no a",
        "Line 2: there is no b",
        "Line 3: there is no a",
    ]


@pytest.mark.parametrize(
    ("part", "length"), [("subject", 150), ("push-title", 100), ("push-body", 240), ("voice", 1500), ("email", 10_000)]
)
def test_a_part_has_its_longest(part: Part, length: int) -> None:
    assert check_template("x" * length, part) == []
    assert f"at most {length}" in check_template("x" * (length + 1), part)[0]


def test_a_text_message_has_three_segments_at_most() -> None:
    assert check_template("x" * 459, "sms") == []
    assert check_template("x" * 460, "sms") == ["The text is 4 messages long with example values; at most 3 are sent."]
    [said] = check_template("Приём " * 40, "sms")
    assert "outside of GSM" in said


def test_keys_are_checked_with_their_texts() -> None:
    found = check_all(
        {
            "reminder/en/sms": "{{ day }}", "reminder/de-CH/sms": "{{ nobody }}", "reminder/en": "x",
            "reminders/en/sms": "x", "reminder/en/fax": "x", "reminder/../sms": "x",
        }
    )  # fmt: skip
    assert set(found) == {"reminder/de-CH/sms", "reminder/en", "reminders/en/sms", "reminder/en/fax", "reminder/../sms"}


_words = st.sampled_from(
    ["{{", "}}", "{%", "%}", "if", "endif", "for", "in", "endfor", "else", "not", "and", "|", ".", "loop",
     "upper", "title",
     "(", ")", "==", "<", "'a'", "1", "choice", "number", " ", "\n", *sorted(VARIABLES | PIECES)]
)  # fmt: skip


@given(st.lists(_words, max_size=20).map(" ".join))
@settings(max_examples=300, deadline=None)
def test_no_text_ends_otherwise_than_in_words_or_a_refusal(text: str) -> None:
    from zoneinfo import ZoneInfo

    known = values("en", Facts("Lakeside"), ZoneInfo("UTC"))
    if faults(text):
        with pytest.raises(ValueError):
            filled(text, "email", known)
        return
    try:
        assert isinstance(filled(text, "email", known), str)
    except UNFIT:
        assert check_template(text, "email")
