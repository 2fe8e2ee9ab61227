"""What people allowed apps, shown to them and taken back."""

from __future__ import annotations

from fhir_server.services.world import World
from fhir_server.store.authorization.grants import Grant

__all__ = ["Grant", "apps_of", "end", "revoke"]


async def apps_of(world: World, account_id: str) -> list[Grant]:
    """What stands of an account, newest first."""
    return await world.store.authorization.grants.of_account(account_id)


async def revoke(world: World, grant_id: str, account_id: str) -> bool:
    """Take back one's own grant: its tokens open nothing from now on. Whether it stood."""
    stood = await world.store.authorization.grants.revoke(grant_id, account_id)
    if stood:
        await world.store.access_epoch.moved()
    return stood


async def end(world: World, grant_id: str) -> None:
    """End a grant whose code or refresh token was used twice, or given back."""
    await world.store.authorization.grants.revoke(grant_id)
    await world.store.access_epoch.moved()
