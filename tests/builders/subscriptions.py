"""Subscriptions as clients write them."""

from __future__ import annotations

from typing import Any

from fhir_server.settings import CANONICAL

BACKPORT = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/"
FHIR_JSON = "application/fhir+json"


def topic(id_: str) -> str:
    """The canonical URL of one of our topics."""
    return f"{CANONICAL}SubscriptionTopic/{id_}"


def subscription(
    topic_: str = "appointment-booked",
    endpoint: str = "https://emr.example/in",
    *,
    content: str = "id-only",
    filters: tuple[str, ...] = (),
    channel: str = "rest-hook",
    headers: tuple[str, ...] = (),
    heartbeat: int = 0,
    most: int = 0,
    timeout: int = 0,
    payload: str = FHIR_JSON,
    **more: Any,
) -> dict[str, Any]:
    """A Subscription of the Backport profile; ``more`` are elements of the resource."""
    numbers = {"heartbeat-period": heartbeat, "timeout": timeout}
    extensions = [{"url": f"{BACKPORT}backport-{name}", "valueUnsignedInt": value}
                  for name, value in numbers.items() if value]  # fmt: skip
    if most:
        extensions.append({"url": f"{BACKPORT}backport-max-count", "valuePositiveInt": most})
    found: dict[str, Any] = {
        "resourceType": "Subscription",
        "meta": {"profile": [f"{BACKPORT}backport-subscription"]},
        "status": "requested",
        "reason": "keeps our calendar",
        "criteria": topic_ if "://" in topic_ or "?" in topic_ else topic(topic_),
        "channel": {
            "type": channel,
            "payload": payload,
            "_payload": {"extension": [{"url": f"{BACKPORT}backport-payload-content", "valueCode": content}]},
        },
        **more,
    }
    if endpoint:
        found["channel"]["endpoint"] = endpoint
    if extensions:
        found["channel"]["extension"] = extensions
    if headers:
        found["channel"]["header"] = list(headers)
    if filters:
        url = f"{BACKPORT}backport-filter-criteria"
        found["_criteria"] = {"extension": [{"url": url, "valueString": one} for one in filters]}
    return found
