"""What `fhir-server dev` lets other commands know of it: its settings, in a file of its data folder while it runs.

The file is for shells as well: ``. settings.sh`` gives every command the databases and the keys of that `dev`.
"""

from __future__ import annotations

import os
import shlex
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import SecretStr

from fhir_server.cli.start import read_settings
from fhir_server.embedded.refused import Refused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fhir_server.settings import Settings

FILE = "settings.sh"
HELP = "Data folder of fhir-server dev; its own is looked at where neither FHIR_MONGO_URI nor FHIR_KEYS is set."


def data_folder(*, time_lapse: bool = False) -> Path:
    """Where `dev` keeps its data unless told otherwise. https://specifications.freedesktop.org/basedir-spec/latest/."""
    base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(base) / "fhir-server" / ("time-lapse" if time_lapse else "dev")


def variables(settings: Settings) -> dict[str, str]:
    """The environment that gives another process these settings."""
    return {
        f"FHIR_{name.upper()}": _text(getattr(settings, name))
        for name, field in type(settings).model_fields.items()
        if getattr(settings, name) != field.default
    }


@contextmanager
def told(settings: Settings, folder: Path) -> Iterator[Path]:
    """The file in ``folder``, for its owner alone, as long as `dev` runs: it may hold the password of a mail server."""
    path = folder / FILE
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.writelines(f"export {name}={shlex.quote(value)}\n" for name, value in variables(settings).items())
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def settings_beside(data: Path | None, mongo_uri: str | None = None) -> Settings:
    """Settings of the `dev` whose data folder is named, else of the environment.

    An environment that names neither a database nor keys means the `dev` of the usual folder, else a time-lapse run, if
    one runs; that is said on stderr.

    :raises Refused: no such `dev` runs, or settings that are not valid.
    """
    if data is not None:
        if not (data / FILE).is_file():
            raise Refused(f"No fhir-server dev runs on {data}.", f"start it: fhir-server dev --data {data}")
        return read_settings(**_read(data / FILE))
    stated = mongo_uri or os.environ.get("FHIR_MONGO_URI") or os.environ.get("FHIR_KEYS")
    for usual in (data_folder(), data_folder(time_lapse=True)):
        if not stated and (usual / FILE).is_file():
            print(f"This is about fhir-server dev on {usual}.", file=sys.stderr)
            return read_settings(**_read(usual / FILE))
    settings = read_settings(**({"mongo_uri": mongo_uri} if mongo_uri else {}))
    if not stated:
        raise Refused(
            f"FHIR_KEYS is not set, and no fhir-server dev runs on {data_folder()}.",
            "for a dev on another folder: --data DIR",
            "for a server: set FHIR_MONGO_URI, FHIR_KEYS and what else it has",
        )
    return settings


def _read(path: Path) -> dict[str, str]:
    words = shlex.split(path.read_text(encoding="utf-8"))
    pairs = (one.partition("=") for one in words if one != "export")
    return {name.removeprefix("FHIR_").lower(): value for name, _, value in pairs}


def _text(value: object) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)
