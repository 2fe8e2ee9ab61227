"""Addresses that clients give us lead outside, or where the operator allows it (N21, V18)."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_server.errors import Category, Problem
from fhir_server.remote import egress
from fhir_server.remote.egress import Networks, RefusedAddressError, check_url, may_be_reached, networks_of

NOWHERE = Networks()
DEV = Networks(loopback=True)

INSIDE = [
    "127.0.0.1", "127.8.8.8", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254",
    "169.254.170.2", "100.64.0.1", "100.100.100.200", "0.0.0.0", "0.1.2.3", "224.0.0.1", "240.0.0.1",
    "255.255.255.255", "198.18.0.1", "192.0.0.192", "192.0.2.1", "192.88.99.1", "168.63.129.16", "[::1]", "[::]",
    "[fe80::1]", "[fec0::1]", "[fd00::1]", "[fd00:ec2::254]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]",
    "[::ffff:10.0.0.1]", "[::ffff:0:7f00:1]", "[::127.0.0.1]", "[64:ff9b::7f00:1]", "[64:ff9b:1::a00:1]",
    "[2002:7f00:1::]", "[2001:0:7f00:1::]", "[2001:db8::1]", "[ff02::1]", "[5f00::1]", "[100::1]",
    "localhost", "LOCALHOST", "localhost.", "a.localhost", "metadata", "intranet", "emr.local",
    "metadata.google.internal", "127.0.0.1.",
]  # fmt: skip

NO_URL = [
    "", "https://", "https:///x", "hook", "//hook.example/", "ftp://hook.example/", "file:///etc/passwd",
    "gopher://hook.example/", "https://hook.example:0/", "https://hook.example:x/", "https://hook.example:99999/",
    "https://u@hook.example/", "https://u:p@hook.example/", "https://@hook.example/", "https://hook.example/#x",
    "https://hook.example#", "https://hook.example\\@127.0.0.1/", "https://hook.example/a b", " https://hook.example/",
    "https://hook.example/\r\nX: y", "https://ho\tok.example/", "https://hööök.example/", "https://\uff11\uff12\uff17.0.0.1/",
    "https://127%2e0.0.1/", "https://2130706433/", "https://0x7f000001/", "https://0x7f.0.0.1/", "https://0177.0.0.1/",
    "https://017700000001/", "https://127.1/", "https://127.0.1/", "https://0/", "https://8.8.8.8.8/",
    "https://999.1.1.1/", "https://[::1/", "https://[fe80::1%25eth0]/", "https://[v1.x]/", "https://hook..example/",
    "https://.example/", "https://-x.example/", f"https://{'a' * 64}.example/", f"https://hook.example/{'x' * 2000}",
]  # fmt: skip


@pytest.mark.parametrize("host", INSIDE)
def test_what_is_inside_is_refused_when_it_is_given(host: str) -> None:
    with pytest.raises(Problem) as refused:
        check_url(f"https://{host}/hook", NOWHERE)
    assert refused.value.category is Category.RULE
    [issue] = refused.value.issues
    assert issue.expression == "Subscription.channel.endpoint"


def test_a_refusal_says_the_same_of_every_host_inside() -> None:
    said = set()
    for host in INSIDE:
        with pytest.raises(Problem) as refused:
            check_url(f"https://{host}:8443/hook", NOWHERE)
        said.add(refused.value.issues[0].text)
    assert said == {"The host is not public, and the operator of this server does not allow it."}


@pytest.mark.parametrize("url", NO_URL)
@pytest.mark.parametrize("allowed", [NOWHERE, DEV], ids=["nowhere", "dev"])
def test_what_is_no_plain_url_is_refused(url: str, allowed: Networks) -> None:
    with pytest.raises(Problem) as refused:
        check_url(url, allowed, place="Endpoint.address")
    assert refused.value.category.status == 422
    assert refused.value.issues[0].expression == "Endpoint.address"


@pytest.mark.parametrize(
    "url",
    [
        "https://hook.example/a?b=c:d@e", "http://hook.example:8080", "https://93.184.215.14/", "https://hook.example./",
        "https://[2606:2800:21f:cb07:6820:80da:af6b:8b2c]:8443/x", "https://xn--hk-fkaa.example/", "https://1a.example/",
        "HTTPS://HOOK.Example/", "https://127.0.0.1.nip.example/",
    ],
)  # fmt: skip
def test_public_urls_pass(url: str) -> None:
    check_url(url, NOWHERE)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "localhost", "[::1]", "[::ffff:127.0.0.1]", "x.localhost"])
def test_a_developers_machine_reaches_itself_but_nothing_else_inside(host: str) -> None:
    check_url(f"http://{host}:8080/", DEV)
    for other in ("10.0.0.1", "169.254.169.254", "0.0.0.0", "[::]", "emr.local"):
        with pytest.raises(Problem):
            check_url(f"http://{other}/", DEV)


def test_the_operator_allows_networks_and_hosts() -> None:
    allowed = networks_of(" 10.1.0.0/16, fd00:1::/32,192.168.7.7, EMR.clinic.local,.lab.example,hl7 ")
    for host in ("10.1.2.3", "[fd00:1::5]", "192.168.7.7", "emr.clinic.local", "hl7", "[::ffff:10.1.2.3]"):
        check_url(f"https://{host}/", allowed)
    for host in ("10.2.0.1", "192.168.7.8", "other.clinic.local", "127.0.0.1", "x.emr.clinic.local", "hl8"):
        with pytest.raises(Problem):
            check_url(f"https://{host}/", allowed)
    for host, address, may in [
        ("emr.clinic.local", "10.9.9.9", True), ("emr.clinic.local", "100.64.0.1", True),
        ("emr.clinic.local", "fd99::1", True), ("emr.clinic.local", "127.0.0.1", True),
        ("emr.clinic.local", "8.8.8.8", True), ("emr.clinic.local", "169.254.169.254", False),
        ("emr.clinic.local", "0.0.0.0", False), ("emr.clinic.local", "224.0.0.1", False),
        ("a.b.lab.example", "10.9.9.9", True),
        ("lab.example", "10.9.9.9", False), ("evil-lab.example", "10.9.9.9", False),
    ]:  # fmt: skip
        assert may_be_reached(address, allowed, host) is may, (host, address)
    assert not may_be_reached("224.0.0.1", networks_of("0.0.0.0/0"))


@pytest.mark.parametrize(
    "setting", ["10.1.0.1/16", "a b", "http://emr", "300.1.1.1", "*.example", "a,,-b", "10.0.0.0/99"]
)
def test_an_allow_list_that_names_nothing_is_refused(setting: str) -> None:
    with pytest.raises(ValueError, match="FHIR_EGRESS_ALLOW"):
        networks_of(setting)


@pytest.mark.parametrize("address", [host.strip("[].") for host in INSIDE if not host.rstrip(".")[-1].isalpha()])
async def test_a_name_that_leads_inside_is_not_followed(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    async def found(*_: Any) -> list[str]:
        return ["93.184.215.14", address]

    monkeypatch.setattr(egress, "_resolve", found)
    with pytest.raises(RefusedAddressError):
        await egress.addresses(egress.target("https://hook.example/", NOWHERE), NOWHERE)


async def test_a_name_is_asked_once_and_each_address_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    async def found(host: str, port: int) -> list[str]:
        asked.append((host, port))
        return ["93.184.215.14", "8.8.8.8", "8.8.8.8"]

    monkeypatch.setattr(egress, "_resolve", found)
    target = egress.target("https://Hook.Example.:8443/", NOWHERE)
    assert await egress.addresses(target, NOWHERE) == ["93.184.215.14", "8.8.8.8"]
    assert asked == [("hook.example", 8443)]


async def test_the_system_is_asked_for_every_address() -> None:
    target = egress.target("http://localhost:8080/", DEV)
    found = await egress.addresses(target, DEV)
    assert set(found) <= {"127.0.0.1", "::1"}
    assert len(found) == len(set(found)) > 0
    with pytest.raises(RefusedAddressError):
        await egress.addresses(target, NOWHERE)
