"""``capabilities``, https://hl7.org/fhir/R4/http.html#capabilities: what the tables of this server say."""

from __future__ import annotations

import hashlib
from functools import lru_cache

from fhir_server.conformance.capability import SearchParam, ServerDescription, TypeDescription, capability_statement
from fhir_server.errors import Category, problem
from fhir_server.fhir.json import dump
from fhir_server.fhir.types import AUDIT_EVENT, CONFORMANCE_TYPES, RESOURCE_TYPES
from fhir_server.rest import audit_parameters
from fhir_server.rest.answer import Answer
from fhir_server.rest.context import PATCH_JSON, Context
from fhir_server.rest.operations import table
from fhir_server.rest.patches import MERGE_JSON
from fhir_server.search.definitions import Definitions
from fhir_server.search.sealed import ANSWERS
from fhir_server.services.audit.kinds import PROFILE
from fhir_server.services.authorization import discovery
from fhir_server.services.subscriptions.terms import BACKPORT
from fhir_server.services.world import World

INTERACTIONS = (
    "read", "vread", "update", "patch", "delete", "history-instance", "history-type", "create", "search-type",
)  # fmt: skip
SYSTEM_INTERACTIONS = ("transaction", "batch", "search-system", "history-system")
BALP = tuple(
    f"{patient}{one}" for patient in ("", "Patient") for one in ("Create", "Delete", "Query", "Read", "Update")
)
BACKPORT_PROFILES = {"Subscription": (f"{BACKPORT}backport-subscription",)}
VERSION = "0.1.0"
DATE = "2026-11-22"


async def capabilities(context: Context) -> Answer:
    """The CapabilityStatement with its ETag; 304 when the client has it."""
    mode = dict(context.query).get("mode", "full")
    if mode not in {"full", "normative"}:
        raise problem(Category.NOT_SUPPORTED, "mode is full or normative", "mode")
    body, tag = _written(context.world, context.base)
    known = context.headers.get("if-none-match", "")
    if f'"{tag}"' in known:
        return Answer(304, b"", {"ETag": f'W/"{tag}"'})
    return Answer(200, body, {"ETag": f'W/"{tag}"'})


def _written(world: World, base: str) -> tuple[bytes, str]:
    return _remembered(_Held(world), base)


class _Held:
    """A world as a cache key."""

    def __init__(self, world: World) -> None:
        self.world = world

    def __hash__(self) -> int:
        return id(self.world.definitions)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Held) and other.world.definitions is self.world.definitions


@lru_cache(maxsize=32)
def _remembered(held: _Held, base: str) -> tuple[bytes, str]:
    body = dump(capability_statement(describe(held.world, base)))
    return body, hashlib.sha256(body).hexdigest()[:16]


def describe(world: World, base: str) -> ServerDescription:
    """What this server offers, from the tables that serve it."""
    definitions = world.definitions
    return ServerDescription(
        base_url=base,
        date=DATE,
        version=VERSION,
        types=[
            *(_type(world, definitions, type_) for type_ in RESOURCE_TYPES),
            *(_artifact_type(world, type_) for type_ in CONFORMANCE_TYPES),
            _audit_type(),
        ],
        interactions=SYSTEM_INTERACTIONS,
        compartments=["http://hl7.org/fhir/CompartmentDefinition/patient"],
        search_params=[
            SearchParam("_type", "special", documentation="the resource types of a search over several types"),
            *(
                SearchParam(one.code, one.type, one.url)
                for one in definitions.of(RESOURCE_TYPES[0]).values()
                if one.code.startswith("_")
            ),
        ],
        formats=("application/fhir+json", "json", "application/fhir+xml", "xml"),
        patch_formats=(PATCH_JSON, MERGE_JSON, "application/fhir+json", "application/fhir+xml"),
        security="SMART App Launch: a bearer token with scopes says who asks and what they may do.",
        oauth=_oauth(world),
    )


def _oauth(world: World) -> list[tuple[str, str]]:
    """The endpoints that the authorization server's own metadata name."""
    said = discovery.smart_configuration(world)
    members = {
        "authorize": "authorization_endpoint",
        "token": "token_endpoint",
        "introspect": "introspection_endpoint",
        "revoke": "revocation_endpoint",
        "register": "registration_endpoint",
        "manage": "management_endpoint",
    }
    return [(name, said[member]) for name, member in members.items() if member in said]


def _type(world: World, definitions: Definitions, type_: str) -> TypeDescription:
    mine = definitions.of(type_)
    return TypeDescription(
        type=type_,
        interactions=INTERACTIONS,
        search_params=[
            SearchParam(one.code, one.type, one.url, ANSWERS[one.type] if one.sealed else "") for one in mine.values()
        ],
        includes=[f"{type_}:{one.code}" for one in mine.values() if one.type == "reference"],
        revincludes=[
            f"{other}:{one.code}"
            for other in RESOURCE_TYPES
            for one in definitions.of(other).values()
            if one.type == "reference" and type_ in one.targets
        ],
        profiles=(*world.artifacts.profiles_of(type_), *BACKPORT_PROFILES.get(type_, ())),
        topics=sorted(world.topics.by_url) if type_ == "Subscription" else (),
        operations=_operations(world, type_),
        read_history=True,
        update_create=True,
        conditional_create=True,
        conditional_read="full-support",
        conditional_update=True,
        conditional_delete="single",
        reference_policy=("literal", "logical", "local"),
    )


def _artifact_type(world: World, type_: str) -> TypeDescription:
    return TypeDescription(
        type=type_,
        interactions=("read", "search-type"),
        search_params=[SearchParam(one.code, one.type, one.url) for one in world.shelf.definitions.of(type_).values()],
        operations=_operations(world, type_),
        versioning="no-version",
        conditional_read="full-support",
        documentation="Part of the server: read and searched, not written.",
    )


def _audit_type() -> TypeDescription:
    return TypeDescription(
        type=AUDIT_EVENT,
        interactions=("read", "search-type"),
        search_params=[SearchParam(*one) for one in audit_parameters.described()],
        profiles=[f"{PROFILE}{one}" for one in BALP],
        versioning="no-version",
        documentation="The access record, for auditors and for the patients themselves. Nobody writes it.",
    )


def _operations(world: World, type_: str) -> list[tuple[str, str]]:
    return [(name, definition_url(world, one)) for name, one in table.offered(type_)]


def definition_url(world: World, one: table.Operation) -> str:
    """The canonical URL of an operation's OperationDefinition."""
    ours = world.artifacts.operation_definitions.get(one.definition)
    return str(ours["url"]) if ours else one.definition
