"""Both databases of one instance, started together and stopped together."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from fhir_server.embedded import mongo, redis
from fhir_server.embedded.folder import Folder

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Databases:
    """Where they are, one line on each, and the data folder; a context manager that stops what was started."""

    mongo_uri: str
    redis_url: str
    notes: tuple[str, ...]
    folder: Folder
    _running: contextlib.ExitStack

    def stop(self) -> None:
        """Stop the children, then release the folder; safe to call twice."""
        self._running.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def start(
    path: Path,
    mongo_uri: str | None = None,
    redis_url: str | None = None,
    *,
    docker: bool = True,
    reset: bool = False,
) -> Databases:
    """Lock the data folder ``path``, then find or start MongoDB and Redis.

    Call from the main thread, which must live as long as the databases. ``docker`` allows containers as a last
    resort. ``reset`` deletes the data of earlier runs first. Raises Refused; then nothing is left running.
    """
    running = contextlib.ExitStack()
    try:
        folder = running.enter_context(Folder.open(path, reset=reset))
        first = running.enter_context(mongo.start(folder, mongo_uri, allow_docker=docker))
        second = running.enter_context(redis.start(folder, redis_url, allow_docker=docker))
    except BaseException:
        running.close()
        raise
    return Databases(first.url, second.url, (*first.notes, *second.notes), folder, running)
