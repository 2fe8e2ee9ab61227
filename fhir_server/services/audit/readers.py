"""Who may read the access record.

caller            with the scope (without criteria)         sees
----------------  ----------------------------------------  --------------------------------------
auditor           user/AuditEvent.rs                        everything
system            system/AuditEvent.rs                      everything, unless it is walled in
patient           patient/AuditEvent.rs                     what concerns the patient of the token
patient           user/AuditEvent.rs                        what concerns the patients they act for
everybody else                                              nothing: 403

A patient of the token for whom the person acts no more is nobody's.
"""

from __future__ import annotations

from fhir_server.access.caller import Role
from fhir_server.errors import Category, problem
from fhir_server.fhir.types import AUDIT_EVENT
from fhir_server.services.access.policy import AccessPolicy


def visible_to(policy: AccessPolicy, permission: str) -> frozenset[str] | None:
    """The patients whose entries a caller may see, None: everybody's.

    :param permission: ``r`` or ``s``.
    :raises Problem: 403 when the role or the scopes do not allow it at all.
    """
    caller = policy.caller
    contexts = {one.context for one in caller.scopes.resources if one.covers(AUDIT_EVENT, permission) and not one.query}
    if caller.role is Role.AUDITOR and "user" in contexts:
        return None
    if policy.unlimited and "system" in contexts:
        return None
    if caller.role is Role.PATIENT:
        people = policy.known_people
        seen = people if "user" in contexts else people & {caller.patient} if "patient" in contexts else frozenset()
        if seen:
            return seen
    raise problem(Category.FORBIDDEN, "the access record is for auditors and for the patients themselves", AUDIT_EVENT)


def check_report(policy: AccessPolicy, patient: str) -> None:
    """Whether a caller may see who looked at a patient.

    :raises Problem: 403 as :func:`visible_to`, 404 for another patient than the caller's own.
    """
    visible = visible_to(policy, "s")
    if visible is not None and patient not in visible:
        raise problem(Category.NOT_FOUND, f"{patient} does not exist", "Patient")
