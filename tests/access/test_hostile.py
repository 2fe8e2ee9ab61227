"""Ways around a route, and what answers carry: methods, paths, caches, logs, markup (S31, V15, V17, V23-V27)."""

from __future__ import annotations

import statistics
import time
from typing import Any

import pytest

from fhir_server.access.caller import Role
from fhir_server.app import Server
from fhir_server.remote.http import httpx
from fhir_server.settings import Settings
from tests.access.callers import Callers
from tests.builders.town import Town
from tests.server import serving
from tests.tokens import account, issuer_for

OVERRIDES = ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override")


async def test_a_method_is_what_it_is(callers: Callers, town: Town) -> None:
    """V23: a POST that says to be a DELETE is a POST."""
    ann = await callers("app")
    url = town.own("ann", "Appointment")
    for name in OVERRIDES:
        assert (await ann.get(url, headers={name: "DELETE"})).status_code == 200
        answer = await ann.ask("POST", url, headers={name: "DELETE"}, content=b"")
        assert answer.status_code == 405, answer.text
    for query in ("_method=DELETE", "_method=PUT"):
        answer = await ann.get(f"{url}?{query}")
        assert answer.status_code in {200, 400}
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        answer = await ann.ask("POST", f"{url}?{query}", content=query, headers=form)
        assert answer.status_code in {405, 415}
    for method in ("TRACE", "CONNECT", "PROPFIND", "get", "DELETE/x"):
        try:
            answer = await ann.ask(method, town.own("ben"))
        except ValueError:
            continue  # the client itself refuses to send it
        assert answer.status_code in {404, 405}, (method, answer.text)
    assert (await town.client.get(url)).status_code == 200


async def test_no_path_leads_around(callers: Callers, town: Town) -> None:
    """V24: dots, double and encoded slashes, matrix parameters, letters of another case."""
    ann = await callers("app")
    mine, other = town.own_id("ann", "Patient"), town.own_id("ben", "Patient")
    for path in (
        f"Patient/{mine}/../{other}", f"Patient/{mine}/%2e%2e/{other}", f"Patient/{mine}%2f..%2f{other}",
        f"Patient//{other}", f"/Patient/{other}", f"Patient/{other}/", f"Patient/{other};x", f"Patient/{other}%00",
        f"Patient/{other}%20", f"Patient/{other}/$everything%3f", f"Patient/{other}/$everything/", f"Patient%2f{other}",
        f"patient/{other}", f"PATIENT/{other}", f"Patient/{other}.json", f"Patient/{other}#x", f"./Patient/{other}",
        f"Patient/{other}/_history/1/../2", f"Patient/{mine}/Patient/{other}", f"Patient/*/{other}",
        f"%50atient/{other}", f"Patient/%7a{other[1:]}", f"metadata/../Patient/{other}", f"Patient/{other}/*",
        f"Patient/{mine},{other}", f"Patient/{mine}|{other}", f"..%2f..%2ffhir%2fPatient%2f{other}",
        f"Patient/{other}?_format=xml", f"Patient/{other}?_summary=true", f"Patient/{other}?_elements=name",
        f"CapabilityStatement/{other}", f"StructureDefinition/../Patient/{other}",
    ):  # fmt: skip
        for method in ("GET", "HEAD", "DELETE"):
            answer = await ann.ask(method, path)
            assert answer.status_code in {400, 403, 404, 405, 204}, (method, path, answer.status_code, answer.text)
            assert town.word("ben") not in answer.text
    assert (await town.client.get(town.own("ben"))).status_code == 200


@pytest.mark.parametrize("name", ["app", "desk", "auditor", "walled"])
async def test_nothing_is_left_in_caches(name: str, callers: Callers, town: Town) -> None:
    """V25, on every status."""
    caller = await callers(name)
    for method, url in (
        ("GET", town.own("ann")), ("GET", town.own("cia")), ("GET", "Patient"), ("HEAD", town.own("ann")),
        ("GET", "metadata"), ("GET", "Nonsense/1"), ("OPTIONS", "Patient"), ("DELETE", town.own("cia", "Flag")),
        ("GET", "Patient?_id[$ne]=x"), ("PUT", town.own("cia")),
    ):  # fmt: skip
        answer = await caller.ask(method, url)
        assert "no-store" in answer.headers["cache-control"], (method, url)
        assert {"Authorization", "Accept"} <= {one.strip() for one in answer.headers["vary"].split(",")}
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "set-cookie" not in answer.headers
        assert answer.headers["access-control-allow-origin"] == "*"
        assert "access-control-allow-credentials" not in answer.headers
    same = {"If-None-Match": (await (await callers("app")).get(town.own("ann"))).headers["etag"]}
    answer = await (await callers("app")).get(town.own("ann"), headers=same)
    assert answer.status_code == 304
    assert "no-store" in answer.headers["cache-control"]


async def test_a_browser_may_ask_from_anywhere_with_a_token(http: Any) -> None:
    """S31 on FHIR routes."""
    named = "authorization, content-type, prefer, if-match, if-none-match, if-none-exist"
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
        answer = await http.options("Appointment/1", headers={
            "Origin": "https://app.example", "Access-Control-Request-Method": method,
            "Access-Control-Request-Headers": named,
        })  # fmt: skip
        assert answer.status_code == 204
        assert method in answer.headers["access-control-allow-methods"]
        allowed = answer.headers["access-control-allow-headers"].lower()
        for name in named.split(", "):
            assert name in allowed
        exposed = answer.headers["access-control-expose-headers"]
        for name in ("Location", "Content-Location", "ETag", "Last-Modified", "X-Request-Id", "Retry-After"):
            assert name in exposed
        assert answer.headers["access-control-allow-origin"] == "*"
        assert "access-control-allow-credentials" not in answer.headers


async def test_logs_name_nobody(
    callers: Callers, town: Town, settings: Settings, app: Server, capfd: pytest.CaptureFixture[str]
) -> None:
    """V26: no token, no id, no name, whatever was asked and however it ended, at the level *debug* too."""
    word, ben = town.word("ann"), town.own_id("ben", "Patient")
    with serving(settings, FHIR_LOG_LEVEL="debug") as base:
        who = account(Role.PATIENT, town.own("ann"))
        token = await issuer_for(app, base).person(who, "patient/*.cruds launch/patient", town.own("ann"))
        headers = {"Authorization": f"Bearer {token}"}
        async with httpx.AsyncClient(base_url=f"{base}/", headers=headers, trust_env=False, timeout=30) as http:
            for url in (town.own("ann"), town.own("ben"), f"Patient?family={word}", f"Patient?nonsense={word}",
                        f"Appointment?patient={town.own('ben')}", f"{town.own('ann')}/$everything",
                        "Patient?_page=x"):  # fmt: skip
                await http.get(url)
            await http.put(town.own("ben"), json={"resourceType": "Patient", "id": ben, "name": [{"family": word}]})
            await http.post("Patient", json={"resourceType": "Patient", "name": [{"family": word}], "nonsense": word})
            refused = await http.get("Patient", headers={"Authorization": f"Bearer {token[:-4]}AAAA"})
            assert refused.status_code == 401
    said = capfd.readouterr().err
    assert said.count('"event":"request"') + said.count('"event": "request"') >= 10
    assert "token refused" in said
    assert token[-40:-4] not in said
    for person in ("ann", "ben"):
        for mark in town.about(person):
            assert mark not in said


SCRIPTS = (
    "<script>alert(1)</script>", '<img src="x" onerror="alert(1)"/>', '<a href="javascript:alert(1)">x</a>',
    '<svg onload="alert(1)"/>', '<iframe src="https://evil.example"/>',
    '<object data="x"/>',
    "<style>@import 'x';</style>",
    '<form action="https://evil.example"><input name="x"/></form>', '<p onclick="alert(1)">x</p>',
    "<base href='//evil'/>",
    '<meta http-equiv="refresh" content="0"/>', '<link rel="stylesheet" href="//evil"/>', "<embed src='x'/>",
)  # fmt: skip


@pytest.mark.parametrize("script", SCRIPTS)
async def test_narratives_hold_no_scripts(script: str, callers: Callers, town: Town) -> None:
    """V17: refused, by JSON as by a patch."""
    ann = await callers("app")
    div = f'<div xmlns="http://www.w3.org/1999/xhtml">{script}</div>'
    patch = [{"op": "add", "path": "/text", "value": {"status": "generated", "div": div}}]
    answer = await ann.ask(
        "PATCH", town.own("ann"), json=patch, headers={"Content-Type": "application/json-patch+json"}
    )
    assert answer.status_code in {400, 422}, answer.text
    whole = (await town.client.get(town.own("ann"))).json()
    answer = await ann.put({**whole, "text": {"status": "generated", "div": div}})
    assert answer.status_code in {400, 422}, answer.text


async def test_what_is_heavy_is_refused_before_it_is_read(callers: Callers, town: Town) -> None:
    """V15 with a person's token."""
    ann = await callers("app")
    deep = b'{"resourceType":"Patient","contact":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    for body, headers in (
        (deep, {}), (b"\x1f\x8b" + b"\0" * 100, {"Content-Encoding": "gzip"}), (b'{"a":' + b"9" * 5_000_000 + b"}", {}),
        (b'{"resourceType":"Patient","id":"x","multipleBirthInteger":1e999999}', {}),
    ):  # fmt: skip
        started = time.perf_counter()
        answer = await ann.ask("POST", "AppointmentResponse", content=body, headers=headers)
        assert answer.status_code in {400, 403, 413, 415}, answer.text[:300]
        assert time.perf_counter() - started < 5
    ids = ",".join(f"{number}" for number in range(100_000))
    answer = await ann.ask(
        "POST", "Patient/_search", content=f"_id={ids}", headers={"Content-Type": "application/x-www-form-urlencoded"}
    )
    assert answer.status_code in {200, 400, 413}
    assert answer.status_code != 200 or answer.json()["total"] == 0


async def test_hidden_takes_as_long_as_absent(callers: Callers, town: Town) -> None:
    """V27, coarsely: the medians of many reads are of one kind."""
    ann = await callers("app")
    took: dict[str, list[float]] = {"hidden": [], "absent": []}
    for _ in range(40):
        for kind, url in (("hidden", town.own("ben")), ("absent", f"Patient/{town.id('nothing')}")):
            started = time.perf_counter()
            await ann.get(url)
            took[kind].append(time.perf_counter() - started)
    assert abs(statistics.median(took["hidden"]) - statistics.median(took["absent"])) < 0.02
