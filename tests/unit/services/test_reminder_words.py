"""Short answers in three languages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.services.reminders.people import e164
from fhir_server.services.reminders.words import Answer, answer_of


@pytest.mark.parametrize(
    ("text", "act"),
    [
        ("C", "confirm"), ("c.", "confirm"), (" YES! ", "confirm"), ("Confirm", "confirm"), ("sí", "confirm"),
        ("SI", "confirm"), ("Confirmo", "confirm"), ("Ja", "confirm"), ("bestätigen", "confirm"),
        ("yes, ok", "confirm"),
        ("R", "reschedule"), ("cambiar", "reschedule"), ("Verschieben", "reschedule"), ("ändern", "reschedule"),
        ("CANCEL", "cancel"), ("cancelar", "cancel"), ("Absagen", "cancel"), ("x", "cancel"),
        ("STOP", "stop"), ("Baja", "stop"), ("abmelden", "stop"), ("START", "start"), ("alta", "start"),
        ("HELP", "help"), ("ayuda", "help"), ("Hilfe", "help"),
        ("", "unknown"), ("yes cancel", "unknown"), ("no", "decline"),
        ("Nein", "decline"), ("I want to cancel", "unknown"),
        ("call me please", "unknown"), ("10", "unknown"), ("1 2", "unknown"), ("0", "unknown"),
        ("c" * 60, "unknown"), ("👍", "unknown"),
    ],
)  # fmt: skip
def test_what_an_answer_means(text: str, act: str) -> None:
    assert answer_of(text).act == act


@pytest.mark.parametrize(
    ("text", "language"),
    [("BAJA", "es"), ("abmelden", "de"), ("STOP", ""), ("sí", "es"), ("Ja", "de"), ("C", ""), ("ja sí", ""), ("2", "")],
)
def test_the_language_of_a_word(text: str, language: str) -> None:
    assert answer_of(text).language == language


def test_a_number_alone_or_with_a_word() -> None:
    assert answer_of(" 2 ") == Answer("number", 2)
    assert answer_of("C 2") == Answer("confirm", 2)
    assert answer_of("2 cancel") == Answer("cancel", 2)


@given(st.text(max_size=60))
def test_any_text_has_a_meaning(text: str) -> None:
    assert answer_of(text).number in range(10)


@pytest.mark.parametrize(
    ("text", "prefix", "number"),
    [
        ("(555) 201-0100", "+1", "+15552010100"), ("1-555-201-0100", "+1", "+15552010100"),
        ("+1 555 201 0100", "+49", "+15552010100"), ("tel:+49-30-1234567", "+1", "+49301234567"),
        ("030 1234567", "+49", "+49301234567"), ("0049 30 1234567", "+1", "+49301234567"),
        ("call me", "+1", ""), ("", "+1", ""), ("+0123", "+1", ""), ("555", "+1", ""),
        ("+15552010100;ext=5", "+1", "+15552010100"), ("5" * 30, "+1", ""),
    ],
)  # fmt: skip
def test_numbers_as_people_write_them(text: str, prefix: str, number: str) -> None:
    assert e164(text, prefix) == number
