"""Callers who may or may not read the record, put in front of the door."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from fhir_server.access.caller import Caller, Role
from fhir_server.access.scopes import parse
from fhir_server.rest.door import Door

AUDITOR = Caller("audit-app", role=Role.AUDITOR, scopes=parse("user/AuditEvent.rs"))
BACKEND = Caller("backend", role=Role.SYSTEM, scopes=parse("system/AuditEvent.rs"))


def patient(id_: str) -> Caller:
    me = f"Patient/{id_}"
    return Caller(
        "my-app", role=Role.PATIENT, scopes=parse("patient/AuditEvent.rs"), fhir_user=me, persons=(me,), patient=me
    )


@contextmanager
def asking(caller: Caller) -> Iterator[None]:
    """Whoever asks is this caller."""
    standard = Door._context

    def context(self: Door, *arguments: Any) -> Any:
        return replace(standard(self, *arguments), caller=caller)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Door, "_context", context)
        yield
