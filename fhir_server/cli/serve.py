"""`fhir-server serve`: the server alone, its settings from the environment, its databases elsewhere."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from contextlib import contextmanager
from typing import TYPE_CHECKING

from fhir_server.cli.start import behind_proxy, bind, end_on_sigterm, read_settings, require_encryption, root_of
from fhir_server.embedded.refused import Refused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fhir_server.settings import Settings

OLDEST_PRODUCTION_MONGODB = (7, 0)
"""MongoDB 6.0 has had no fixes since July 2025."""

NO_TLS = "FHIR_BASE_URL is not https: no TLS is in front, so apps on other machines cannot be served."

_DRAIN_SECONDS = 30


def serve() -> None:
    """Start the server with the settings of the environment (FHIR_MONGO_URI, FHIR_PORT, …)."""
    import uvicorn
    from uvicorn.config import STARTUP_FAILURE
    from uvicorn.supervisors import Multiprocess

    settings = read_settings()
    encrypted = require_encryption(settings)
    require_database(settings)
    asyncio.run(_prepare(settings))
    end_on_sigterm()
    config = uvicorn.Config(
        "fhir_server.app:from_environment",
        factory=True,
        workers=settings.workers,
        access_log=False,
        log_config=None,
        proxy_headers=behind_proxy(),
        timeout_graceful_shutdown=_DRAIN_SECONDS,
    )
    with bind(settings.host, settings.port) as listener, _shared_metrics(settings.workers):
        base = settings.base_url or f"{root_of(settings.host, settings.port)}/fhir"
        if not encrypted:
            print(NO_TLS, file=sys.stderr, flush=True)
        print(f"FHIR base  {base}  ({settings.workers} workers)", flush=True)
        if settings.workers == 1:
            server = uvicorn.Server(config)
            server.run([listener])
            failed = not server.started
        else:
            os.environ["FHIR_SUPERVISOR_PID"] = str(os.getpid())
            parent = Multiprocess(config, [listener])
            parent.run()
            failed = any(worker.exitcode == STARTUP_FAILURE for worker in parent.processes)
    if failed:
        sys.exit(STARTUP_FAILURE)


async def _prepare(settings: Settings) -> None:
    """Keys, collections and indexes, once before the workers start; refuse data of a newer server or other keys."""
    from fhir_server.bootstrap import open_world

    async with open_world(settings):
        pass


@contextmanager
def _shared_metrics(workers: int) -> Iterator[None]:
    """A folder in which the worker processes count together, gone when they are."""
    if workers == 1 or "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="fhir-metrics-") as folder:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
        yield


def require_database(settings: Settings) -> None:
    """Raises Refused: MongoDB does not answer, is standalone, or is too old for production."""
    from fhir_server.embedded import mongo
    from fhir_server.store import admin

    mongo.given(settings.mongo_address)
    version = admin.server_version(settings.mongo_address)
    if settings.environment == "production" and version[:2] < OLDEST_PRODUCTION_MONGODB:
        shown = ".".join(str(part) for part in version)
        raise Refused(
            f"MongoDB {shown} is too old for production: 6.0, the embedded one too, is out of support and its builds "
            "before 6.0.27 leak memory to anyone who can connect (CVE-2025-14847).",
            "use MongoDB 7.0.28, 8.0.17 or newer",
            "or, not for patients: FHIR_ENVIRONMENT=development",
        )
