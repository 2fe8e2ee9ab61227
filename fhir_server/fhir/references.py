"""References between resources, https://hl7.org/fhir/R4/references.html.

kind         written as                                  set
-----------  ------------------------------------------  -----------------------------
relative     Slot/1, Slot/1/_history/2                   type, id, version
absolute     https://ehr.example/fhir/Slot/1             base, type, id, version; for a URL
                                                         that is not RESTful none of them
urn          urn:uuid:…, urn:oid:…
contained    #slot-1, or # for the container             id
conditional  Patient?identifier=sys|1                    type
logical      identifier without a reference              system, value, type when stated
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

Kind = Literal["relative", "absolute", "urn", "contained", "conditional", "logical"]

_RESTFUL = re.compile(
    r"(?P<base>https?://[^\s?#]+/)?(?P<type>[A-Z][A-Za-z]{1,63})/(?P<id>[A-Za-z0-9\-.]{1,64})"
    r"(?:/_history/(?P<version>[A-Za-z0-9\-.]{1,64}))?",
    re.ASCII,
)
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*://\S+", re.ASCII)
_URN = re.compile(r"urn:[a-z0-9\-]+:\S+", re.ASCII)
_CONTAINED = re.compile(r"#(?P<id>[A-Za-z0-9\-.]{0,64})", re.ASCII)
_CONDITIONAL = re.compile(r"(?P<type>[A-Z][A-Za-z]{1,63})\?\S+", re.ASCII)
_ELEMENTS = frozenset(
    ("reference", "type", "identifier", "display", "id", "extension", "_reference", "_type", "_display")
)


@dataclass(frozen=True, slots=True)
class Reference:
    """One reference; see the table above. ``text`` is what was written, empty for a logical one."""

    kind: Kind
    text: str = ""
    type: str = ""
    id: str = ""
    version: str = ""
    base: str = ""
    system: str = ""
    value: str = ""

    @property
    def key(self) -> str:
        """``Type/id`` without base and version, or empty where the reference names no type and id."""
        return f"{self.type}/{self.id}" if self.type and self.id else ""

    def local(self, bases: Collection[str] = ()) -> str:
        """``Type/id`` when the reference points into this server, else empty.

        ``bases`` are our own base URLs, each with its trailing slash.
        """
        return self.key if self.kind == "relative" or (self.kind == "absolute" and self.base in bases) else ""


def parse(text: str) -> Reference:
    """Read ``Reference.reference``; raises ``ValueError`` for a text that is no reference."""
    found = _RESTFUL.fullmatch(text)
    if found is not None:
        base = found["base"] or ""
        return Reference(
            "absolute" if base else "relative", text, found["type"], found["id"], found["version"] or "", base
        )
    found = _CONTAINED.fullmatch(text)
    if found is not None:
        return Reference("contained", text, id=found["id"])
    if _URN.fullmatch(text):
        return Reference("urn", text)
    if _URL.fullmatch(text):
        return Reference("absolute", text)
    found = _CONDITIONAL.fullmatch(text)
    if found is not None:
        return Reference("conditional", text, found["type"])
    msg = "not a reference: Type/id, a URL, a urn or #id is needed"
    raise ValueError(msg)


def of(element: dict[str, Any]) -> Reference | None:
    """Read a FHIR Reference element; None when it has neither a reference nor an identifier with a value.

    ``Reference.type`` fills in a type that the text does not say. Raises ``ValueError`` for a malformed reference.
    """
    text, stated = element.get("reference"), _said(element.get("type"))
    if isinstance(text, str):
        found = parse(text)
        if stated and not found.type:
            return Reference(found.kind, found.text, stated, found.id, found.version, found.base)
        return found
    identifier = element.get("identifier")
    if isinstance(identifier, dict) and isinstance(identifier.get("value"), str):
        return Reference("logical", type=stated, system=_said(identifier.get("system")), value=identifier["value"])
    return None


def _said(value: Any) -> str:
    return value if isinstance(value, str) else ""


def references_in(resource: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every Reference element with its place, ``("Appointment.participant[0].actor", {...})``, contained ones too."""
    stack: list[tuple[str, Any]] = [(str(resource.get("resourceType", "")), resource)]
    while stack:
        place, node = stack.pop()
        if isinstance(node, dict):
            if is_reference(node):
                yield place, node
            for name in reversed(node):
                child = node[name]
                if isinstance(child, dict | list):
                    stack.append((f"{place}.{name}", child))
        else:
            stack.extend(
                (f"{place}[{index}]", node[index])
                for index in range(len(node) - 1, -1, -1)
                if isinstance(node[index], dict | list)
            )


def is_reference(node: dict[str, Any]) -> bool:
    """Whether a JSON object is a Reference with a reference or an identifier, judged by its properties alone."""
    if "reference" not in node and not isinstance(node.get("identifier"), dict):
        return False
    return isinstance(node.get("reference", ""), str) and _ELEMENTS.issuperset(node)
