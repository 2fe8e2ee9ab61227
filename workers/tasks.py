"""The tasks: three lines each; what they do is a use case."""

from __future__ import annotations

from celery import Celery

from fhir_server.services.following.leading import hand_out
from fhir_server.services.following.performing import LONGEST_SECONDS, perform
from fhir_server.services.upkeep import settle
from workers import metrics
from workers.app import DUE, PERFORM, UPKEEP
from workers.runtime import Runtime

LONGEST = LONGEST_SECONDS + 10
TICK_SECONDS = 30.0


def register(app: Celery, runtime: Runtime) -> None:
    """Give the application its tasks."""

    @app.task(name=PERFORM)  # type: ignore[untyped-decorator]  # the library has no types
    def _perform(kind: str, key: str) -> None:
        with metrics.performing(kind) as done:
            done(runtime.call(perform(runtime.world, kind, key), LONGEST))

    @app.task(name=DUE)  # type: ignore[untyped-decorator]
    def _due() -> None:
        runtime.call(hand_out(runtime.world, runtime.give), TICK_SECONDS)

    @app.task(name=UPKEEP)  # type: ignore[untyped-decorator]
    def _upkeep() -> None:
        runtime.call(settle(runtime.world), TICK_SECONDS)
