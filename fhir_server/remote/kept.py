"""Messages of development: each is a file in a folder, instead of going to a person.

``<ms>-<channel>-<id>.json``: ``{at, channel, to, …}`` with what the channel was given. A message that is sent again
under its id replaces its file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from fhir_server.remote.sending import Sent

_Message_contra = TypeVar("_Message_contra", contravariant=True)
_NAME = re.compile(r"[^A-Za-z0-9._-]")
NAME = "folder"


@dataclass(frozen=True, slots=True)
class Kept(Generic[_Message_contra]):
    """A channel into the folder; ``clock`` gives milliseconds since the epoch."""

    folder: Path
    channel: str
    clock: Callable[[], int]
    name: str = NAME

    async def send(self, message: _Message_contra) -> Sent:
        """Write it down."""
        given: dict[str, Any] = asdict(message)  # type: ignore[call-overload]  # every message is a dataclass
        keep(self.folder, self.channel, given, self.clock())
        return Sent(self.name, given["id"])

    async def close(self) -> None:
        """Nothing is kept open."""


def keep(folder: Path, channel: str, message: Mapping[str, Any], at: int) -> None:
    """Write a message into the folder; bytes become text."""
    folder.mkdir(parents=True, exist_ok=True)
    id_ = _part(str(message["id"]))
    for former in folder.glob(f"*-{channel}-{id_}.json"):
        former.unlink(missing_ok=True)
    said = {name: one.decode(errors="replace") if isinstance(one, bytes) else one for name, one in message.items()}
    path = folder / f"{at:014d}-{channel}-{id_}.json"
    half = path.with_suffix(".half")
    half.write_text(json.dumps({"at": at, "channel": channel, **said}, ensure_ascii=False), encoding="utf-8")
    half.replace(path)


def kept(folder: Path, most: int = 200) -> list[dict[str, Any]]:
    """The last messages, newest first."""
    return _read(sorted(folder.glob("*.json"), reverse=True)[:most])


def kept_as(folder: Path, id_: str) -> dict[str, Any] | None:
    """The message of this id."""
    return next((one for one in _read(folder.glob(f"*-{_part(id_)}.json")) if one["id"] == id_), None)


def _part(id_: str) -> str:
    """What a file's name has of an id."""
    return _NAME.sub("-", id_)[:100]


def _read(paths: Iterable[Path]) -> list[dict[str, Any]]:
    found = []
    for path in paths:
        try:
            found.append(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError):
            continue  # replaced meanwhile
    return found
