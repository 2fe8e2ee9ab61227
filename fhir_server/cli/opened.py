"""Commands that work on the database: they open the world of the settings, and say in one sentence what fails."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from fhir_server.services.world import World
    from fhir_server.settings import Settings

T = TypeVar("T")


def run(work: Callable[[World], Awaitable[T]], mongo_uri: str | None = None, settings: Settings | None = None) -> T:
    """What the work gives, with these settings or those of the environment.

    :raises Refused: settings that do not do, or MongoDB does not answer.
    """
    import asyncio

    from fhir_server.bootstrap import open_world
    from fhir_server.cli.start import read_settings
    from fhir_server.embedded.refused import Refused
    from fhir_server.store.driver import PyMongoError

    chosen = settings or read_settings(**({"mongo_uri": mongo_uri} if mongo_uri else {}))

    async def opened() -> T:
        async with open_world(chosen) as found:
            return await work(found.world)

    try:
        return asyncio.run(opened())
    except PyMongoError as failed:
        msg = "MongoDB does not answer; check FHIR_MONGO_URI or start it."
        raise Refused(msg) from failed
