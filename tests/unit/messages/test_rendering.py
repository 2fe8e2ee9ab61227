"""Every kind in every language: all its parts are there, in the person's words and time, and no more than that."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from fhir_server.messages import rendering, templates
from fhir_server.messages.checking import SAMPLE, check_template
from fhir_server.messages.facts import Choice, Facts, locale_of
from fhir_server.messages.rendering import Rendered, render
from fhir_server.messages.segments import is_gsm, segments
from fhir_server.messages.templates import KINDS, LANGUAGES, PARTS, Kind, language_of, sections, source
from tests.builders.logs import Log

BERLIN, NEW_YORK = ZoneInfo("Europe/Berlin"), ZoneInfo("America/New_York")
START = datetime(2026, 11, 26, 19, 30, tzinfo=UTC)
FACTS = Facts(
    "Lakeside Clinic", START, phone="+1 555 0100", place="North House", confirm="https://c.example/c",
    reschedule="https://c.example/r", cancel="https://c.example/x", service="Oncology", practitioner="Dr. Grey",
)  # fmt: skip
BARE = Facts("Lakeside Clinic", START)


def _texts(made: Rendered) -> dict[str, str]:
    return {
        "subject": made.subject, "email": made.text, "html": made.html, "sms": made.sms, "push-title": made.push_title,
        "push-body": made.push_body, "voice": made.voice,
    }  # fmt: skip


def test_every_file_is_of_a_kind_and_has_every_part() -> None:
    folder = Path(templates.__file__).with_name("templates")
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*.*")}
    assert found == {f"{kind}/{language}.txt" for kind in (*KINDS, "pieces") for language in LANGUAGES}
    for kind in KINDS:
        for language in LANGUAGES:
            assert set(sections(kind, language)) == set(PARTS) - {"html"}, (kind, language)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("facts", [BARE, FACTS, SAMPLE], ids=["bare", "usual", "everything"])
def test_every_part_is_said(kind: Kind, language: str, facts: Facts) -> None:
    made = render(kind, language, facts, None, NEW_YORK)
    assert made.language == language
    for part, text in _texts(made).items():
        assert text, part
        assert text == text.strip()
        assert "{" not in text.replace("{font", "")
        assert not re.search("[\u00a0\u2009\u202f]", text), part
        assert not re.search(r"\.\.| ,| \.|  |\( *\)", text), (part, text)
        assert part in {"email", "html", "sms"} or "\n" not in text
    assert facts.clinic in made.text
    assert facts.clinic in made.sms
    assert is_gsm(made.sms)
    assert segments(made.sms) <= (2 if facts is not SAMPLE else 3), made.sms


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_builtin_text_passes_the_check_of_a_clinics_text(kind: Kind, language: str) -> None:
    for part in PARTS:
        if part != "html":
            assert check_template(source(kind, language, part), part, kind=kind, language=language) == [], part


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", KINDS)
def test_service_and_practitioner_are_not_said_by_default(kind: Kind, language: str) -> None:
    own = {f"{kind}/{language}/sms": "{{ clinic }} {{ service }} {{ practitioner }}"}
    for overrides in (None, own):
        for text in _texts(render(kind, language, FACTS, overrides, NEW_YORK)).values():
            assert "Oncology" not in text
            assert "Grey" not in text


def test_a_clinic_may_say_more() -> None:
    made = render("reminder", "en", replace(FACTS, detail=True), None, NEW_YORK)
    assert "Oncology" in made.text
    assert "With Dr. Grey" in made.text
    assert "Oncology" not in made.sms


@pytest.mark.parametrize(
    ("language", "zone", "said"),
    [
        ("en", NEW_YORK, ["Thursday, November 26, 2026", "2:30 PM", "Eastern Standard Time"]),
        ("en-GB", NEW_YORK, ["26 November 2026", "14:30"]),
        ("de", BERLIN, ["Donnerstag, 26. November 2026", "20:30 Uhr", "Mitteleuropäische Normalzeit"]),
        ("de-CH", BERLIN, ["Donnerstag, 26. November 2026", "20:30 Uhr"]),
        ("es", BERLIN, ["jueves, 26 de noviembre de 2026", "20:30"]),
        ("es-MX", NEW_YORK, ["jueves, 26 de noviembre de 2026", "2:30"]),
        ("fr", NEW_YORK, ["Thursday, November 26, 2026", "2:30 PM"]),
        ("xx-unknown", NEW_YORK, ["Thursday, November 26, 2026"]),
        ("", NEW_YORK, ["Thursday, November 26, 2026"]),
    ],
)
def test_dates_are_in_the_language_and_the_zone(language: str, zone: ZoneInfo, said: list[str]) -> None:
    made = render("reminder", language, FACTS, None, zone)
    for words in said:
        assert words in made.text


def test_the_hour_that_comes_twice_is_told_apart() -> None:
    first, second = (datetime(2026, 11, 1, hour, 30, tzinfo=UTC) for hour in (5, 6))
    texts = [render("reminder", "en", replace(FACTS, start=one), None, NEW_YORK).text for one in (first, second)]
    assert "1:30 AM (Eastern Daylight Time)" in texts[0]
    assert "1:30 AM (Eastern Standard Time)" in texts[1]


def test_languages_are_found_by_their_beginning() -> None:
    found = {
        "de": "de",
        "DE-at": "de",
        "de-CH-1996": "de",
        "es-419": "es",
        "en-US": "en",
        "fr": "en",
        "": "en",
        "d": "en",
    }
    assert {given: language_of(given) for given in found} == found
    assert str(locale_of("de-AT")) == "de_AT"
    assert str(locale_of("de-XX-nonsense")) == "de"
    assert str(locale_of("../../etc")) == "en"


def test_what_stands_in_html_is_escaped_and_links_can_be_followed() -> None:
    made = render("booked", "en", replace(FACTS, clinic="<b>Lake & Sons</b>\r\nBcc: x"), None, NEW_YORK)
    assert "&lt;b&gt;Lake &amp; Sons&lt;/b&gt; Bcc: x" in made.html
    assert "<b>" not in made.html
    assert '<a href="https://c.example/r"' in made.html
    assert '<html lang="en">' in made.html
    assert "\r" not in made.text + made.subject
    own = {"booked/en/html": "<p>{{ clinic }}</p><p>{{ details }}</p>", "booked/en/subject": "{{ clinic }}"}
    made = render("booked", "en", replace(FACTS, clinic="<i>", place="<u>\n2"), own, NEW_YORK)
    assert made.html.startswith("<p>&lt;i&gt;</p><p>Thursday, November 26, 2026<br>")
    assert "&lt;u&gt; 2" in made.html
    assert made.subject == "<i>"


def test_a_confirmed_person_is_not_asked_to_confirm() -> None:
    made = render("reminder", "en", replace(FACTS, confirmed=True), None, NEW_YORK)
    assert "confirm" not in made.sms + made.text + made.voice
    assert "Reply R to change" in made.sms


def test_choices_are_numbered() -> None:
    choices = (Choice(1, START, "North House"), Choice(2, START.replace(day=27)))
    made = render("which-appointment", "en", replace(FACTS, choices=choices), None, NEW_YORK)
    assert made.sms.split("\n")[1:] == ["1: Thu, Nov 26 2:30 PM, North House", "2: Fri, Nov 27 2:30 PM"]
    assert "For Fri, Nov 27, 2:30 PM, press 2." in made.voice


def test_a_clinics_text_takes_the_place_of_ours() -> None:
    own = {
        "reminder/de/sms": "Termin {{ day }}", "reminder/de-CH/sms": "Grüezi {{ day }}",
        "reminder/fr/sms": "Rdv {{ date }}", "reminder/fr/email": "Rdv {{ date }}",
    }  # fmt: skip
    assert render("reminder", "de-AT", FACTS, own, BERLIN).sms == "Termin Do., 26. Nov."
    assert render("reminder", "de-CH", FACTS, own, BERLIN).sms.startswith("Grüezi Do")
    assert render("reminder", "DE-ch", FACTS, own, BERLIN).sms.startswith("Grüezi Do")
    french = render("reminder", "fr-CA", FACTS, own, BERLIN)
    assert (french.language, french.text) == ("fr-CA", "Rdv jeudi 26 novembre 2026")
    assert french.subject == "Your appointment on Thu, Nov 26"
    assert render("booked", "de", FACTS, own, BERLIN) == render("booked", "de", FACTS, None, BERLIN)


@pytest.mark.parametrize(
    "broken", ["{{ clinic", "{{ nobody }}", "{{ clinic.__class__ }}", "{% if clinic < choices %}{% endif %}"]
)
def test_a_broken_text_does_not_stop_a_message(broken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log()
    monkeypatch.setattr(rendering, "log", log)
    made = render("reminder", "en", FACTS, {"reminder/en/sms": broken}, NEW_YORK)
    assert made == render("reminder", "en", FACTS, None, NEW_YORK)
    assert [one["text"] for one in log.events] == ["reminder/en/sms"]


def test_a_broken_page_is_made_of_the_text_again() -> None:
    own = {"reminder/en/html": "{{ nobody }}", "reminder/en/email": "Come on {{ day }}.\n\nThank you."}
    made = render("reminder", "en", FACTS, own, NEW_YORK)
    assert made.text == "Come on Thu, Nov 26.\n\nThank you."
    assert "<p>Come on Thu, Nov 26.</p>\n<p>Thank you.</p>" in made.html
