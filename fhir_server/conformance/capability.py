"""The CapabilityStatement, https://hl7.org/fhir/R4/capabilitystatement.html, as a description of the server says it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from fhir_server.settings import CANONICAL

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

FHIR_VERSION = "4.0.1"
SOFTWARE = "fhir-scheduling-server"
"""The id of what the software can do, wherever it runs."""

OAUTH_URIS = "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris"
TOPIC = (
    "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/capabilitystatement-subscriptiontopic-canonical"
)
SECURITY_SERVICE = "http://terminology.hl7.org/CodeSystem/restful-security-service"

Resource = dict[str, Any]


@dataclass(frozen=True, slots=True)
class SearchParam:
    """One search parameter of a type; ``url`` is the canonical URL of its SearchParameter."""

    name: str
    type: str
    url: str = ""
    documentation: str = ""


@dataclass(frozen=True, slots=True)
class TypeDescription:
    """What is offered for one resource type.

    ``interactions`` are codes of https://hl7.org/fhir/R4/valueset-type-restful-interaction.html, ``includes`` and
    ``revincludes`` are ``Slot:schedule``, ``profiles`` canonical URLs, ``operations`` names and canonical URLs,
    ``topics`` canonical URLs of what can be subscribed to.
    """

    type: str
    interactions: Sequence[str]
    search_params: Sequence[SearchParam] = ()
    includes: Sequence[str] = ()
    revincludes: Sequence[str] = ()
    profiles: Sequence[str] = ()
    operations: Sequence[tuple[str, str]] = ()
    versioning: Literal["no-version", "versioned", "versioned-update"] = "versioned"
    read_history: bool = False
    update_create: bool = False
    conditional_create: bool = False
    conditional_read: Literal["not-supported", "modified-since", "not-match", "full-support"] = "not-supported"
    conditional_update: bool = False
    conditional_delete: Literal["not-supported", "single", "multiple"] = "not-supported"
    reference_policy: Sequence[str] = ()
    documentation: str = ""
    topics: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class ServerDescription:
    """What the whole server offers; ``date`` is a FHIR dateTime, ``operations`` those without a type.

    ``compartments`` are canonical URLs of CompartmentDefinitions, ``oauth`` the authorization server's endpoints by
    their names in the extension oauth-uris.
    """

    base_url: str
    date: str
    version: str
    types: Sequence[TypeDescription]
    operations: Sequence[tuple[str, str]] = ()
    compartments: Sequence[str] = ()
    interactions: Sequence[str] = ()
    search_params: Sequence[SearchParam] = ()
    formats: Sequence[str] = ("application/fhir+json", "json")
    patch_formats: Sequence[str] = ()
    software: str = "fhir-server"
    title: str = "FHIR scheduling server"
    security: str = ""
    oauth: Sequence[tuple[str, str]] = ()


def capability_statement(server: ServerDescription) -> Resource:
    """The CapabilityStatement of kind *instance* that says what ``server`` says."""
    rest: Resource = {"mode": "server"}
    if server.security:
        rest["security"] = _security(server)
    rest["resource"] = [_resource(described) for described in sorted(server.types, key=lambda one: one.type)]
    _put(rest, "interaction", [{"code": code} for code in server.interactions])
    _put(rest, "searchParam", [_search_param(param) for param in server.search_params])
    _put(rest, "operation", _operations(server.operations))
    _put(rest, "compartment", list(server.compartments))
    statement: Resource = {
        "resourceType": "CapabilityStatement",
        "name": "FhirSchedulingServer",
        "title": server.title,
        "status": "active",
        "date": server.date,
        "kind": "instance",
        "instantiates": [f"{CANONICAL}CapabilityStatement/{SOFTWARE}"],
        "software": {"name": server.software, "version": server.version},
        "implementation": {"description": server.title, "url": server.base_url},
        "fhirVersion": FHIR_VERSION,
        "format": list(server.formats),
    }
    _put(statement, "patchFormat", list(server.patch_formats))
    statement["rest"] = [rest]
    return statement


def software_statement(server: ServerDescription) -> Resource:
    """The CapabilityStatement of kind *capability* that an instance of this software instantiates."""
    instance = capability_statement(server)
    kept = {name: value for name, value in instance.items() if name not in {"implementation", "instantiates"}}
    return {
        "resourceType": "CapabilityStatement",
        "id": SOFTWARE,
        "url": f"{CANONICAL}CapabilityStatement/{SOFTWARE}",
        "version": server.version,
        "experimental": False,
        "publisher": server.title,
        "description": "What this server can do, made from the tables that serve requests.",
        **kept,
        "kind": "capability",
    }


def _security(server: ServerDescription) -> Resource:
    """SMART on FHIR, https://hl7.org/fhir/smart-app-launch/conformance.html#declaring-support-for-oauth2-endpoints."""
    found: Resource = {}
    if server.oauth:
        uris = [{"url": name, "valueUri": url} for name, url in server.oauth]
        found["extension"] = [{"url": OAUTH_URIS, "extension": uris}]
    found["cors"] = True
    found["service"] = [{"coding": [{"system": SECURITY_SERVICE, "code": "SMART-on-FHIR"}]}]
    found["description"] = server.security
    return found


def _resource(described: TypeDescription) -> Resource:
    found: Resource = {}
    _put(found, "extension", [{"url": TOPIC, "valueCanonical": one} for one in described.topics])
    found |= {
        "type": described.type,
        "profile": f"http://hl7.org/fhir/StructureDefinition/{described.type}",
    }
    _put(found, "supportedProfile", list(described.profiles))
    _put(found, "documentation", described.documentation)
    found["interaction"] = [{"code": code} for code in described.interactions]
    found |= {
        "versioning": described.versioning,
        "readHistory": described.read_history,
        "updateCreate": described.update_create,
        "conditionalCreate": described.conditional_create,
        "conditionalRead": described.conditional_read,
        "conditionalUpdate": described.conditional_update,
        "conditionalDelete": described.conditional_delete,
    }
    _put(found, "referencePolicy", list(described.reference_policy))
    _put(found, "searchInclude", list(described.includes))
    _put(found, "searchRevInclude", list(described.revincludes))
    _put(found, "searchParam", [_search_param(param) for param in described.search_params])
    _put(found, "operation", _operations(described.operations))
    return found


def _operations(offered: Iterable[tuple[str, str]]) -> list[Resource]:
    return [{"name": name, "definition": url} for name, url in offered]


def _search_param(param: SearchParam) -> Resource:
    found: Resource = {"name": param.name}
    _put(found, "definition", param.url)
    found["type"] = param.type
    _put(found, "documentation", param.documentation)
    return found


def _put(node: Resource, name: str, value: Any) -> None:
    """FHIR JSON has no empty values."""
    if value:
        node[name] = value
