"""What the access record keeps: one access is one request, a login or a token, allowed or refused.

An access holds references and codes, the text of a search, and never a token, a secret or a body. Whoever reads it
gets one AuditEvent for each patient it touched (``services/audit/events.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fhir_server.access.caller import Caller

SUCCESS, MINOR, SERIOUS, MAJOR = 0, 4, 8, 12
"""Outcomes of https://hl7.org/fhir/R4/valueset-audit-event-outcome.html: refused by the client's fault, by ours, ours
that ends more than this request."""

WRITES = frozenset("CUD")
ACTIONS: Mapping[str, str] = {
    "create": "C", "read": "R", "vread": "R", "update": "U", "patch": "U", "delete": "D",
    "history": "R", "history-instance": "R", "history-type": "R", "history-system": "R",
}  # fmt: skip
"""The action of an interaction; every other one is E: executed."""


def outcome_of(status: int) -> int:
    """The outcome of an answer by its HTTP status."""
    return SUCCESS if status < 400 else MINOR if status < 500 else SERIOUS


@dataclass(frozen=True, slots=True)
class Accessed:
    """One resource that was shown or written; ``version`` 0 names no version.

    ``patients`` are references of those it is about (``Patient/1``). ``written``: the access made this version; an
    access whose action is C, U or D made all of its versions.
    """

    type: str
    id: str
    version: int = 0
    patients: tuple[str, ...] = ()
    written: bool = False

    @property
    def people(self) -> tuple[str, ...]:
        """The patients that it is about: a Patient is about itself."""
        return (f"Patient/{self.id}",) if self.type == "Patient" else self.patients

    @property
    def key(self) -> str:
        """``Appointment/1/3``: names the version."""
        return f"{self.type}/{self.id}/{self.version}"


@dataclass(frozen=True, slots=True)
class Access:
    """One thing that happened.

    ``at`` is in milliseconds since the epoch. ``action`` is C, R, U, D or E. ``interaction`` is a code of
    http://hl7.org/fhir/restful-interaction (``read``, ``search``, ``history-instance`` …), an operation (``$book``) or
    one of ``services/audit/kinds.py`` (``login``, ``token`` …). ``client`` is the OAuth client, ``subject`` the person
    as ``issuer`` knows them, ``fhir_user`` their reference, ``token`` the ``jti``, ``purpose`` a code of v3-ActReason
    (``BTG`` breaks the glass). ``network`` is the caller's address. ``patients`` are those that the request named or
    found besides those of ``objects``. ``query`` is the raw request of a search: method, path and parameters.
    ``reason`` is the issue code of a refusal. ``recovered``: recorded by another process, after the one that served it
    had died.
    """

    at: int
    action: str
    interaction: str
    outcome: int = SUCCESS
    client: str = ""
    subject: str = ""
    issuer: str = ""
    fhir_user: str = ""
    role: str = ""
    token: str = ""
    purpose: str = ""
    network: str = ""
    request_id: str = ""
    objects: tuple[Accessed, ...] = ()
    patients: tuple[str, ...] = ()
    query: bytes = b""
    reason: str = ""
    recovered: bool = False

    @property
    def people(self) -> tuple[str, ...]:
        """Every patient that it touched, each once."""
        if not self.objects:
            return self.patients
        return tuple(dict.fromkeys([*self.patients, *(who for one in self.objects for who in one.people)]))

    @property
    def wrote(self) -> list[str]:
        """Keys of the versions that it made."""
        every = self.action in WRITES
        return [one.key for one in self.objects if one.version and (every or one.written)] if not self.outcome else []


def by(caller: Caller, interaction: str, **more: Any) -> Access:
    """What a caller did; ``more`` are the other fields of :class:`Access`, ``at`` above all."""
    return Access(
        action=more.pop("action", "") or ACTIONS.get(interaction, "E"),
        interaction=interaction,
        client=caller.client,
        subject=caller.subject,
        issuer=caller.issuer,
        fhir_user=caller.fhir_user,
        role=caller.role.value,
        token=caller.token,
        **more,
    )


def stamp(
    caller: Caller, interaction: str, action: str, request_id: str, *, process: str, **more: str
) -> dict[str, str]:
    """What stands beside the body of a written version, so that its access can be recorded after a crash.

    :param process: ``Recorder.process``, whose death makes others look for what it left out.
    :param more: ``network`` and ``purpose``.
    """
    said = {
        "process": process,
        "action": action,
        "interaction": interaction,
        "client": caller.client,
        "subject": caller.subject,
        "issuer": caller.issuer,
        "fhir_user": caller.fhir_user,
        "role": caller.role.value,
        "token": caller.token,
        "request_id": request_id,
        **more,
    }
    return {name: value for name, value in said.items() if value}


def recovered(by: Mapping[str, Any], key: str, patients: tuple[str, ...], at: int) -> Access:
    """The access that a version's :func:`stamp` tells of."""
    type_, id_, version = key.split("/")
    return Access(
        at=at,
        objects=(Accessed(type_, id_, int(version), patients, written=True),),
        recovered=True,
        **{name: value for name, value in by.items() if name != "process"},
    )
