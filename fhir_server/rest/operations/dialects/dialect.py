"""What a dialect is: how a guide's request is told apart, read, and answered. One engine serves them all.

A further dialect is one module beside this one and a line in ``table.DIALECTS``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from fhir_server.errors import Problem
from fhir_server.fhir.parameters import Arguments
from fhir_server.rest.answer import Answer
from fhir_server.rest.context import Context
from fhir_server.services.targets import Target
from fhir_server.store.resources import Stored


@dataclass(frozen=True, slots=True)
class Act:
    """What a request asks: ``hold`` or ``book``, or (IHE overloads ``$book``) ``cancel`` or ``move`` of ``id``."""

    verb: str
    target: Target
    id: str = ""


class Dialect(Protocol):
    """One guide's contract for ``$hold`` and ``$book``."""

    def speaks(self, given: Arguments) -> bool:
        """Whether the names of the arguments are this guide's."""
        ...

    def act(self, verb: str, given: Arguments) -> Act:
        """What is asked.

        :raises Problem: 400 for missing or malformed arguments.
        """
        ...

    def accepted(self, context: Context, act: Act, stored: Stored, status: int) -> Answer:
        """The answer to a success."""
        ...

    def refused(self, context: Context, act: Act, refusal: Problem) -> Answer | None:
        """The answer to a refusal in the guide's own shape; None to answer it as everywhere else."""
        ...
