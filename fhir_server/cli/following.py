"""The worker and beat that `fhir-server dev` starts beside the server; they end with it."""

from __future__ import annotations

import sys
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from fhir_server.cli.dev_settings import variables
from fhir_server.embedded import child

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fhir_server.embedded.folder import Folder
    from fhir_server.settings import Settings

STOP_SECONDS = 10.0


@contextmanager
def following(settings: Settings, folder: Folder) -> Iterator[None]:
    """Run them with these settings; their logs are ``worker.log`` and ``beat.log`` in the folder."""
    stated = variables(settings)
    with ExitStack() as running:
        for name in ("worker", "beat"):
            command = [sys.executable, "-m", "fhir_server.cli.main", name]
            started = child.start(command, folder.path / f"{name}.log", keep=(folder.lock,), more=stated)
            running.callback(started.stop, STOP_SECONDS)
        yield
