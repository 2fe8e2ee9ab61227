"""Batches and transactions: entries, and what their answers say."""

from __future__ import annotations

import uuid
from typing import Any


def urn() -> str:
    return f"urn:uuid:{uuid.uuid4()}"


def entry(method: str, url: str, resource: dict[str, Any] | None = None, full_url: str = "", **request: str) -> Any:
    """One entry; keyword arguments are those of its request (``ifMatch``, ``ifNoneExist``)."""
    made: dict[str, Any] = {"request": {"method": method, "url": url, **request}}
    if resource is not None:
        made["resource"] = resource
    if full_url:
        made["fullUrl"] = full_url
    return made


def create(resource: dict[str, Any], full_url: str = "", **request: str) -> Any:
    return entry("POST", resource["resourceType"], resource, full_url, **request)


def update(resource: dict[str, Any], **request: str) -> Any:
    return entry("PUT", f"{resource['resourceType']}/{resource['id']}", resource, **request)


def of(kind: str, entries: Any) -> dict[str, Any]:
    return {"resourceType": "Bundle", "type": kind, **({"entry": list(entries)} if entries else {})}


async def send(client: Any, *entries: Any, kind: str = "transaction", **headers: str) -> Any:
    """The HTTP answer to a Bundle of these entries; ``Idempotency_Key`` is the header Idempotency-Key."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await client.post("", json=of(kind, entries), headers=named)


async def sent(client: Any, *entries: Any, kind: str = "transaction", **headers: str) -> list[dict[str, Any]]:
    """The entries of the answer to a Bundle that is served."""
    answer = await send(client, *entries, kind=kind, **headers)
    assert answer.status_code == 200, answer.text
    bundle = answer.json()
    assert (bundle["resourceType"], bundle["type"]) == ("Bundle", f"{kind}-response")
    found: list[dict[str, Any]] = bundle.get("entry", [])
    assert len(found) == len(entries)
    return found


def statuses(answered: list[dict[str, Any]]) -> list[int]:
    return [int(one["response"]["status"][:3]) for one in answered]


def reference(answered: dict[str, Any]) -> str:
    """``Type/id`` of the Location of an answered entry."""
    return "/".join(answered["response"]["location"].split("/")[-4:-2])
