"""Logins, as tokens that die with them need them."""

from __future__ import annotations

from fhir_server.services.world import World


async def alive(world: World, session_id: str) -> bool:
    """Whether that login has neither ended nor been idle for too long."""
    found = await world.store.connection.collection("sessions").find_one({"_id": session_id}, {"_id": 1})
    return found is not None
