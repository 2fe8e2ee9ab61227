"""Who asks: a token becomes a caller, and a caller with an interaction becomes an access policy.

role            a person or machine                              sees (the rules: fhir_server/access/rules.py)
--------------  -----------------------------------------------  ------------------------------------------------------
system          a backend client by its registration             what its scopes and its clinics say
patient         a patient, or somebody who acts for patients     themselves and those they act for
practitioner    a clinician                                      the patients they care for, in their clinics
front-desk      reception                                        schedules and demographics of their clinics
administrator   runs a clinic                                    the clinic and its set-up
auditor         looks into the access record                     AuditEvents
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from fhir_server.access.scopes import NONE, Scopes


class Role(StrEnum):
    """What a caller is to the clinic."""

    SYSTEM = "system"
    PATIENT = "patient"
    PRACTITIONER = "practitioner"
    FRONT_DESK = "front-desk"
    ADMINISTRATOR = "administrator"
    AUDITOR = "auditor"


STAFF = frozenset({Role.PRACTITIONER, Role.FRONT_DESK, Role.ADMINISTRATOR})


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, as their token says.

    ``client`` is the OAuth client, ``channel`` the booking channel that the caller stands for where a request states
    none. ``subject`` is the account's id (empty: a client on its own behalf), ``issuer`` who vouches for it, ``token``
    the token's ``jti``. ``fhir_user`` is the reference of the person (``Practitioner/dr-adams``), ``persons`` all
    references that the account stands for (a parent who is a Patient and a RelatedPerson). ``patient`` is the launch
    context (``Patient/1``). ``clinics`` are the Organizations inside whose walls the caller is, None: no walls.
    ``session`` and ``grant`` name the login and the consent that the token comes from. ``expires`` is epoch seconds.
    """

    client: str = "anonymous"
    channel: str = "online"
    role: Role = Role.SYSTEM
    scopes: Scopes = NONE
    subject: str = ""
    issuer: str = ""
    token: str = ""
    fhir_user: str = ""
    persons: tuple[str, ...] = ()
    patient: str = ""
    clinics: frozenset[str] | None = None
    session: str = ""
    grant: str = ""
    expires: int = 0

    @property
    def party(self) -> str:
        """Whose holds, Idempotency-Keys and page tokens these are: the client's, or those of its one user."""
        return f"{self.client}|{self.subject}" if self.subject else self.client


CHANNELS = {Role.PATIENT: "online", Role.PRACTITIONER: "staff", Role.FRONT_DESK: "staff", Role.ADMINISTRATOR: "staff",
            Role.SYSTEM: "interface", Role.AUDITOR: "staff"}  # fmt: skip
"""The booking channel that a role stands for."""
