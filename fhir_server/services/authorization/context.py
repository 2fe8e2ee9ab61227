"""What scopes need to mean something: a patient for patient/, a person for user/, nobody else for system/."""

from __future__ import annotations

import re

from fhir_server.access.caller import Caller, Role
from fhir_server.access.scopes import Scopes
from fhir_server.services.authorization.invalid_token import InvalidToken

_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")


class NoContextError(ValueError):
    """Scopes that no token may have: of mixed kinds, or of somebody who is not named."""


def is_id(text: str) -> bool:
    """Whether it is a FHIR id."""
    return _ID.fullmatch(text) is not None


def check_context(scopes: Scopes, *, patient: str, fhir_user: str, person: bool) -> None:
    """:raises NoContextError: mixed kinds, or of somebody who is not named."""
    contexts = scopes.contexts
    if "system" in contexts and (person or contexts != {"system"}):
        raise NoContextError("system/ scopes are for backends alone")
    if "patient" in contexts and not patient:
        raise NoContextError("patient/ scopes need a patient in context")
    if "user" in contexts and not fhir_user:
        raise NoContextError("user/ scopes need a person with a resource")
    if not person and contexts - {"system"}:
        raise NoContextError("a backend has system/ scopes")


def with_context(caller: Caller) -> Caller:
    """The caller, whose scopes fit who they are.

    :raises InvalidToken: what would not be issued is not believed.
    """
    person = caller.role is not Role.SYSTEM
    try:
        check_context(caller.scopes, patient=caller.patient, fhir_user=caller.fhir_user, person=person)
    except NoContextError:
        raise InvalidToken("context") from None
    return caller
