"""A message to an address that a client gave: intact on the way, bounded in time and size, signed (N1, N20 to N23)."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from fhir_server.errors import Problem
from fhir_server.remote import egress, webhook
from fhir_server.remote.egress import Networks, networks_of
from fhir_server.remote.webhook import Outcome, check_headers, headers_of, retry_after, sign, verify
from tests.builders.certificates import authority_and_server
from tests.builders.receivers import OK, Receiver, receiver

DEV = Networks(loopback=True)
BODY = '{"resourceType":"Bundle","x":"é"}'.encode()
JSON = ("Content-Type", "application/fhir+json")


@pytest.fixture
async def hook() -> AsyncIterator[Receiver]:
    async with receiver() as made:
        yield made


def _resolve(monkeypatch: pytest.MonkeyPatch, *rounds: list[str]) -> list[str]:
    """Every look-up of a name gives the next of these; the names that were asked."""
    asked: list[str] = []

    async def found(host: str, _: int) -> list[str]:
        asked.append(host)
        return rounds[min(len(asked), len(rounds)) - 1]

    monkeypatch.setattr(egress, "_resolve", found)
    return asked


async def test_it_arrives_as_it_was_given(hook: Receiver) -> None:
    lines = ["Authorization: Bearer a:b:c", "X-Url:http://x.example:8080/?a=b", "x-Case:  kept in  side ", "X-Empty:"]
    check_headers(lines)
    found = await webhook.post(hook.url(path="/a?b=c"), BODY, [JSON, *headers_of(lines)], allowed=DEV)
    assert found == Outcome(200)
    assert found.accepted
    [seen] = hook.seen
    assert seen.line == "POST /a?b=c HTTP/1.1"
    assert seen.body == BODY
    assert seen.header("host") == [f"127.0.0.1:{hook.port}"]
    for name, value in [
        ("Authorization", "Bearer a:b:c"), ("X-Url", "http://x.example:8080/?a=b"), ("x-Case", "kept in  side"),
        ("X-Empty", ""), JSON,
    ]:  # fmt: skip
        assert (name, value) in seen.headers


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (b"HTTP/1.1 201 Created\r\n\r\n", Outcome(201)),
        (b"HTTP/1.1 500 Oh\r\n\r\n", Outcome(500)),
        (b"HTTP/1.1 410 Gone\r\n\r\n", Outcome(410)),
        (b"HTTP/1.1 429 Slow\r\nRetry-After: 120\r\n\r\n", Outcome(429, 120)),
        (b"HTTP/1.1 302 There\r\nLocation: http://169.254.169.254/\r\n\r\n", Outcome(302, error="redirect")),
        (b"HTTP/1.1 307 There\r\nLocation: /again\r\n\r\n", Outcome(307, error="redirect")),
        (b"no HTTP at all\r\n\r\n", Outcome(error="connect")),
        (b"", Outcome(error="connect")),
    ],
)  # fmt: skip
async def test_what_the_other_side_says(hook: Receiver, answer: bytes, outcome: Outcome) -> None:
    hook.parts = [answer]
    found = await webhook.post(hook.url(), BODY, [JSON], allowed=DEV)
    assert found == outcome
    assert found.accepted is (found.status == 201)
    assert hook.connections == 1


async def test_an_answer_without_end_is_left_at_its_bound(hook: Receiver) -> None:
    hook.parts = [b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n", *[b"x" * 10_000] * 2000]
    assert await webhook.post(hook.url(), BODY, [JSON], allowed=DEV) == Outcome(200)
    # What the kernel holds between us is sent as well; the rest of the 20 MB is not.
    assert hook.sent < 15_000_000


async def test_an_answer_that_dribbles_is_cut_off(hook: Receiver) -> None:
    hook.parts, hook.pause = [bytes([one]) for one in OK], 0.05
    assert await webhook.post(hook.url(), BODY, [JSON], allowed=DEV, timeout=1.0) == Outcome(error="too-slow")
    assert len(hook.parts) > hook.sent > 0


async def test_a_body_that_dribbles_after_the_status_is_not_waited_for(hook: Receiver) -> None:
    hook.parts, hook.pause = [b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n", *[b"x"] * 100], 0.05
    assert await webhook.post(hook.url(), BODY, [JSON], allowed=DEV, timeout=1.0) == Outcome(200)
    assert hook.sent < 100


async def test_silence_is_a_timeout(hook: Receiver) -> None:
    hook.silent = True
    assert await webhook.post(hook.url(), BODY, [JSON], allowed=DEV, timeout=0.5) == Outcome(error="timeout")


async def test_nobody_there(hook: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    assert await webhook.post(f"http://127.0.0.1:{port}/", BODY, [JSON], allowed=DEV) == Outcome(error="connect")

    async def unknown(*_: Any) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(egress, "_resolve", unknown)
    assert await webhook.post("https://gone.example/", BODY, [JSON], allowed=DEV) == Outcome(error="dns")


async def test_inside_is_not_asked(hook: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = Outcome(error="refused-address")
    assert await webhook.post(hook.url(), BODY, [JSON], allowed=Networks()) == refused
    _resolve(monkeypatch, ["127.0.0.1"])
    assert await webhook.post(hook.url("hook.example"), BODY, [JSON], allowed=Networks()) == refused
    assert await webhook.post("http://u:p@hook.example/", BODY, [JSON], allowed=DEV) == refused
    assert hook.connections == 0


async def test_the_address_that_was_checked_is_the_one_that_is_asked(
    hook: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = _resolve(monkeypatch, ["127.0.0.1"], ["10.0.0.1"])
    assert await webhook.post(hook.url("hook.example"), BODY, [JSON], allowed=DEV) == Outcome(200)
    assert asked == ["hook.example"]
    assert hook.seen[0].header("host") == [f"hook.example:{hook.port}"]


async def test_another_address_of_the_host_is_tried(hook: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    _resolve(monkeypatch, ["127.0.0.9", "127.0.0.1"])
    assert await webhook.post(hook.url("hook.example"), BODY, [JSON], allowed=DEV) == Outcome(200)
    assert len(hook.seen) == 1


async def test_proxies_of_the_environment_are_not_asked(hook: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert await webhook.post(hook.url(), BODY, [JSON], allowed=DEV) == Outcome(200)


async def test_the_certificate_is_that_of_the_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    authorities, context = authority_and_server(tmp_path, "hook.example")
    allowed = networks_of("", loopback=True, authorities=authorities)
    _resolve(monkeypatch, ["127.0.0.1"])
    async with receiver(context) as hook:
        url, other = hook.url("hook.example", scheme="https"), hook.url("other.example", scheme="https")
        assert await webhook.post(url, BODY, [JSON], allowed=allowed) == Outcome(200)
        assert hook.server_name == "hook.example"
        assert await webhook.post(other, BODY, [JSON], allowed=allowed) == Outcome(error="tls")
        assert await webhook.post(url, BODY, [JSON], allowed=DEV) == Outcome(error="tls")
        assert len(hook.seen) == 1


@pytest.mark.parametrize(
    "line",
    [
        "Host: x", "host:x", "Content-Length: 1", "Transfer-Encoding: chunked", "Connection: close", "Upgrade: h2c",
        "TE: trailers", "Proxy-Authorization: x", "Content-Type: text/html", "Signature-256: t=1",
        "Expect: 100-continue",
        "X-A: b\r\nHost: evil", "X-A: b\nX-C: d", "X-A\r: b", "X A: b", ": b", "no colon", "", "X-A : b", "X-é: b",
        "X-A: é", "X-A: \x00", "X-A: " + "b" * 9000,
    ],
)  # fmt: skip
def test_headers_that_are_not_sent(line: str) -> None:
    with pytest.raises(Problem) as refused:
        check_headers(["Authorization: Bearer secret-token", line, "X-Fine: x", line])
    found = refused.value
    assert found.category.status == 400
    assert [issue.expression for issue in found.issues] == [f"Subscription.channel.header[{at}]" for at in (1, 3)]
    assert "secret-token" not in str(found)


def test_there_are_not_many_headers() -> None:
    check_headers(["X-A: b"] * 20)
    with pytest.raises(Problem):
        check_headers(["X-A: b"] * 21)


def test_when_to_come_again() -> None:
    now = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)
    later = format_datetime(now.replace(minute=2), usegmt=True)
    assert retry_after("30", now) == 30
    assert retry_after(" 0 ", now) == 0
    assert retry_after(later, now) == 120
    assert retry_after(format_datetime(now.replace(hour=11)), now) == 0
    for nothing in ("", "soon", "-5", "1.5", "9" * 5000, "٣", "Thu, 99 Foo 2026 12:00:00 GMT"):
        assert retry_after(nothing, now) is None, nothing


def test_a_signature_is_of_the_time_and_the_body() -> None:
    header = sign(["new"], 1_764_172_800, BODY)
    assert re.fullmatch(r"t=1764172800,v1=[0-9a-f]{64}", header)
    assert verify(header, ["new"], BODY, 1_764_172_800)
    assert verify(header, ["new"], BODY, 1_764_173_100)
    assert not verify(header, ["new"], BODY, 1_764_173_101)
    assert not verify(header, ["new"], BODY, 1_764_172_499)
    assert not verify(header, ["old"], BODY, 1_764_172_800)
    assert not verify(header, ["new"], BODY + b" ", 1_764_172_800)
    assert not verify(header.replace("t=1764172800", "t=1764172801"), ["new"], BODY, 1_764_172_800)
    for broken in (
        "",
        "v1=",
        "t=x,v1=y",
        "t=1764172800",
        "t=1764172800,v1=é",
        f"t=1764172800,{header}",
        "t=" + "9" * 5000,
    ):
        assert not verify(broken, ["new"], BODY, 1_764_172_800)


def test_a_secret_is_changed_without_a_break() -> None:
    both = sign(["new", "old"], 1_764_172_800, BODY)
    assert both.count("v1=") == 2
    for known in ("new", "old"):
        assert verify(both, [known], BODY, 1_764_172_800)
    assert verify(sign(["old"], 1_764_172_800, BODY), ["new", "old"], BODY, 1_764_172_800)


def test_the_documented_check_is_right() -> None:
    page = (Path(__file__).parents[2] / "docs/subscriptions.md").read_text()
    [code] = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    known: dict[str, Any] = {}
    exec(code, known)
    now = int(time.time())
    header = sign(["new", "old"], now, BODY)
    assert known["is_ours"](header, "new", BODY)
    assert known["is_ours"](header, "old", BODY)
    assert not known["is_ours"](header, "other", BODY)
    assert not known["is_ours"](header, "new", BODY + b"x")
    assert not known["is_ours"](sign(["new"], now - 400, BODY), "new", BODY)
    for broken in ("", "t=", "v1=x", "t=1,t=2", f"t={now},v1=é"):
        assert not known["is_ours"](broken, "new", BODY)
