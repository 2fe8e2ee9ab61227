"""E-mail as it leaves: its parts, its headers, and how the server is spoken to."""

from __future__ import annotations

import base64
from dataclasses import replace
from email.message import EmailMessage
from pathlib import Path

import pytest

from fhir_server.remote.email import Email, SendGrid, Smtp, mime, sender_of
from fhir_server.remote.sending import NotSent
from tests.builders import providers as rest
from tests.builders.certificates import authority_and_server
from tests.builders.mail_sink import PASSWORD, USER, mail_sink

ICS = ("BEGIN:VCALENDAR\r\nMETHOD:REQUEST\r\nSUMMARY:" + "ü" * 40 + "\r\nEND:VCALENDAR\r\n").encode()
EMAIL = Email(
    "r-7", "pat@mail.example", "Ihr Termin für 9 Uhr", "Grüße\nZeile", "<p>Grüße</p>", ICS,
    unsubscribe="https://ehr.example/stop?t=1",
)  # fmt: skip
SENDER = "Praxis Süd <mail@clinic.example>"


def _parts(message: EmailMessage) -> list[tuple[str, str, bytes]]:
    return [
        (one.get_content_type(), str(one.get_param("method") or ""), one.get_payload(decode=True))  # type: ignore[misc]
        for one in message.walk()
        if not one.is_multipart()
    ]


async def test_text_html_and_calendar_arrive_whole() -> None:
    async with mail_sink() as sink:
        await Smtp.of(f"smtp://127.0.0.1:{sink.port}", SENDER).send(EMAIL)
        [(recipients, message)] = sink.taken
    assert recipients == ["pat@mail.example"]
    assert message.get_content_type() == "multipart/mixed"
    text, html, calendar, attached = _parts(message)
    assert text[0] == "text/plain"
    assert text[2].decode().splitlines() == ["Grüße", "Zeile"]
    assert (html[0], html[2].decode().strip()) == ("text/html", "<p>Grüße</p>")
    assert (calendar[0], calendar[1]) == ("text/calendar", "REQUEST")
    assert calendar[2].replace(b"\r\n", b"\n") == ICS.replace(b"\r\n", b"\n")
    assert (attached[0], attached[2]) == ("application/ics", ICS)
    assert message["Message-ID"] == "<r-7@clinic.example>"
    assert message["From"] == SENDER
    assert message["Subject"] == EMAIL.subject
    assert message["List-Unsubscribe"] == "<https://ehr.example/stop?t=1>"
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert message["Auto-Submitted"] == "auto-generated"


def test_a_plain_message_has_only_its_text() -> None:
    made = mime(Email("r-7", "pat@mail.example", "Hi", "Text"), sender_of("mail@clinic.example"))
    assert made.get_content_type() == "text/plain"
    assert "List-Unsubscribe" not in made
    cancelled = mime(replace(EMAIL, method="CANCEL"), sender_of(SENDER))
    assert [method for type_, method, _ in _parts(cancelled) if type_ == "text/calendar"] == ["CANCEL"]


@pytest.mark.parametrize(
    "change",
    [
        {"subject": "a\r\nBcc: x@y.example"},
        {"unsubscribe": "https://x\r\nX: y"},
        {"id": "a>\r\nB: c"},
        {"id": ""},
    ],
)
async def test_nothing_gets_into_the_headers(change: dict[str, str]) -> None:
    changed = replace(EMAIL, **change)
    with pytest.raises(NotSent) as refused:
        await Smtp.of("smtp://127.0.0.1:1", SENDER).send(changed)
    assert (refused.value.reason, refused.value.permanent) == ("rejected", True)


async def test_a_password_goes_through_tls_only(tmp_path: Path) -> None:
    authorities, context = authority_and_server(tmp_path, "localhost")
    async with mail_sink(context, login=True) as sink:
        url = f"smtp://{USER}:p%40ss%3Aword%2F1@localhost:{sink.port}?starttls&ca={authorities}"
        await Smtp.of(url, SENDER).send(EMAIL)
        assert (sink.users, sink.encrypted) == ([USER], [True])
        with pytest.raises(NotSent) as refused:
            await Smtp.of(url.replace("ss%3A", "ss-"), SENDER).send(EMAIL)
        assert refused.value.reason == "credentials"
        with pytest.raises(NotSent) as refused:
            await Smtp.of(url.partition("&")[0], SENDER).send(EMAIL)
        assert refused.value.reason == "unavailable", "a certificate of an unknown CA"
        assert len(sink.taken) == 1
    async with mail_sink() as plain:
        with pytest.raises(NotSent) as refused:
            await Smtp.of(f"smtp://localhost:{plain.port}?starttls", SENDER).send(EMAIL)
        assert (refused.value.reason, plain.taken) == ("unavailable", [])
    assert PASSWORD not in repr(Smtp.of(url, SENDER))


@pytest.mark.parametrize(
    ("url", "port", "tls"),
    [
        ("smtp://mail.example", 587, "starttls"),
        ("smtp://u:p@mail.example:2525", 2525, "starttls"),
        ("smtps://u:p@mail.example", 465, "tls"),
        ("smtp://mail.example?plain", 25, "plain"),
        ("smtp://127.0.0.1:1025", 1025, "plain"),
        ("smtp://u:p@localhost:1025", 1025, "plain"),
    ],
)
def test_a_url_says_how_the_server_is_spoken_to(url: str, port: int, tls: str) -> None:
    made = Smtp.of(url, SENDER)
    assert (made.port, made.tls) == (port, tls)


@pytest.mark.parametrize(
    "url",
    ["", "mail.example", "http://mail.example", "smtp://", "smtp://h:x", "smtp://h?tls", "smtp://u:secret@h?plain"],
)
def test_a_url_that_names_no_server_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="FHIR_SMTP_URL") as refused:
        Smtp.of(url, SENDER)
    assert "secret" not in str(refused.value)
    with pytest.raises(ValueError, match="FHIR_MAIL_FROM"):
        Smtp.of("smtp://mail.example", "Clinic")


async def test_sendgrid_gets_the_same() -> None:
    with rest.providers() as server:
        channel = SendGrid(rest.SENDGRID_KEY, sender_of(SENDER), server.url)
        assert (await channel.send(EMAIL)).message_id == "sg-1"
        [(_, _, body)] = server.seen
    assert body["from"] == {"email": "mail@clinic.example", "name": "Praxis Süd"}
    assert [one["type"] for one in body["content"]] == ["text/plain", "text/html", "text/calendar; method=REQUEST"]
    assert body["content"][2]["value"].encode() == ICS
    assert base64.b64decode(body["attachments"][0]["content"]) == ICS
    assert body["headers"]["Message-ID"] == "<r-7@clinic.example>"
    assert body["headers"]["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"


async def test_tls_from_the_first_byte(tmp_path: Path) -> None:
    authorities, context = authority_and_server(tmp_path, "localhost")
    async with mail_sink(context, implicit=True) as sink:
        await Smtp.of(f"smtps://localhost:{sink.port}?ca={authorities}", SENDER).send(EMAIL)
        with pytest.raises(NotSent) as refused:
            await Smtp.of(f"smtps://127.0.0.1:{sink.port}?ca={authorities}", SENDER).send(EMAIL)
        assert (refused.value.reason, len(sink.taken)) == ("unavailable", 1), "the certificate is for another name"


async def test_a_policy_is_not_the_address() -> None:
    async with mail_sink() as sink:
        channel = Smtp.of(f"smtp://127.0.0.1:{sink.port}", SENDER)
        for reply, reason in [
            ("550 5.7.1 Relay access denied", "rejected"), ("550 5.1.1 No such user", "invalid-address"),
            ("550 No such user", "invalid-address"), ("452 4.2.2 Full", "unavailable"),
        ]:  # fmt: skip
            sink.on_recipient = reply
            with pytest.raises(NotSent) as refused:
                await channel.send(EMAIL)
            assert refused.value.reason == reason
