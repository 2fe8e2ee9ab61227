"""Whether a clinic's text can be stored: asked before, so that no message is the first to find out."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import cast
from zoneinfo import ZoneInfo

from fhir_server.messages import language as grammar
from fhir_server.messages.facts import Choice, Facts
from fhir_server.messages.rendering import UNFIT, filled, values
from fhir_server.messages.segments import is_gsm, segments
from fhir_server.messages.templates import Kind, Part, check_key

LONGEST = {"subject": 150, "email": 10_000, "html": 100_000, "push-title": 100, "push-body": 240, "voice": 1500}
SMS_SEGMENTS = 3

_AT = datetime(2026, 9, 23, 14, 30, tzinfo=UTC)
_LINK = "https://clinic.example/a/0123456789abcdef"
SAMPLE = Facts(
    clinic="Example Clinic", start=_AT, phone="+1 555 0100", place="Main Street Practice", address="1 Main Street",
    was=_AT, until=_AT, confirm=_LINK, reschedule=_LINK, cancel=_LINK, join=_LINK, google=_LINK, outlook=_LINK,
    unsubscribe=_LINK, choices=(Choice(1, _AT, "Main Street Practice"), Choice(2, _AT)), service="Consultation",
    practitioner="Dr. Example", detail=True,
)  # fmt: skip


def check_template(text: str, part: Part = "email", *, kind: Kind = "reminder", language: str = "en") -> list[str]:
    """What is wrong with a clinic's text for a part: sentences for the person who wrote it; empty if nothing is."""
    key = check_key(f"{kind}/{language}/{part}")
    if key:
        return [key]
    found = grammar.faults(text)
    if found:
        return found
    zone = ZoneInfo("UTC")
    try:
        full, bare = (filled(text, part, values(language, facts, zone)) for facts in (SAMPLE, _bare()))
    except UNFIT:
        return ["The text cannot be filled in: it compares or changes what it cannot."]
    if not full or not bare:
        return ["The text says nothing where there are no links."] if full else ["The text says nothing."]
    if part == "sms":
        return _long_sms(full)
    longest = LONGEST[part]
    return [f"The text is {len(full)} characters long; at most {longest} are sent."] if len(full) > longest else []


def _bare() -> Facts:
    """As little as every message has."""
    return Facts(SAMPLE.clinic, SAMPLE.start)


def _long_sms(said: str) -> list[str]:
    count = segments(said)
    if count <= SMS_SEGMENTS:
        return []
    strange = (
        "" if is_gsm(said) else " It has characters outside of GSM's alphabet, which make it more than twice as long."
    )
    return [f"The text is {count} messages long with example values; at most {SMS_SEGMENTS} are sent.{strange}"]


def check_all(overrides: Mapping[str, str]) -> dict[str, list[str]]:
    """The faults of many texts by their keys; only those that have some."""
    found = {}
    for key, text in overrides.items():
        wrong = check_key(key)
        kind, language, part = ("", "", "") if wrong else key.split("/")
        faults = (
            [wrong] if wrong else check_template(text, cast("Part", part), kind=cast("Kind", kind), language=language)
        )
        if faults:
            found[key] = faults
    return found
