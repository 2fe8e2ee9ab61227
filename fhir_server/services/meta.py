"""``$meta``, ``$meta-add`` and ``$meta-delete``, https://hl7.org/fhir/R4/resource-operation-meta.html.

Profiles, tags and security labels of the current version are added to or taken away; everything else stays. Two labels
are the same when system and code are. A change makes a new version, as any other change of a resource does; what
changes nothing makes none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fhir_server.fhir.json import parse
from fhir_server.services import resources
from fhir_server.services.conditions import Condition
from fhir_server.services.world import Caller, World
from fhir_server.store.resources import Stored

Meta = Mapping[str, Any]
Edit = Callable[[Meta, Meta], dict[str, Any]]
LISTS = ("profile", "security", "tag")


def meta_of(stored: Stored) -> Meta:
    """The meta of a version."""
    found: Meta = parse(stored.body).get("meta") or {}
    return found


def added(meta: Meta, more: Meta) -> dict[str, Any]:
    """The meta with what it does not have yet."""
    lists = {}
    for name in LISTS:
        known = {_key(one): one for one in meta.get(name, ())}
        fresh = {_key(one): one for one in more.get(name, ()) if _key(one) not in known}
        lists[name] = [*meta.get(name, ()), *fresh.values()]
    return _with(meta, lists)


def without(meta: Meta, fewer: Meta) -> dict[str, Any]:
    """The meta without what is named; what it does not have is no fault."""
    named = {name: {_key(one) for one in fewer.get(name, ())} for name in LISTS}
    return _with(meta, {name: [one for one in meta.get(name, ()) if _key(one) not in named[name]] for name in LISTS})


def _with(meta: Meta, lists: Mapping[str, list[Any]]) -> dict[str, Any]:
    rest = {name: value for name, value in meta.items() if name not in {*LISTS, "_profile"}}
    # Extensions of a profile stand in a list of their own, in step with the profiles.
    beside = dict(zip(meta.get("profile", ()), meta.get("_profile", ()), strict=False))
    extensions = [beside.get(one) for one in lists["profile"]]
    if any(extensions):
        rest["_profile"] = extensions
    return rest | {name: values for name, values in lists.items() if values}


def _key(one: Any) -> Any:
    return (one.get("system", ""), one.get("code", "")) if isinstance(one, dict) else one


async def change(
    world: World, caller: Caller, type_: str, id_: str, edit: Edit, given: Meta, condition: Condition
) -> Stored:
    """Store the current version with its meta edited; the version that is current then.

    :param given: a checked Meta whose labels have a system or a code.
    :raises Problem: 404, 410, 412 for the condition, and what the resource's own rules refuse.
    """

    def edited(before: dict[str, Any]) -> dict[str, Any]:
        meta = edit(before.get("meta") or {}, given)
        rest = {name: value for name, value in before.items() if name != "meta"}
        return {**rest, "meta": meta} if meta else rest

    written = await resources.patch(world, caller, type_, id_, edited, condition)
    return written.stored
