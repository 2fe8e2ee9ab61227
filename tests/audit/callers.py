"""Callers who may or may not read the record, put in front of the door."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from fhir_server.access.caller import Caller, Role
from fhir_server.access.scopes import parse
from fhir_server.rest.door import Door
from fhir_server.services.access.policy import AccessPolicy
from fhir_server.services.world import World

AUDITOR = Caller("audit-app", role=Role.AUDITOR, scopes=parse("user/AuditEvent.rs user/Patient.rs"), token="t1")
BACKEND = Caller("backend", role=Role.SYSTEM, scopes=parse("system/AuditEvent.rs system/Patient.rs"), token="t2")


def patient(id_: str) -> Caller:
    me = f"Patient/{id_}"
    return Caller(
        "my-app",
        role=Role.PATIENT,
        scopes=parse("patient/AuditEvent.rs patient/Patient.rs"),
        token="t3",
        fhir_user=me,
        persons=(me,),
        patient=me,
    )


@contextmanager
def asking(caller: Caller) -> Iterator[None]:
    """Whoever asks is this caller."""

    async def policy(self: Door, world: World, headers: Any) -> AccessPolicy:
        found = AccessPolicy(caller)
        await found.begin(world)
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Door, "_policy", policy)
        yield
