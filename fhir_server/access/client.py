"""OAuth clients: EHR backends, SMART apps, patient apps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from fhir_server.access.scopes import Scopes


class Kind(StrEnum):
    """How a client proves who it is. https://hl7.org/fhir/smart-app-launch/client-confidential-asymmetric.html"""

    PUBLIC = "public"
    SYMMETRIC = "symmetric"
    ASYMMETRIC = "asymmetric"


@dataclass(frozen=True, slots=True)
class Client:
    """A registered client.

    ``scopes`` are the most that it can be granted, ``grant_types`` are OAuth's. ``clinics`` wall a backend in, None: no
    wall. ``secret`` is an Argon2id hash, ``jwks`` inline keys or ``jwks_uri`` their address. An EMR starts the app at
    ``launch_uri``; ``origins`` may call the token endpoint from a browser. ``trusted``: an app of the clinic itself,
    which needs no consent page. ``channel`` is the booking channel that a backend stands for, empty: its role's.
    ``introspects``: may ask about tokens of any client.
    """

    id: str
    name: str
    kind: Kind
    scopes: Scopes
    grant_types: frozenset[str]
    redirect_uris: tuple[str, ...] = ()
    launch_uri: str = ""
    secret: str = ""
    jwks: Mapping[str, Any] | None = None
    jwks_uri: str = ""
    clinics: frozenset[str] | None = None
    origins: tuple[str, ...] = ()
    channel: str = ""
    trusted: bool = False
    introspects: bool = False
    disabled: bool = False
