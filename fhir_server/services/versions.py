"""The next version of a resource: its id and meta set, its bytes and search values made. Pure."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from fhir_server.errors import Category, problem
from fhir_server.fhir.json import dump
from fhir_server.scheduling.proposal import short_key
from fhir_server.search.definitions import Definition
from fhir_server.search.extract import index_values
from fhir_server.search.sealed import beginnings
from fhir_server.services.access.about import patients_in
from fhir_server.services.waitlist.records import WAITS, waits_of
from fhir_server.store.resources import NEWS, Stored

if TYPE_CHECKING:
    from fhir_server.services.world import World

MOST_VALUES = 5_000
BEGINNINGS = 8
"""So many beginnings of a text weigh as much as a value."""

LARGEST = 12 * 1024 * 1024
"""Bytes that a resource can grow to by patches: a document of MongoDB holds 16 MiB."""

KEYED_TYPES = frozenset({"Schedule", "HealthcareService", "Patient"})
"""Types that a proposal id names by their short key."""


def new_id() -> str:
    """A fresh logical id that nobody can guess: 26 characters, 130 bits."""
    return base64.b32encode(secrets.token_bytes(17))[:26].decode().lower()


def instant(milliseconds: int) -> str:
    """``2026-11-22T09:00:00.000Z``."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def stamped(resource: Mapping[str, Any], id_: str, version: int, at: int) -> dict[str, Any]:
    """The resource with server-set ``id``, ``meta.versionId`` and ``meta.lastUpdated``; all else as it was sent."""
    rest = {name: value for name, value in resource.items() if name not in {"resourceType", "id", "meta"}}
    meta = {
        name: value for name, value in (resource.get("meta") or {}).items() if name not in {"versionId", "lastUpdated"}
    }
    return {
        "resourceType": resource["resourceType"],
        "id": id_,
        "meta": {"versionId": str(version), "lastUpdated": instant(at), **meta},
        **rest,
    }


def version_of(
    world: World,
    resource: Mapping[str, Any],
    *,
    id_: str,
    version: int,
    at: int,
    method: str,
    clinics: Sequence[str],
    patients: Sequence[str] = (),
    extra: Mapping[str, Any] | None = None,
) -> tuple[Stored, dict[str, Any]]:
    """The stored form of a version and its search values.

    :param at: milliseconds since the epoch.
    :param method: ``POST`` for a first version made by create, else ``PUT``; history says it.
    :param clinics: the Organizations inside whose walls it is (``access.about``).
    :param patients: people whom it is about besides those that it names (a Slot that a booking fills).
    :param extra: fields that stand beside the body (claim, expires, wall, placer).
    """
    type_ = resource["resourceType"]
    final = stamped(resource, id_, version, at)
    beside = {
        "method": method,
        **(extra or {}),
        NEWS: True,
        "clinics": list(clinics) or None,
        "by": dict(world.stamp) or None,
    }
    if type_ in KEYED_TYPES:
        beside["key"] = short_key(f"{type_}/{id_}")
    if type_ == "Appointment":
        beside[WAITS] = waits_of(final, beside, world.bases)
    body = dump(final)
    if len(body) > LARGEST:
        raise problem(Category.TOO_LARGE, f"a resource has at most {LARGEST} bytes", type_)
    index = _index(final, world.definitions.of(type_), world.bases, world.zone)
    beside["patients"] = list(dict.fromkeys([*patients_in(final, index), *patients])) or None
    return Stored(type_, id_, version, at, False, body, beside), index


def _index(*arguments: Any) -> dict[str, Any]:
    """Search values of a resource.

    :raises Problem: 413 for more than an index can hold.
    """
    index = index_values(*arguments)
    weight = sum(_weight(name, values, arguments[1]) for name, values in index.items() if isinstance(values, list))
    if weight > MOST_VALUES:
        raise problem(Category.TOO_LARGE, f"the resource has more than {MOST_VALUES} values to search by")
    return index


def _weight(name: str, values: list[Any], definitions: Mapping[str, Definition]) -> int:
    """How many values an index gets: of a sealed text one for each beginning, of which short ones are many."""
    definition = definitions.get(name)
    if definition is None or not definition.sealed or definition.type != "string":
        return len(values)
    return len(values) + sum(1 for _ in beginnings(values)) // BEGINNINGS


def tombstone(world: World, before: Stored, at: int) -> Stored:
    """The version that marks a deletion."""
    about = {name: before.extra.get(name) for name in ("patients", "clinics", "owner")}
    about["by"] = dict(world.stamp) or None
    return Stored(before.type, before.id, before.version + 1, at, True, b"", {"method": "DELETE", NEWS: True, **about})


def same_content(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Whether an update changes nothing but what the server sets."""
    return stamped(before, "", 0, 0) == stamped(after, "", 0, 0)
