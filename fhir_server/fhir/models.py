"""The R4B models of fhir.resources (equal to R4 4.0.1 for every type held): the one place that imports them.

They serve twice: they validate a resource (``issues_of``), and they tell which elements a type has (``elements``).
"""

from __future__ import annotations

import functools
import typing
from dataclasses import dataclass
from typing import Any

from fhir.resources.R4B import fhirtypes, get_fhir_model_class  # noqa: TID251  this is that file
from pydantic import BaseModel, ValidationError

from fhir_server.errors import Category, Issue
from fhir_server.fhir.types import RESOURCE_TYPES

_BEYOND_R4 = frozenset(("valueCodeableReference", "valueRatioRange"))

_ENCOUNTER = frozenset(
    ("planned", "arrived", "triaged", "in-progress", "onleave", "finished", "cancelled", "entered-in-error", "unknown")
)
_COMPARATOR = frozenset(("<", "<=", ">=", ">"))
_EVENTS = (
    "MORN MORN.early MORN.late NOON AFT AFT.early AFT.late EVE EVE.early EVE.late NIGHT PHS HS WAKE"
    " C CM CD CV AC ACM ACD ACV PC PCM PCD PCV"
)

# The models list these bindings in part ("+") or not at all.
_CODES: dict[tuple[str, str], frozenset[str]] = {
    ("Encounter", "status"): _ENCOUNTER,
    ("EncounterStatusHistory", "status"): _ENCOUNTER,
    ("DeviceUdiCarrier", "entryType"): frozenset(("barcode", "rfid", "manual", "card", "self-reported", "unknown")),
    ("Quantity", "comparator"): _COMPARATOR,
    ("Age", "comparator"): _COMPARATOR,
    ("Count", "comparator"): _COMPARATOR,
    ("Distance", "comparator"): _COMPARATOR,
    ("Duration", "comparator"): _COMPARATOR,
    ("TimingRepeat", "when"): frozenset(_EVENTS.split()),
}
# Open lists in the specification.
_OPEN = frozenset(
    (("Expression", "language"), ("CapabilityStatement", "format"), ("CapabilityStatement", "patchFormat"))
)

# What one broken value reads like; the first part of pydantic's error type decides.
_WORDS = {
    "missing": (Category.REQUIRED, "a mandatory element is missing"),
    "model_field_validation.missing": (Category.REQUIRED, "a mandatory element is missing"),
    "extra_forbidden": (Category.STRUCTURE, "unknown element"),
    "list_type": (Category.STRUCTURE, "an array is needed"),
    "string_type": (Category.STRUCTURE, "a string is needed"),
    "bool_type": (Category.STRUCTURE, "true or false is needed"),
    "bool_parsing": (Category.STRUCTURE, "true or false is needed"),
    "int_type": (Category.STRUCTURE, "an integer is needed"),
    "int_parsing": (Category.STRUCTURE, "an integer is needed"),
    "greater_than_equal": (Category.INVALID, "the number is too small"),
    "less_than_equal": (Category.INVALID, "the number is too large"),
    "string_too_long": (Category.INVALID, "the text is too long"),
    "string_too_short": (Category.INVALID, "the text is empty"),
    "string_pattern_mismatch": (Category.INVALID, "the value does not have the form of its type"),
}
_MALFORMED = (Category.INVALID, "the value does not have the form of its type")


@dataclass(frozen=True, slots=True)
class Element:
    """One element of a type by its JSON name.

    ``type`` is a FHIR type (``code``, ``Reference``, ``AppointmentParticipant``; ``Resource`` = any resource).
    ``codes`` is a required binding, ``targets`` the types that a Reference may name (empty or with ``Resource`` = any),
    ``choice`` the stem of a choice such as ``value[x]``.
    """

    name: str
    type: str
    primitive: bool
    many: bool
    required: bool
    codes: frozenset[str] | None = None
    targets: frozenset[str] = frozenset()
    choice: str = ""


@functools.cache
def elements(type_name: str) -> dict[str, Element]:
    """The elements of a resource, datatype or backbone type by JSON name, in the order of the specification.

    ``resourceType`` and ``_name`` are left out. Raises ``ValueError`` for an unknown type.
    """
    found: dict[str, Element] = {}
    model = _model(type_name)
    for field in model.model_fields.values():
        name = field.alias or ""
        hints: Any = field.json_schema_extra or {}
        if name.startswith("_") or name in _BEYOND_R4 or name in {"fhir_comments", "resource_type"} or not name:
            continue
        kind, primitive, many = _kind(field.annotation)
        codes = None if (type_name, name) in _OPEN else _CODES.get((type_name, name)) or hints.get("enum_values")
        found[name] = Element(
            name=name,
            type=kind,
            primitive=primitive,
            many=many,
            required=bool(hints.get("element_required")) or field.is_required(),
            codes=None if codes is None else frozenset(codes),
            targets=frozenset(hints.get("enum_reference_types", ())),
            choice=hints.get("one_of_many", ""),
        )
    return {name: found[name] for name in model.elements_sequence() if name in found}


@functools.cache
def is_resource_type(name: str) -> bool:
    """Whether ``name`` is a FHIR resource type, held here or not."""
    try:
        return _model(name).has_resource_base() and name not in {"Resource", "DomainResource"}
    except ValueError:
        return False


def required_codes(type_name: str) -> dict[str, frozenset[str]]:
    """Required bindings of a resource's own elements by path: ``{"Appointment.participant.status": {...}}``."""
    found: dict[str, frozenset[str]] = {}

    def collect(path: str, name: str) -> None:
        for element in elements(name).values():
            if element.codes is not None:
                found[f"{path}.{element.name}"] = element.codes
            # Backbone elements are named after their resource: AppointmentParticipant.
            elif not element.primitive and element.type.startswith(name) and element.type != name:
                collect(f"{path}.{element.name}", element.type)

    collect(type_name, type_name)
    return found


def issues_of(resource: dict[str, Any]) -> list[Issue]:
    """Validate one resource by its model: one issue a fault, in our words, with its place and without values.

    ``resource["resourceType"]``, and that of anything contained, must be a resource type (``is_resource_type``).
    """
    name = resource["resourceType"]
    try:
        _model(name).model_validate(resource)
    except ValidationError as fault:
        return [
            _issue(name, error["type"], error["loc"])
            for error in fault.errors(include_url=False, include_context=False, include_input=False)
        ]
    return []


def warm() -> None:
    """Load every model once (about 0.4 s), so that no request pays for it."""
    for name in RESOURCE_TYPES:
        elements(name)
        issues_of({"resourceType": name, "extension": [{"url": "urn:warm", "valueString": "x"}]})


def _issue(name: str, kind: str, loc: tuple[int | str, ...]) -> Issue:
    category, text = _WORDS.get(kind, _MALFORMED)
    place = name + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc if part != "root")
    return Issue(text, place, category=category)


@functools.cache
def _model(name: str) -> Any:
    kind = getattr(fhirtypes, f"{name}Type", None) if name[:1].isupper() and name.isalnum() else None
    if kind is None or not hasattr(kind, "get_model_klass"):
        msg = "not a FHIR type"
        raise ValueError(msg)
    return get_fhir_model_class(name)


def _kind(annotation: Any) -> tuple[str, bool, bool]:
    """``(FHIR type, primitive, many)`` of a field's annotation."""
    if typing.get_origin(annotation) is typing.Annotated:
        # Only base64Binary is described by pydantic's own class.
        return getattr(annotation.__metadata__[0], "__visit_name__", "base64Binary"), True, False
    if annotation is bool:
        return "boolean", True, False
    if isinstance(annotation, type) and hasattr(annotation, "get_model_klass"):
        model: type[BaseModel] = annotation.get_model_klass()
        return model.get_resource_type(), False, False  # type: ignore[attr-defined]
    inner = next(part for part in typing.get_args(annotation) if part is not type(None))
    kind, primitive, many = _kind(inner)
    return kind, primitive, many or typing.get_origin(annotation) is list
