"""Accesses as the bytes of a batch, and the readable values that stand beside them for searches. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any

import orjson

from fhir_server.access.record import Access, Accessed

LONGEST_QUERY = 32_768
"""Bytes of a request that are kept; what is longer is cut off."""

_SECRETS = re.compile(
    rb"(?<![A-Za-z_])((?:access_|refresh_|id_)?token|client_secret|client_assertion|assertion|code_verifier|password)"
    rb"=[^&\s]*",
    re.IGNORECASE,
)
"""Parameters that a query should never have, and that are not kept when it has."""

PERSONS = ("Patient/", "RelatedPerson/")

_PLAIN = tuple(one.name for one in fields(Access) if one.name not in {"objects", "query"})


def packed(accesses: Iterable[Access]) -> bytes:
    """The accesses as JSON, without what is empty."""
    return orjson.dumps([_pack(one) for one in accesses])


def unpacked(body: bytes, about: frozenset[str] | None = None) -> tuple[Access | None, ...]:
    """Read :func:`packed`; None stands for an entry that is about none of ``about``, where that is given."""
    return tuple(_unpack(one) if about is None or _is_about(one, about) else None for one in orjson.loads(body))


def _pack(access: Access) -> dict[str, Any]:
    found = {name: value for name in _PLAIN if (value := getattr(access, name))}
    if access.objects:
        found["objects"] = [[one.type, one.id, one.version, one.patients, one.written] for one in access.objects]
    if access.query:
        found["query"] = _SECRETS.sub(rb"\1=", access.query[:LONGEST_QUERY]).decode("latin-1")
    return found


def _is_about(found: Mapping[str, Any], about: frozenset[str]) -> bool:
    """Whether :func:`face` gives an entry one of these references."""
    if found.get("fhir_user") in about or not about.isdisjoint(found.get("patients", ())):
        return True
    return any(
        f"{type_}/{id_}" in about or not about.isdisjoint(patients)
        for type_, id_, _, patients, _ in found.get("objects", ())
    )


def _unpack(found: Mapping[str, Any]) -> Access:
    plain = {name: value for name, value in found.items() if name not in {"objects", "query", "patients"}}
    objects = tuple(
        Accessed(type_, id_, version, tuple(patients), written)
        for type_, id_, version, patients, written in found.get("objects", ())
    )
    patients, query = tuple(found.get("patients", ())), found.get("query", "").encode("latin-1")
    return Access(**{"at": 0, **plain}, objects=objects, patients=patients, query=query)


def face(accesses: Sequence[Access]) -> dict[str, Any]:
    """The values by which a batch is found.

    ``about``: references of patients and resources, and of patients and relatives who did something themselves.
    ``who``: references of persons, ``issuer|subject``, ``|client``. ``wrote``: keys of versions that were made.
    ``worst``: the gravest outcome, where one is not success.
    """
    about: dict[str, None] = {}
    who: dict[str, None] = {}
    wrote: list[str] = []
    worst = 0
    for one in accesses:
        for thing in one.objects:
            about[f"{thing.type}/{thing.id}"] = None
            for patient in thing.patients:
                about[patient] = None
        for patient in one.patients:
            about[patient] = None
        who[f"|{one.client}"] = None
        if one.subject:
            who[f"{one.issuer}|{one.subject}"] = None
        if one.fhir_user:
            who[one.fhir_user] = None
            if one.fhir_user.startswith(PERSONS):
                about[one.fhir_user] = None
        if one.objects and not one.outcome:
            wrote += one.wrote
        worst = max(worst, one.outcome)
    found: dict[str, Any] = {"about": list(about), "who": list(who)}
    if wrote:
        found["wrote"] = wrote
    if worst:
        found["worst"] = worst
    return found
