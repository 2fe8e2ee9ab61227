"""References in the form in which search compares them, https://hl7.org/fhir/R4/search.html#reference.

stored                          compared as
------------------------------  -----------------------
Patient/1, [our base]/Patient/1 Patient/1
Patient/1/_history/2            Patient/1
http://other.example/Patient/1  as it is
urn:uuid:…                      as it is
{identifier: {system, value}}   #system|value, #=value, #system|
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable


def type_of(reference: dict[str, Any]) -> str:
    """The resource type that a Reference names by its URL, else by its ``type``; empty when it names none."""
    text = reference.get("reference")
    if isinstance(text, str) and not text.startswith(("#", "urn:")):
        parts = text.partition("/_history/")[0].rsplit("/", 2)
        if len(parts) > 1 and parts[-2][:1].isupper():
            return parts[-2]
    kind = reference.get("type")
    return kind if isinstance(kind, str) else ""


def base_forms(bases: Iterable[str]) -> tuple[str, ...]:
    """Base URLs of this server, each ending with one ``/``."""
    return tuple(f"{base.rstrip('/')}/" for base in bases if base)


def comparable(text: str, bases: tuple[str, ...]) -> str:
    """A reference without its version and without a base of our own; ``bases`` come from :func:`base_forms`."""
    if "/_history/" in text:
        text = text.partition("/_history/")[0]
    if "://" in text:
        for base in bases:
            if text.startswith(base):
                return text[len(base) :]
    return text
