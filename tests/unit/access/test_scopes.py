"""The grammar of scopes: what is one, what is none, what includes what (S14)."""

from __future__ import annotations

import pytest

from fhir_server.access.scopes import parse, read, within


@pytest.mark.parametrize(
    ("text", "permissions"),
    [
        ("patient/*.cruds", "cruds"), ("user/Appointment.rs", "rs"), ("system/Slot.c", "c"), ("patient/Slot.s", "s"),
        ("patient/*.read", "rs"), ("patient/*.write", "cud"), ("user/*.*", "cruds"),
        ("patient/Appointment.rs?status=booked", "rs"),
    ],
)  # fmt: skip
def test_a_scope_permits(text: str, permissions: str) -> None:
    found = read(text)
    assert found is not None
    assert (found.permissions, found.text) == (permissions, text)


@pytest.mark.parametrize(
    "text",
    [
        "patient/*.", "patient/*.sr", "patient/*.dus", "patient/*.rr", "patient/*.x", "patient/*", "patient.*.rs",
        "Patient/*.rs", "admin/*.rs", "patient/appointment.rs", "patient/**.rs", "patient/*.rs?", "patient/*.rs?x",
        "patient/*.rs?=x", "patient/*.read?status=booked", "patient/*.RS", "patient/*.rs ", "", "*/*.*",
        "patient/Appointment.r.s", "patient/../Appointment.rs",
    ],
)  # fmt: skip
def test_this_is_no_scope(text: str) -> None:
    assert read(text) is None


def test_unknown_words_are_left_out_and_each_is_there_once() -> None:
    found = parse("openid nonsense patient/*.rs patient/*.rs openid patient/*.sr launch/patient")
    assert str(found) == "launch/patient openid patient/*.rs"
    assert found.contexts == {"patient"}


@pytest.mark.parametrize(
    ("asked", "limit", "kept"),
    [
        ("patient/Appointment.rs", "patient/*.cruds", "patient/Appointment.rs"),
        ("patient/*.rs", "patient/Appointment.cruds", ""),
        ("patient/Appointment.cruds", "patient/Appointment.rs", ""),
        ("user/*.rs", "patient/*.cruds", ""),
        ("patient/*.read", "patient/*.rs", "patient/*.read"),
        ("patient/*.rs", "patient/*.read", "patient/*.rs"),
        ("patient/Slot.rs?status=free", "patient/Slot.rs", "patient/Slot.rs?status=free"),
        ("patient/Slot.rs", "patient/Slot.rs?status=free", ""),
        ("patient/Slot.rs?status=busy", "patient/Slot.rs?status=free", ""),
        ("openid launch fhirUser", "openid fhirUser", "fhirUser openid"),
    ],
)
def test_what_lies_within_a_limit(asked: str, limit: str, kept: str) -> None:
    assert str(within(parse(asked), parse(limit))) == kept
