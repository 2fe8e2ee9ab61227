"""People who log in."""

from __future__ import annotations

from dataclasses import dataclass

from fhir_server.access.caller import Role


@dataclass(frozen=True, slots=True)
class Account:
    """A person's account.

    ``id`` is the OpenID ``sub``: opaque, never given to anybody else. ``fhir_user`` is the reference of the person's
    resource (``Patient/1``, ``Practitioner/2``, ``RelatedPerson/3``), ``persons`` all that the account stands for, that
    one first. ``clinics`` are Organizations (``Organization/1``) in which a member of staff works. ``second_factor``: a
    TOTP secret is enrolled. A ``disabled`` account has no access from that moment on.
    """

    id: str
    username: str
    name: str
    role: Role
    fhir_user: str = ""
    persons: tuple[str, ...] = ()
    clinics: frozenset[str] = frozenset()
    second_factor: bool = False
    disabled: bool = False
