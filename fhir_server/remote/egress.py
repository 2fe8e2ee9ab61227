"""Where this server may be sent by others: the guard of every address that a client gives us.

Looked at when an address is given (``check_url``) and again when it is asked: the name is resolved once
(``addresses``), every address that is not public is refused, and the connection goes to the address that was checked
(``stream``), under the name of the URL in Host, in TLS and in the certificate. No redirects, no proxies.

given                                                       reached
----------------------------------------------------------  ------------------------------------------------------
a public address, or a name that has only such              always
loopback                                                    ``dev``, or FHIR_EGRESS_ALLOW names network or host
10/8, 172.16/12, 192.168/16, 100.64/10, fc00::/7            FHIR_EGRESS_ALLOW names the network or the host
link-local (metadata services), reserved, 0.0.0.0           FHIR_EGRESS_ALLOW names the network itself
multicast                                                   never
2130706433, 0x7f.1, 0177.0.0.1, user@host, #fragment        never
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any
from urllib.parse import urlsplit

from fhir_server.errors import Category, problem
from fhir_server.remote.http import httpx

LONGEST = 2000

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_CHARACTERS = re.compile(r"[!-\[\]-~]+")
"""Visible ASCII without the backslash: others are read differently by different programs."""
_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*")
_NUMBER = re.compile(r"(?:[0-9]+|0[xX][0-9a-fA-F]*)")
_INSIDE = (".localhost", ".local", ".localdomain", ".internal", ".intranet", ".lan", ".home.arpa", ".arpa")
"""Ends of names that are no public ones. https://www.iana.org/assignments/special-use-domain-names"""
_GLOBAL_V6 = ipaddress.ip_network("2000::/3")
_NOT_PUBLIC = tuple(
    ipaddress.ip_network(one)
    for one in (
        "192.0.0.0/24",  # protocol assignments; a metadata service of Oracle's among them
        "192.88.99.0/24",  # relays of 6to4
        "168.63.129.16/32",  # the agent of every machine at Azure
        "2001::/23",  # Teredo, ORCHID and other assignments
        "2002::/16",  # 6to4: an IPv4 address inside
        "3fff::/20",  # documentation
    )
)


_RESOLVERS = ThreadPoolExecutor(32, "egress")


class RefusedAddressError(Exception):
    """An address that this server does not go to; one sentence without what was found there."""


@dataclass(frozen=True, slots=True)
class Networks:
    """What may be reached beyond the public internet.

    ``networks`` are those of addresses. ``names`` are host names in lower case, ``.clinic.example`` for all below it;
    they may lead to a private network. ``authorities`` is a file of CAs that are believed besides the public ones.
    """

    networks: tuple[Network, ...] = ()
    names: frozenset[str] = frozenset()
    loopback: bool = False
    authorities: str = ""

    def name(self, host: str) -> bool:
        """Whether a host is allowed by its name."""
        return host in self.names or any(one.startswith(".") and host.endswith(one) for one in self.names)


def networks_of(setting: str, *, loopback: bool = False, authorities: str = "") -> Networks:
    """FHIR_EGRESS_ALLOW: CIDRs, addresses and host names with commas between.

    :raises ValueError: one of them is neither.
    """
    networks, names = [], set()
    for one in filter(None, (part.strip().lower() for part in setting.split(","))):
        try:
            networks.append(ipaddress.ip_network(one))
        except ValueError as failed:
            if not _NAME.fullmatch(one.removeprefix(".")) or _is_number(one):
                msg = f"FHIR_EGRESS_ALLOW has neither a network such as 10.1.0.0/16 nor a host name: {one[:80]}"
                raise ValueError(msg) from failed
            names.add(one)
    return Networks(tuple(networks), frozenset(names), loopback, authorities)


@dataclass(frozen=True, slots=True)
class Target:
    """Where a URL leads: a host in lower case (an address without brackets) and its port."""

    host: str
    port: int
    tls: bool


def check_url(url: str, allowed: Networks, *, place: str = "Subscription.channel.endpoint") -> None:
    """Whether such a URL may be given to us; nothing is resolved or asked.

    :raises Problem: 422 with the reason, the same whether anybody is there or not.
    """
    try:
        target(url, allowed)
    except RefusedAddressError as refused:
        raise problem(Category.RULE, str(refused), place) from None


def target(url: str, allowed: Networks) -> Target:
    """A URL taken apart.

    :raises RefusedAddressError: it is none of ours to follow.
    """
    if not url or len(url) > LONGEST or not _CHARACTERS.fullmatch(url):
        raise RefusedAddressError("This is no plain URL of at most 2000 ASCII characters.")
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").removesuffix("."), parts.port
        same = httpx.URL(url).raw_host.decode("ascii").lower().removesuffix(".") == host
    except (ValueError, httpx.InvalidURL):
        raise RefusedAddressError("This is no URL.") from None
    if parts.scheme not in {"http", "https"}:
        raise RefusedAddressError("Only https and http are followed.")
    if not host or not same or port == 0:
        raise RefusedAddressError("This URL names no host.")
    if "@" in parts.netloc:
        raise RefusedAddressError("A URL with a user or a password in it is not followed; use a header.")
    if "#" in url:
        raise RefusedAddressError("A URL with a fragment is not followed.")
    _check_host(host, allowed)
    tls = parts.scheme == "https"
    return Target(host, port or (443 if tls else 80), tls)


def _check_host(host: str, allowed: Networks) -> None:
    if ":" in host or _is_number(host):
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            raise RefusedAddressError("The host is a number, but no address in its usual form.") from None
        if "%" in host or not may_be_reached(str(address), allowed):
            raise _inside()
        return
    if not _NAME.fullmatch(host) or len(host) > 253:
        raise RefusedAddressError("The host is no name of a host.")
    local = host == "localhost" or host.endswith(".localhost")
    if (local and allowed.loopback) or allowed.name(host):
        return
    if "." not in host or host.endswith(_INSIDE):
        raise _inside()


def _inside() -> RefusedAddressError:
    return RefusedAddressError("The host is not public, and the operator of this server does not allow it.")


def _is_number(host: str) -> bool:
    """Whether some program would read the host as an IPv4 address. https://url.spec.whatwg.org/#ends-in-a-number"""
    return _NUMBER.fullmatch(host.rpartition(".")[2]) is not None


async def addresses(found: Target, allowed: Networks) -> list[str]:
    """The addresses of a host, in the order to try them; all of them may be reached.

    :raises RefusedAddressError: one of them may not.
    :raises OSError: the name is not known.
    """
    known = list(dict.fromkeys(await _resolve(found.host, found.port)))
    if not known or not all(may_be_reached(one, allowed, found.host) for one in known):
        raise _inside()
    return known


async def _resolve(host: str, port: int) -> list[str]:
    """The system's answer, asked in threads of our own: a slow name server holds up nobody but its like."""
    asked = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    answers = await asyncio.get_running_loop().run_in_executor(_RESOLVERS, asked)
    return [str(one[4][0]) for one in answers]


def may_be_reached(text: str, allowed: Networks, host: str = "") -> bool:
    """Whether an address is public, or is allowed as such or as one of this host's."""
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if address.is_multicast:
        return False
    if any(address in network for network in allowed.networks) or (allowed.loopback and address.is_loopback):
        return True
    if host and allowed.name(host) and (address.is_loopback or not _is_never(address)):
        return True
    return _is_public(address)


def _is_never(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    return address.is_link_local or address.is_reserved or address.is_unspecified


def _is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    if _is_never(address) or any(address in network for network in _NOT_PUBLIC):
        return False
    return address.is_global and (address.version == 4 or address in _GLOBAL_V6)


@asynccontextmanager
async def stream(
    method: str,
    url: str,
    address: str,
    *,
    headers: Sequence[tuple[str, str]],
    timeout: float,  # noqa: ASYNC109  of each step; who calls limits the whole
    content: bytes | None = None,
    authorities: str = "",
) -> AsyncIterator[Any]:
    """The answer of a checked address under the name of the URL: in Host, in TLS and in the certificate.

    A client for one request: kept connections are found by address and would be shared by names that stand for
    different certificates.
    """
    asked = httpx.URL(url)
    async with (
        httpx.AsyncClient(
            verify=tls_context(authorities), trust_env=False, follow_redirects=False, timeout=timeout
        ) as client,
        client.stream(
            method,
            asked.copy_with(host=address),
            headers=[("Host", asked.netloc.decode("ascii")), ("Accept-Encoding", "identity"), *headers],
            content=content,
            extensions={"sni_hostname": asked.raw_host.decode("ascii")},
        ) as answer,
    ):
        yield answer


@lru_cache(maxsize=8)
def tls_context(authorities: str = "") -> ssl.SSLContext:
    """Certificates are checked always; making a context takes longer than a request."""
    context: ssl.SSLContext = httpx.create_ssl_context(trust_env=False)
    if authorities:
        context.load_verify_locations(cafile=authorities)
    return context
