"""The worker and beat that `fhir-server dev` starts beside the server; they end with it."""

from __future__ import annotations

import sys
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from pydantic import SecretStr

from fhir_server.embedded import child

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fhir_server.embedded.folder import Folder
    from fhir_server.settings import Settings

STOP_SECONDS = 10.0


def _text(value: object) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)


@contextmanager
def following(settings: Settings, folder: Folder) -> Iterator[None]:
    """Run them with these settings; their logs are ``worker.log`` and ``beat.log`` in the folder."""
    stated = {
        f"FHIR_{name.upper()}": _text(getattr(settings, name))
        for name, field in type(settings).model_fields.items()
        if getattr(settings, name) != field.default
    }
    with ExitStack() as running:
        for name in ("worker", "beat"):
            command = [sys.executable, "-m", "fhir_server.cli.main", name]
            started = child.start(command, folder.path / f"{name}.log", keep=(folder.lock,), more=stated)
            running.callback(started.stop, STOP_SECONDS)
        yield
