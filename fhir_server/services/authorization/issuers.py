"""Token issuers outside whose access tokens are believed, as the file of ``FHIR_TRUSTED_ISSUERS`` names them.

The file is a JSON list; of each issuer::

    {"issuer": "https://idp.example", "jwks_uri": "https://idp.example/jwks",
     "audience": "https://ehr.example/fhir", "algorithms": ["RS256"], "typ": "at+jwt",
     "claims": {"role": "role", "fhirUser": "fhirUser", "clinics": "clinics", "scopes": "scope",
                "patient": "patient", "client": "client_id"},
     "roles": {"doctor": "practitioner"}, "role": "patient", "scopes": "user/*.cruds", "walls": true}

``jwks`` may stand for ``jwks_uri``, ``audience`` is our FHIR base where none is named, ``claims`` say which claim holds
what, ``roles`` what their roles are here, ``role`` the role of tokens that name none, ``scopes`` the most that they may
grant. ``walls`` false lets tokens without clinics into every clinic.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fhir_server.access.caller import CHANNELS, STAFF, Caller, Role
from fhir_server.access.scopes import Scopes, parse, within
from fhir_server.remote.jwks import KeysNotReachedError, check_url
from fhir_server.services.authorization import compact, jwks
from fhir_server.services.authorization.context import is_id, with_context
from fhir_server.services.authorization.invalid_token import InvalidToken
from fhir_server.services.world import World
from fhir_server.settings import Settings

CLAIMS = {
    "role": "role", "fhirUser": "fhirUser", "clinics": "clinics", "scopes": "scope", "patient": "patient",
    "client": "client_id",
}  # fmt: skip
LEEWAY = 30


@dataclass(frozen=True, slots=True)
class Issuer:
    """One entry of the file."""

    issuer: str
    jwks_uri: str
    jwks: Mapping[str, Any] | None
    audience: str
    algorithms: frozenset[str]
    typ: str
    claims: Mapping[str, str]
    roles: Mapping[str, Role]
    role: Role | None
    scopes: Scopes
    walls: bool


def read(settings: Settings) -> dict[str, Issuer]:
    """The issuers of the file by their name; none without a file.

    :raises ValueError: the file cannot be used; one sentence.
    """
    if not settings.trusted_issuers:
        return {}
    loopback = settings.environment == "development"
    try:
        listed = json.loads(Path(settings.trusted_issuers).read_text(encoding="utf-8"))
        found = [_issuer(one, settings, loopback=loopback) for one in listed]
    except (OSError, ValueError, TypeError, KeyError, AttributeError, KeysNotReachedError) as failed:
        msg = f"FHIR_TRUSTED_ISSUERS names a file that cannot be used: {type(failed).__name__} {failed}"
        raise ValueError(msg) from None
    if settings.issuer in {one.issuer for one in found}:
        msg = "FHIR_TRUSTED_ISSUERS names this server itself"
        raise ValueError(msg)
    return {one.issuer: one for one in found}


def _issuer(entry: Mapping[str, Any], settings: Settings, *, loopback: bool) -> Issuer:
    url, keys = entry.get("jwks_uri", ""), entry.get("jwks")
    if bool(url) == bool(keys):
        msg = "an issuer has jwks_uri or jwks"
        raise ValueError(msg)
    if url:
        check_url(url, loopback=loopback)
    algorithms = frozenset(entry.get("algorithms", ("RS256", "RS384", "ES256", "ES384")))
    if not algorithms <= jwks.ALGORITHMS:
        msg = f"algorithms are of {', '.join(sorted(jwks.ALGORITHMS))}"
        raise ValueError(msg)
    if not isinstance(entry["issuer"], str) or not entry["issuer"]:
        msg = "an issuer has a name"
        raise ValueError(msg)
    return Issuer(
        issuer=entry["issuer"],
        jwks_uri=url,
        jwks=keys,
        audience=entry.get("audience") or settings.bases[0].rstrip("/"),
        algorithms=algorithms,
        typ=entry.get("typ", "").lower(),
        claims={**CLAIMS, **entry.get("claims", {})},
        roles={name: Role(role) for name, role in entry.get("roles", {}).items()}
        or {role.value: role for role in Role},
        role=Role(entry["role"]) if "role" in entry else None,
        scopes=parse(entry.get("scopes", "patient/*.cruds user/*.cruds system/*.cruds")),
        walls=bool(entry.get("walls", True)),
    )


async def caller(world: World, issuer: Issuer, token: str, now: int) -> Caller:
    """Who asks with a token of that issuer.

    :raises InvalidToken: it is none of theirs, not for us, or over.
    """
    header = compact.header_of(token)
    algorithm, kid = header["alg"], header.get("kid", "")
    if algorithm not in issuer.algorithms:
        raise InvalidToken("algorithm")
    if issuer.typ and str(header.get("typ", "")).lower().removeprefix("application/") != issuer.typ:
        raise InvalidToken("type")
    try:
        keys = issuer.jwks or await world.memory.key_sets.get(issuer.jwks_uri, kid)
    except KeysNotReachedError:
        raise InvalidToken("key") from None
    claims = compact.verified(token, jwks.key_of(keys, kid, algorithm), algorithm)
    if claims.get("iss") != issuer.issuer:
        raise InvalidToken("issuer")
    compact.check_audience(claims, (issuer.audience,))
    expires = compact.check_times(claims, now, LEEWAY)
    if "nonce" in claims or not compact.text(claims, "sub"):
        raise InvalidToken("type")
    return with_context(_mapped(world, issuer, claims, expires))


def _mapped(world: World, issuer: Issuer, claims: compact.Claims, expires: int) -> Caller:
    role = _role(issuer, claims)
    fhir_user = _local(world, compact.text(claims, issuer.claims["fhirUser"]))
    patient = compact.text(claims, issuer.claims["patient"]).removeprefix("Patient/")
    clinics = frozenset(_words(claims, issuer.claims["clinics"]))
    return Caller(
        # No client of our own has such a name.
        client=f"{issuer.issuer}|{compact.text(claims, issuer.claims['client']) or compact.text(claims, 'azp')}",
        channel=CHANNELS[role],
        role=role,
        scopes=within(parse(_words(claims, issuer.claims["scopes"])), issuer.scopes),
        subject=compact.text(claims, "sub"),
        issuer=issuer.issuer,
        token=compact.text(claims, "jti"),
        fhir_user=fhir_user,
        persons=(fhir_user,) if fhir_user else (),
        patient=f"Patient/{patient}" if is_id(patient) else "",
        clinics=clinics if clinics or (issuer.walls and role in STAFF | {Role.SYSTEM}) else None,
        expires=expires,
    )


def _role(issuer: Issuer, claims: compact.Claims) -> Role:
    """The role that the token names; the first that is one here."""
    for name in _words(claims, issuer.claims["role"]):
        if name in issuer.roles:
            return issuer.roles[name]
    if issuer.role is None or claims.get(issuer.claims["role"]):
        raise InvalidToken("claims")
    return issuer.role


def _words(claims: compact.Claims, name: str) -> list[str]:
    """A claim that is a list of texts or one text of words."""
    found = claims.get(name, "")
    listed = found.split() if isinstance(found, str) else found
    if not isinstance(listed, list) or not all(isinstance(one, str) for one in listed):
        raise InvalidToken("claims")
    return listed


def _local(world: World, reference: str) -> str:
    """A person's reference, relative to our base; empty when it is somewhere else."""
    for base in world.bases:
        reference = reference.removeprefix(base)
    type_, _, id_ = reference.partition("/")
    known = type_ in {"Patient", "Practitioner", "RelatedPerson", "PractitionerRole", "Person"}
    return reference if known and is_id(id_) else ""
