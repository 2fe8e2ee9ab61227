"""What a handler gives back: status, headers and ready bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import formatdate

from fhir_server.access.record import Access, Accessed
from fhir_server.store.resources import Stored

FHIR_JSON = "application/fhir+json; charset=utf-8"
FHIR_XML = "application/fhir+xml; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer; ``headers`` without content type and length, which the door adds for a body.

    A body of ``FHIR_JSON`` goes out as XML when the client prefers that; no handler needs to know.
    For the access record: ``accessed`` are the resources that it shows or made, ``patients`` those whom a list is
    about, ``parts`` the accesses of a Bundle's entries.
    """

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = FHIR_JSON
    accessed: tuple[Accessed, ...] = ()
    patients: tuple[str, ...] = ()
    parts: tuple[Access, ...] = ()


def accessed(stored: Stored, *, written: bool = False) -> tuple[Accessed, ...]:
    """A version for the access record."""
    people = tuple(one for one in stored.extra.get("patients") or () if one != "#")
    return (Accessed(stored.type, stored.id, stored.version, people, written),)


def version_headers(stored: Stored) -> dict[str, str]:
    """ETag and Last-Modified of a version. https://hl7.org/fhir/R4/http.html#versioning"""
    tag = {"ETag": f'W/"{stored.version}"'}
    # What is computed was never modified.
    return tag | ({"Last-Modified": formatdate(stored.at / 1000, usegmt=True)} if stored.version else {})


def location(base: str, stored: Stored) -> str:
    """``[base]/Type/id/_history/version``."""
    return f"{base}/{stored.type}/{stored.id}/_history/{stored.version}"
