"""What `dev`, `serve` and `doctor` share before anything starts: settings, address, listening socket, end."""

from __future__ import annotations

import ipaddress
import os
import signal
import socket
import sys
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from fhir_server.embedded.refused import Refused

if TYPE_CHECKING:
    from fhir_server.settings import Settings


def read_settings(**given: Any) -> Settings:
    """Settings of the environment with ``given`` on top. Raises Refused naming every variable that is not valid."""
    from pydantic import ValidationError

    from fhir_server.settings import Settings

    try:
        return Settings(**given)
    except ValidationError as failure:
        # The value itself stays out: a connection string may hold a password.
        faults = [_fault(fault["loc"], fault["msg"].removeprefix("Value error, ")) for fault in failure.errors()]
        raise Refused(f"The settings are not valid: {'; '.join(faults)}.") from failure


def _fault(place: tuple[int | str, ...], text: str) -> str:
    """What is wrong with a variable, or with several that the text names itself."""
    return f"FHIR_{str(place[0]).upper()}: {text}" if place else text


def is_loopback_host(host: str) -> bool:
    """Whether a host name or address leads to this machine alone."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def require_loopback(host: str) -> None:
    """Raises Refused for an address that other machines can reach."""
    if not is_loopback_host(host):
        raise Refused(
            f"The demo clinic's passwords are known to everybody, so it is on loopback only and not on {host}.",
            "use --host 127.0.0.1 or FHIR_HOST=127.0.0.1",
            "for others to reach: fhir-server serve",
        )


def root_of(host: str, port: int) -> str:
    """The URL of a server on this machine, without a path."""
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def require_encryption(settings: Settings) -> bool:
    """Whether others reach the server by TLS. Raises Refused for a base by which tokens would travel in the clear."""
    base = urlsplit(settings.bases[0])
    if base.scheme == "https":
        return True
    if not is_loopback_host(base.hostname or ""):
        raise Refused(
            f"FHIR_BASE_URL is http and not on this machine: tokens and passwords for {base.hostname} would travel "
            "readable.",
            "put TLS in front and set FHIR_BASE_URL=https://…/fhir",
        )
    return False


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; ``port`` 0 picks a free one. Raises Refused where the port is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as failure:
        raise Refused(
            f"Port {port} on {host} cannot be used ({failure.strerror}).",
            "choose another: --port or FHIR_PORT",
        ) from failure


def end_on_sigterm() -> None:
    """Make SIGTERM end this process in order with status 0: open blocks are left, children are stopped."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))


def behind_proxy() -> bool:
    """Whether forwarded headers are believed: only of those whom uvicorn's own variable names, by default of nobody."""
    return bool(os.environ.get("FORWARDED_ALLOW_IPS", "").strip())
