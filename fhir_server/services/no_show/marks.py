"""What the server alone says on an Appointment: that nobody checked in, and what the clinic's policy is. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fhir_server.scheduling.no_show import NoShowTerms, notices
from fhir_server.services.shapes import OWN

SUSPECTED_URL = f"{OWN}no-show-suspected"
POLICY_URL = f"{OWN}no-show-policy"
_OURS = frozenset({SUSPECTED_URL, POLICY_URL})
_SUSPECTS = frozenset({"booked", "noshow"})


def kept(old: Mapping[str, Any] | None, after: Mapping[str, Any]) -> dict[str, Any]:
    """What a client writes, with the server's own marks as they were.

    A suspicion ends when the visit moves or becomes something else than missed.

    :param old: the version before; None for a new Appointment.
    """
    before = (old or {}).get("extension", ())
    ours = [one for one in before if one.get("url") == POLICY_URL]
    if old and after.get("status") in _SUSPECTS and after.get("start") == old.get("start"):
        ours += [one for one in before if one.get("url") == SUSPECTED_URL]
    return _with(after, ours)


def suspected(resource: Mapping[str, Any]) -> bool:
    return any(one.get("url") == SUSPECTED_URL for one in resource.get("extension", ()))


def suspect(resource: Mapping[str, Any], instant: str) -> dict[str, Any]:
    """The Appointment as one that was probably missed."""
    policies = [one for one in resource.get("extension", ()) if one.get("url") == POLICY_URL]
    return _with(resource, [*policies, {"url": SUSPECTED_URL, "valueInstant": instant}])


def noticed(resource: Mapping[str, Any], terms: NoShowTerms) -> dict[str, Any]:
    """The new Appointment of a patient who has missed several, with what the policy says to them."""
    said = notices(terms)
    return _with(resource, [policy_extension(terms)] if said else [])


def policy_extension(terms: NoShowTerms, *, whole: bool = False) -> dict[str, Any]:
    """The extension ``no-show-policy``.

    :param whole: with actions that refuse too.
    """
    parts: list[dict[str, Any]] = [
        {"url": "action", "valueCode": one} for one in (terms.actions if whole else notices(terms))
    ]
    if terms.amount and (whole or "fee" in terms.actions):
        parts.append({"url": "amount", "valueMoney": dict(terms.amount)})
    return {"url": POLICY_URL, "extension": parts}


def _with(resource: Mapping[str, Any], ours: list[dict[str, Any]]) -> dict[str, Any]:
    theirs = [one for one in resource.get("extension", ()) if one.get("url") not in _OURS]
    rest = {name: value for name, value in resource.items() if name != "extension"}
    extensions = [*theirs, *ours]
    return rest | ({"extension": extensions} if extensions else {})
