"""A database that answers: its URL, the line that says what it is, and the child behind it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from fhir_server.embedded.child import Child


@dataclass(frozen=True, slots=True)
class Server:
    """``child`` is None where the database was given by URL; a context manager that stops the child."""

    url: str
    notes: tuple[str, ...]
    child: Child | None = None

    def stop(self) -> None:
        """Stop what was started; a given database is left alone."""
        if self.child is not None:
            self.child.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
