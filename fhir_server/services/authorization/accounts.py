"""Accounts of people, as tokens need them."""

from __future__ import annotations

from typing import Any

from fhir_server.access.account import Account
from fhir_server.access.caller import Role
from fhir_server.services.world import World

FIELDS = ("username", "name", "fhir_user", "second_factor", "disabled")


async def account(world: World, id_: str) -> Account | None:
    """The account with that id."""
    found: dict[str, Any] | None = await world.store.connection.collection("accounts").find_one({"_id": id_})
    if found is None:
        return None
    plain = {name: found[name] for name in FIELDS if name in found}
    return Account(
        id=found["_id"],
        role=Role(found["role"]),
        persons=tuple(found.get("persons", ())),
        clinics=frozenset(found.get("clinics", ())),
        **plain,
    )
