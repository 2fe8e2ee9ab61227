"""One contract for every channel: the recording twin, and the adapters against loopback twins of their providers."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import http_ece
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from joserfc import jwt
from joserfc.jwk import ECKey

from fhir_server.remote.egress import Networks
from fhir_server.remote.email import Email, SendGrid, Smtp
from fhir_server.remote.push import Fcm, Push
from fhir_server.remote.push_apns import Apns
from fhir_server.remote.push_web import WebPush, _bytes, _text
from fhir_server.remote.sending import NotSent, Recording, Sent
from fhir_server.remote.sms import Text, TwilioSms
from fhir_server.remote.twilio import Twilio
from fhir_server.remote.voice import Call, TwilioVoice
from tests.builders import apple as apples
from tests.builders import providers as rest
from tests.builders.mail_sink import mail_sink

EMAIL = Email("m-1", "pat@mail.example", "Your appointment", "Come at ten.", "<p>Come at ten.</p>", b"BEGIN:VCALENDAR")
TEXT = Text("m-1", "+4915112345678", "Come at ten.", "https://ehr.example/hooks?id=m-1")
CALL = Call("m-1", "+4915112345678", "Come at ten.", "de", "https://ehr.example/keys?id=m-1")
PUSH = Push("m-1", "ab" * 32, "Your appointment", "Come at ten.", "https://ehr.example/a")
NO_KEYS = '{"endpoint":"https://p.example","keys":{"p256dh":"AA","auth":"AA"}}'
SENDER = "Clinic <mail@clinic.example>"


@dataclass(slots=True)
class Bench:
    """A channel on a provider: ``ids`` are our id as it arrived; ``fail`` makes the next message fail so."""

    channel: Any
    message: Any
    ids: Callable[[], list[str]]
    fail: Callable[[str], None]
    reasons: tuple[str, ...]
    secret: str = "nothing"
    away: Callable[[Any], Any] | None = None


def ec_file(folder: Path) -> tuple[Path, ec.EllipticCurvePrivateKey]:
    key = ec.generate_private_key(ec.SECP256R1())
    path = folder / "key.pem"
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return path, key


def account_file(folder: Path, url: str) -> Path:
    key = rsa.generate_private_key(65537, 2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    account = {"client_email": "x@p.example", "token_uri": f"{url}/token", "private_key": pem, "project_id": "p"}
    path = folder / "account.json"
    path.write_text(json.dumps(account))
    return path


def browser(url: str) -> tuple[str, ec.EllipticCurvePrivateKey, bytes]:
    """A PushSubscription, and what opens messages to it."""
    key, auth = ec.generate_private_key(ec.SECP256R1()), b"0123456789abcdef"
    point = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    keys = {"p256dh": _text(point), "auth": _text(auth)}
    return json.dumps({"endpoint": f"{url}/push/1", "keys": keys}), key, auth


def recording(message: Any) -> Bench:
    twin: Recording[Any] = Recording()

    def fail(reason: str) -> None:
        permanent = reason in {"invalid-address", "unsubscribed", "rejected"}
        twin.faults.append(NotSent(reason, permanent, 7 if reason == "throttled" else None))

    reasons = ("invalid-address", "unsubscribed", "rejected", "credentials", "throttled", "unavailable")
    return Bench(twin, message, lambda: [one.id for one in twin.given], fail, reasons)


async def smtp(stack: AsyncExitStack) -> Bench:
    sink = await stack.enter_async_context(mail_sink())
    answers = {
        "invalid-address": ("on_recipient", "550 5.1.1 no such mailbox"),
        "rejected": ("on_data", "554 5.7.1 spam"),
        "unavailable": ("on_recipient", "451 4.7.1 greylisted"),
        "credentials": ("on_sender", "550 5.7.1 not your sender"),
    }
    return Bench(
        Smtp.of(f"smtp://127.0.0.1:{sink.port}", SENDER),
        EMAIL,
        lambda: [str(one["Message-ID"])[1:].partition("@")[0] for _, one in sink.taken],
        lambda reason: setattr(sink, *answers[reason]),
        tuple(answers),
        away=lambda channel: replace(channel, port=1),
    )


def by_rest(name: str, channel: Any, message: Any, server: rest.Providers, id_: Callable[[Any], str]) -> Bench:
    faults = rest.FAULTS[name]
    return Bench(
        channel,
        message,
        lambda: [id_(one) for one in server.seen],
        lambda reason: server.faults.append(faults[reason]),
        tuple(faults),
    )


async def make(kind: str, stack: AsyncExitStack, folder: Path) -> Bench:
    match kind:
        case "recording-email":
            return recording(EMAIL)
        case "recording-sms":
            return recording(TEXT)
        case "recording-voice":
            return recording(CALL)
        case "recording-push":
            return recording(PUSH)
        case "smtp":
            return await smtp(stack)
        case "apns":
            return await _apns(stack, folder)
    server = stack.enter_context(rest.providers())
    twilio = Twilio(rest.ACCOUNT, rest.TOKEN, "+15550100", server.url)
    match kind:
        case "sendgrid":
            channel = SendGrid(rest.SENDGRID_KEY, ("Clinic", "mail@clinic.example"), server.url)
            bench = by_rest(
                kind, channel, EMAIL, server, lambda one: one[2]["personalizations"][0]["custom_args"]["id"]
            )
            bench.secret = rest.SENDGRID_KEY
            bench.away = lambda channel: replace(channel, base="http://127.0.0.1:1")
        case "sms":
            bench = by_rest("twilio", TwilioSms(twilio), TEXT, server, lambda one: one[2]["StatusCallback"][-3:])
            bench.secret, bench.away = rest.TOKEN, _no_twilio
        case "voice":
            bench = by_rest("twilio", TwilioVoice(twilio), CALL, server, lambda _: CALL.id)
            bench.secret, bench.away = rest.TOKEN, _no_twilio
        case "fcm":
            made = Fcm.of(str(account_file(folder, server.url)))
            made.base = server.url
            bench = by_rest(kind, made, PUSH, server, lambda one: one[2]["message"]["data"]["id"])
            bench.secret = "PRIVATE KEY"
            bench.away = lambda channel: replace(channel, base="http://127.0.0.1:1")
        case _:
            device, key, auth = browser(server.url)
            channel = WebPush.of(str(ec_file(folder)[0]), "mailto:it@clinic.example", Networks(loopback=True))
            bench = by_rest(
                "web", channel, replace(PUSH, device=device), server, lambda one: _opened(one, key, auth)["id"]
            )
    return bench


def _sendgrid_id(one: Any) -> str:
    return str(one[2]["personalizations"][0]["custom_args"]["id"])


def _no_twilio(channel: Any) -> Any:
    return replace(channel, twilio=replace(channel.twilio, base="http://127.0.0.1:1"))


def _opened(one: Any, key: ec.EllipticCurvePrivateKey, auth: bytes) -> Any:
    return json.loads(http_ece.decrypt(one[2], private_key=key, auth_secret=auth, version="aes128gcm"))


async def _apns(stack: AsyncExitStack, folder: Path) -> Bench:
    server = await stack.enter_async_context(apples.apple())
    channel = Apns.of(str(ec_file(folder)[0]), "KEYID", "TEAM", "example.clinic.app", sandbox=False)
    channel.base = server.url
    stack.push_async_callback(channel.close)
    return Bench(
        channel,
        PUSH,
        lambda: [body["id"] for _, body in server.seen],
        lambda reason: server.faults.append(apples.FAULTS[reason]),
        tuple(apples.FAULTS),
        away=lambda channel: replace(channel, base="http://127.0.0.1:1", _client=None),
    )


KINDS = (
    "recording-email", "recording-sms", "recording-voice", "recording-push", "smtp", "sendgrid", "sms", "voice", "fcm",
    "apns", "web",
)  # fmt: skip


@pytest.fixture(params=KINDS)
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    async with AsyncExitStack() as stack:
        yield await make(request.param, stack, tmp_path)


async def test_what_is_sent_has_the_providers_name_and_an_id(bench: Bench) -> None:
    found = await bench.channel.send(bench.message)
    assert isinstance(found, Sent)
    assert found.provider == bench.channel.name
    assert found.message_id
    await bench.channel.close()


async def test_every_try_carries_the_same_id_of_ours(bench: Bench) -> None:
    for _ in range(2):
        await bench.channel.send(bench.message)
    assert bench.ids() == ["m-1", "m-1"]


async def test_a_fault_says_its_reason_and_whether_it_is_for_ever(bench: Bench) -> None:
    for reason in bench.reasons:
        bench.fail(reason)
        with pytest.raises(NotSent) as refused:
            await bench.channel.send(bench.message)
        assert refused.value.reason == reason
        assert refused.value.permanent is (reason in {"invalid-address", "unsubscribed", "rejected"})
        assert refused.value.retry_after == (7 if reason == "throttled" else None)
        for word in ("pat@", "4915112345678", "ten", "ab" * 32):
            assert word not in str(refused.value)
    assert bench.ids() == []
    await bench.channel.send(bench.message)
    assert len(bench.ids()) == 1


async def test_nobody_there_is_for_now(bench: Bench) -> None:
    if bench.away is None:
        channel = Recording[Any](faults=bench.channel.faults) if isinstance(bench.channel, Recording) else bench.channel
        bench.fail("unavailable")
    else:
        channel = bench.away(bench.channel)
    with pytest.raises(NotSent) as refused:
        await channel.send(bench.message)
    assert (refused.value.reason, refused.value.permanent) == ("unavailable", False)
    if channel is not bench.channel:
        await channel.close()


async def test_secrets_do_not_show(bench: Bench) -> None:
    await bench.channel.send(bench.message)
    assert bench.secret not in repr(bench.channel)


async def test_an_address_that_is_none_is_not_sent_to(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        for kind, wrong in [
            ("smtp", ["", "pat", "pat@", "a b@c.example", "pat@c.example\r\nBcc: x@y.example", "<x@y.example>",
                      "a@b..c", "jörg@c.example"]),
            ("sendgrid", ["pat", "a@b@c"]), ("sms", ["", "0151 1234", "+0151", "+49 151", "whatsapp:+4915112345678"]),
            ("voice", ["112", "+49"]), ("apns", ["", "../1", "zz"]),
            ("web", ["", "[]", "{}", '{"endpoint":"https://p.example"}', NO_KEYS]),
        ]:  # fmt: skip
            bench = await make(kind, stack, tmp_path)
            for one in wrong:
                name = "to" if hasattr(bench.message, "to") else "device"
                with pytest.raises(NotSent) as refused:
                    await bench.channel.send(replace(bench.message, **{name: one}))
                assert (refused.value.reason, refused.value.permanent) == ("invalid-address", True), (kind, one)
            assert bench.ids() == []


async def test_a_browsers_push_service_is_not_inside(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        bench = await make("web", stack, tmp_path)
        channel = replace(bench.channel, allowed=Networks())
        with pytest.raises(NotSent) as refused:
            await channel.send(bench.message)
        assert refused.value.permanent


async def test_a_browser_knows_who_sends(tmp_path: Path) -> None:
    with rest.providers() as server:
        path, key = ec_file(tmp_path)
        channel = WebPush.of(str(path), "mailto:it@clinic.example", Networks(loopback=True))
        device, _, _ = browser(server.url)
        await channel.send(replace(PUSH, device=device))
        [(_, headers, _)] = server.seen
        claim, _, public = headers["authorization"].removeprefix("vapid t=").partition(", k=")
        assert _bytes(public) == key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        claims = jwt.decode(claim, ECKey.import_key(path.read_bytes())).claims
        assert (claims["aud"], claims["sub"]) == (server.url, "mailto:it@clinic.example")
        assert headers["content-encoding"] == "aes128gcm"
        assert headers["ttl"] == "14400"
        assert len(headers["topic"]) == 32


async def test_firebase_gives_a_token_once(tmp_path: Path) -> None:
    with rest.providers() as server:
        channel = Fcm.of(str(account_file(tmp_path, server.url)))
        channel.base = server.url
        for _ in range(3):
            await channel.send(PUSH)
        assert server.tokens == 1
        server.faults.append(rest.FAULTS["fcm"]["credentials"])
        with pytest.raises(NotSent):
            await channel.send(PUSH)
        await channel.send(PUSH)
        assert server.tokens == 2
        assert server.seen[0][2]["message"]["notification"] == {"title": PUSH.title, "body": PUSH.body}


async def test_apple_keeps_a_connection_and_knows_the_copy(tmp_path: Path) -> None:
    async with apples.apple() as server:
        path, _ = ec_file(tmp_path)
        channel = Apns.of(str(path), "KEYID", "TEAM", "example.clinic.app", sandbox=False)
        channel.base = server.url
        for _ in range(2):
            await channel.send(PUSH)
        await channel.close()
        assert server.connections == 1
        (first, body), (second, _) = server.seen
        for name in ("apns-id", "apns-collapse-id"):
            assert first[name] == second[name]
        assert first[":path"] == f"/3/device/{PUSH.device}"
        assert (first["apns-topic"], first["apns-push-type"]) == ("example.clinic.app", "alert")
        token = jwt.decode(first["authorization"].removeprefix("bearer "), ECKey.import_key(path.read_bytes()))
        assert (token.header["kid"], token.claims["iss"]) == ("KEYID", "TEAM")
        assert body["aps"]["alert"] == {"title": PUSH.title, "body": PUSH.body}
