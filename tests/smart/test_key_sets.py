"""Keys of others by their address: fetched with suspicion, remembered as long as they say (S25, S26, S27, V18)."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from joserfc.jwk import ECKey

from fhir_server.remote import egress, jwks
from fhir_server.remote.egress import Networks, may_be_reached
from fhir_server.remote.jwks import KeySets, KeysNotReachedError
from fhir_server.services.world import World
from tests.builders.smart import ES384, TOKEN_URL, ask, assertion, backend, public
from tests.smart.key_server import KeyServer, key_server


@pytest.fixture
def host() -> Iterator[KeyServer]:
    with key_server() as found:
        found.keys = {"keys": [public(ES384, "es")]}
        yield found


async def _by_url(world: World, host: KeyServer) -> Any:
    return await backend(world, jwks=None, jwks_uri=host.url)


async def test_a_client_may_register_the_address_of_its_keys(world: World, auth: Any, host: KeyServer) -> None:
    client = await _by_url(world, host)
    for _ in range(3):
        assert (await ask(auth, client)).status_code == 200
    assert host.hits == 1
    same = assertion(client, TOKEN_URL, header={"jku": host.url})
    assert (await ask(auth, client, proof=same)).status_code == 200


async def test_another_jku_is_refused_before_anything_is_fetched(world: World, auth: Any, host: KeyServer) -> None:
    inline = await backend(world)
    with key_server() as evil:
        client = await _by_url(world, host)
        for one in (client, inline):
            proof = assertion(one, TOKEN_URL, header={"jku": evil.url})
            assert (await ask(auth, one, proof=proof)).status_code == 401
        assert (evil.hits, host.hits) == (0, 0)


async def test_an_unknown_key_is_looked_for_but_not_often(
    world: World, auth: Any, host: KeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await _by_url(world, host)
    assert (await ask(auth, client)).status_code == 200
    fresh = ECKey.generate_key("P-384")
    host.keys = {"keys": [public(ES384, "es"), public(fresh, "fresh")]}
    rotated = {"header": {"kid": "fresh"}, "key": fresh}
    assert (await ask(auth, client, proof=assertion(client, TOKEN_URL, **rotated))).status_code == 401
    assert host.hits == 1
    monkeypatch.setattr(jwks, "UNKNOWN_KEY_SECONDS", 0.0)
    assert (await ask(auth, client, proof=assertion(client, TOKEN_URL, **rotated))).status_code == 200
    assert host.hits == 2


async def test_a_set_is_remembered_as_long_as_it_says(host: KeyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    moment = 1000.0
    monkeypatch.setattr(jwks, "time", SimpleNamespace(monotonic=lambda: moment))
    sets = KeySets(loopback=True)
    host.headers = {"Cache-Control": "no-store, max-age=600"}
    for _ in range(3):
        await sets.get(host.url, "es")
    assert host.hits == 3
    host.headers = {"Cache-Control": "public, max-age=1"}
    await sets.get(host.url, "es")
    await sets.get(host.url, "es")
    assert host.hits == 4
    host.status = 500
    await sets.get(host.url, "es")
    moment += 1.05
    with pytest.raises(KeysNotReachedError):
        await sets.get(host.url, "es")


@pytest.mark.parametrize(
    ("body", "status", "headers"),
    [
        (b"", 200, {}), (b"[]", 200, {}), (b"{}", 200, {}), (b"<html>", 200, {}), (b"{" * 50_000, 200, {}),
        (b'{"keys":[]}' + b" " * 70_000, 200, {}), (b'{"keys":[]}', 404, {}),
        (b"", 302, {"Location": "http://127.0.0.1:1/jwks"}),
    ],
    ids=range(8),
)  # fmt: skip
async def test_answers_that_are_no_keys(host: KeyServer, body: bytes, status: int, headers: dict[str, str]) -> None:
    host.keys, host.status, host.headers = body, status, headers
    with pytest.raises(KeysNotReachedError):
        await jwks.fetch(host.url, loopback=True)
    assert host.hits == 1


@pytest.mark.parametrize(
    "url",
    [
        "http://keys.example/jwks", "ftp://keys.example/jwks", "file:///etc/passwd", "https://", "https://u:p@k.example/",
        "https://k.example/#x", "https://k.example:x/", "//k.example", "", "https://ü.example/", "gopher://127.0.0.1/",
        "http://10.0.0.1/jwks",
    ],
)  # fmt: skip
@pytest.mark.parametrize("loopback", [True, False])
async def test_addresses_that_are_not_asked(url: str, loopback: bool) -> None:
    with pytest.raises(KeysNotReachedError):
        await jwks.fetch(url, loopback=loopback)


PRIVATE = [
    "127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
    "255.255.255.255", "::1", "::", "fe80::1%eth0", "fd00::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::a00:1",
    "2002:7f00:1::", "ff02::1", "198.18.0.1",
]  # fmt: skip


@pytest.mark.parametrize("address", PRIVATE)
async def test_a_name_that_leads_inside_is_not_followed(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    _resolve(monkeypatch, ["93.184.215.14", address])
    with pytest.raises(KeysNotReachedError, match="not public"):
        await jwks.fetch("https://keys.example/jwks", loopback=False)
    assert address.startswith(("127.", "::1", "::ffff:127.")) is _reached(address)


def _reached(address: str) -> bool:
    return may_be_reached(address, Networks(loopback=True))


def _resolve(monkeypatch: pytest.MonkeyPatch, addresses: list[str]) -> None:
    async def found(*_: Any) -> list[str]:
        return addresses

    monkeypatch.setattr(egress, "_resolve", found)


async def test_the_connection_goes_to_the_address_that_was_checked(
    monkeypatch: pytest.MonkeyPatch, host: KeyServer
) -> None:
    port = host.url.split(":")[2].split("/")[0]
    _resolve(monkeypatch, ["127.0.0.1"])
    monkeypatch.setattr(jwks, "_is_loopback", lambda _: True)
    found, _ = await jwks.fetch(f"http://keys.example:{port}/jwks", loopback=True)
    assert found["keys"][0]["kid"] == "es"


async def test_a_slow_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jwks, "SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(KeysNotReachedError):
        await jwks.fetch(f"http://127.0.0.1:{silent.getsockname()[1]}/jwks", loopback=True)


async def test_public_addresses_may_be_reached() -> None:
    for address in ("93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"):
        assert may_be_reached(address, Networks())
