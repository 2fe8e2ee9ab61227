"""Secrets of a Subscription, hidden from whoever reads it without having made it. Pure.

Of ``channel.header`` the names stay and the values go: they let a sender into somebody's system.
https://hl7.org/fhir/R4/subscription-definitions.html#Subscription.channel.header
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fhir_server.access.withholding import REDACTED, unlabelled

HIDDEN = "***"


def masked(resource: Mapping[str, Any]) -> dict[str, Any]:
    """The Subscription with the values of its headers hidden, labelled as such; as it was where it has none."""
    channel = resource.get("channel") or {}
    if not channel.get("header"):
        return dict(resource)
    headers = [f"{str(line).partition(':')[0]}: {HIDDEN}" for line in channel["header"]]
    meta = dict(resource.get("meta") or {})
    meta["security"] = [*meta.get("security", ()), REDACTED]
    return {**resource, "meta": meta, "channel": {**channel, "header": headers}}


def unmasked(before: Mapping[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """What a reader wrote over a masked Subscription, with the headers as they were."""
    found = unlabelled(after)
    kept = (before.get("channel") or {}).get("header")
    channel = {name: value for name, value in (found.get("channel") or {}).items() if name != "header"}
    return {**found, "channel": {**channel, "header": kept}} if kept else {**found, "channel": channel}
