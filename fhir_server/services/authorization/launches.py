"""EHR launches: the context in which an EMR starts an app. https://hl7.org/fhir/smart-app-launch/app-launch.html

The EMR registers patient, encounter, appointment and intent for one app, and opens the app with the ``launch`` text
that it gets. The app brings it to the authorization endpoint within five minutes, and it is good for one consent.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from fhir_server.access.caller import STAFF, Caller, Role
from fhir_server.access.client import Client
from fhir_server.access.scopes import parse
from fhir_server.services.access.policy import AccessPolicy
from fhir_server.services.authorization import clients
from fhir_server.services.authorization.context import is_id
from fhir_server.services.world import World
from fhir_server.store.authorization.tickets import digest

SECONDS = 300
KEPT_SECONDS = 3600
_TYPES = {"patient": "Patient", "encounter": "Encounter", "appointment": "Appointment"}


class UnfitLaunchError(ValueError):
    """What cannot be launched: one sentence."""


@dataclass(frozen=True, slots=True)
class Launch:
    """References are local (``Patient/1``); ``account`` is who sits at the EMR, where it says so."""

    patient: str = ""
    encounter: str = ""
    appointment: str = ""
    intent: str = ""
    need_patient_banner: bool = True
    account: str = ""


def may_launch(caller: Caller) -> bool:
    """Whether somebody starts apps: a backend by the scope ``launch``, staff by it or by reading patients as a user."""
    launches = "launch" in caller.scopes.others
    if caller.role is Role.SYSTEM:
        return launches and "system" in caller.scopes.contexts
    reads = any(
        one.context == "user" and one.covers("Patient", letter) for one in caller.scopes.resources for letter in "rs"
    )
    return caller.role in STAFF and (launches or reads)


async def register(world: World, caller: Caller, asked: Mapping[str, Any]) -> tuple[str, str]:
    """The ``launch`` text for a context in FHIR references or ids, and its patient as a reference, or empty.

    :raises UnfitLaunchError: an app that is not there, or a context that is none or that the caller does not see.
    """
    known = {"client_id", "intent", "need_patient_banner", "account", *_TYPES}
    if not known >= asked.keys():
        raise UnfitLaunchError(f"a launch has {', '.join(sorted(known))}")
    texts = {name: asked.get(name, "") for name in ("client_id", "intent", "account", *_TYPES)}
    if not all(isinstance(value, str) and len(value) <= 200 for value in texts.values()):
        raise UnfitLaunchError("the members of a launch are texts")
    banner = asked.get("need_patient_banner", True)
    if not isinstance(banner, bool):
        raise UnfitLaunchError("need_patient_banner is true or false")
    client = await clients.get(world, texts["client_id"])
    if client is None or client.disabled or "launch" not in client.scopes.others:
        raise UnfitLaunchError("client_id names no app that can be launched")
    own = caller.subject if caller.issuer == world.settings.issuer else ""
    account = texts["account"] if caller.role is Role.SYSTEM else own
    launch = Launch(
        **{name: _reference(name, texts[name]) for name in _TYPES},
        intent=texts["intent"],
        need_patient_banner=banner,
        account=account,
    )
    for name, type_ in _TYPES.items():
        reference = getattr(launch, name)
        if reference and not await _is_seen(world, caller, type_, reference):
            raise UnfitLaunchError(f"{name} is not known here")
    text = secrets.token_urlsafe(24)
    content = {"client": client.id, "by": caller.client, "launch": asdict(launch)}
    await world.store.authorization.launches.put(text, content, expires=world.now() + SECONDS, kept=KEPT_SECONDS)
    return text, launch.patient


async def find(world: World, client: Client, text: str) -> tuple[Launch, str] | None:
    """The context of a launch text and the digest by which it is used; None: unknown, over, used, of another app."""
    found = await world.store.authorization.launches.get(text)
    if found is None or found["client"] != client.id or "used" in found or found["expires"] <= world.now():
        return None
    return Launch(**found["launch"]), digest(text)


async def _is_seen(world: World, caller: Caller, type_: str, reference: str) -> bool:
    """Whether the caller sees a part of a context: by scopes, or where none reads the type, by role and walls."""
    policy = AccessPolicy(caller)
    if not policy.permits(type_):
        context = "system" if caller.role is Role.SYSTEM else "user"
        policy = AccessPolicy(replace(caller, scopes=parse(f"{context}/{type_}.rs")))
    await policy.begin(world)
    found = await world.under(policy).view.get(type_, reference.partition("/")[2])
    return found is not None and not found.deleted


def _reference(name: str, text: str) -> str:
    if not text:
        return ""
    id_ = text.removeprefix(f"{_TYPES[name]}/")
    if not is_id(id_):
        raise UnfitLaunchError(f"{name} is a local reference such as {_TYPES[name]}/1")
    return f"{_TYPES[name]}/{id_}"
