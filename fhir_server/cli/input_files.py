"""FHIR resources in files: where each one lies, ordered so that what others refer to comes first.

    *.json, *.json.gz                  one resource, or a Bundle whose entries count one by one
    everything else (*.ndjson, *.gz)   one resource a line

A first pass notes type and place of every resource in 32 bytes; a second one reads them one at a time. Compressed files
and pipes go through a temporary file, because a place in them cannot be found again.
"""

from __future__ import annotations

import gzip
import mmap
import shutil
import tempfile
import zlib
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Literal, Self

import orjson

from fhir_server.cli.bundle_entries import Broken, Entry, entries

TYPE_ORDER = (
    *("Organization", "Location", "Practitioner", "PractitionerRole", "HealthcareService", "Device", "Patient"),
    *("RelatedPerson", "Coverage", "Consent", "Schedule", "Slot", "ServiceRequest", "Appointment"),
    *("AppointmentResponse", "Encounter", "Flag", "CommunicationRequest", "Communication", "Subscription"),
)
"""What others refer to first; types that are not named follow in alphabetical order."""

UNREADABLE = "(unreadable)"
"""Stands for the type where none can be read."""

SUFFIXES = (".json", ".ndjson", ".jsonl")
"""Endings, before an optional ``.gz``, of the files that are read out of a folder."""

_BOM = b"\xef\xbb\xbf"
_WHOLE = -1
_COLUMNS = 4

Form = Literal["lines", "bundle"]


@dataclass(frozen=True, slots=True)
class Found:
    """One resource: its type, its place for people (``file:line``, ``file:entry[i]``) and its bytes as they lie there.

    ``given_id`` is the id that the ``urn:uuid:`` full URL of a Bundle entry gives to a resource without one.
    """

    type: str
    place: str
    raw: bytes
    given_id: str = ""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A piece of input that is no resource, and why."""

    place: str
    reason: str
    type: str = UNREADABLE


@dataclass(frozen=True, slots=True)
class _Source:
    label: str
    path: Path | None  # None = in the temporary file
    form: Form


def files_in(paths: Iterable[Path]) -> Iterator[Path]:
    """The files that are named, and those below a folder that have one of ``SUFFIXES``, by name.

    Raises ``FileNotFoundError`` for a path that does not exist.
    """
    for path in paths:
        if path.is_dir():
            yield from sorted(one for one in path.rglob("*") if one.is_file() and _stem(one).endswith(SUFFIXES))
        elif path.exists():
            yield path
        else:
            raise FileNotFoundError(path)


def _stem(path: Path) -> str:
    return path.name.lower().removesuffix(".gz")


class InputFiles:
    """The resources of some files; a context manager, because it may keep a temporary file.

    ``unreadable`` holds what is no resource. ``urns`` maps the ``urn:`` full URLs of Bundle entries to ``Type/id``.
    """

    def __init__(self) -> None:
        self.unreadable: list[Unreadable] = []
        self.urns: dict[str, str] = {}
        self._sources: list[_Source] = []
        self._rows: dict[str, array[int]] = {}
        self._given: dict[tuple[int, int], str] = {}
        self._unpacked: IO[bytes] | None = None
        self._open: tuple[int, IO[bytes]] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()
        if self._unpacked is not None:
            self._unpacked.close()

    def __len__(self) -> int:
        """How many resources ``found`` gives."""
        return sum(len(rows) for rows in self._rows.values()) // _COLUMNS

    @property
    def types(self) -> tuple[str, ...]:
        """The types that occur, in the order in which ``found`` gives them."""
        known = tuple(type_ for type_ in TYPE_ORDER if type_ in self._rows)
        return known + tuple(sorted(self._rows.keys() - set(TYPE_ORDER)))

    def add(self, path: Path) -> None:
        """Note every resource of one file; what cannot be read joins ``unreadable``."""
        form: Form = "bundle" if _stem(path).endswith(".json") else "lines"
        number = len(self._sources)
        try:
            if path.name.lower().endswith(".gz") or not path.is_file():
                self._sources.append(_Source(str(path), None, form))
                file, start, end = self._unpack(path)
                self._note(number, file, start, end)
            else:
                self._sources.append(_Source(str(path), path, form))
                with path.open("rb") as file:
                    self._note(number, file, 0, path.stat().st_size)
        except OSError as fault:
            self.unreadable.append(Unreadable(str(path), f"cannot be read: {fault.strerror or fault}"))

    def found(self) -> Iterator[Found]:
        """Every resource that was noted, type by type, within a type in the order of the input."""
        for type_ in self.types:
            rows = self._rows[type_]
            for at in range(0, len(rows), _COLUMNS):
                number, offset, length, nth = rows[at : at + _COLUMNS]
                file = self._file(number)
                file.seek(offset)
                yield Found(type_, self._place(number, nth), file.read(length), self._given.get((number, nth), ""))
        self._close()

    def _note(self, number: int, file: IO[bytes], start: int, end: int) -> None:
        if self._sources[number].form == "lines":
            self._note_lines(number, file, start, end)
        elif start == end:
            self._refuse(number, _WHOLE, "the file is empty")
        else:
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as buffer:
                skip = len(_BOM) if buffer[start : start + len(_BOM)] == _BOM else 0
                self._note_json(number, buffer, start + skip, end)

    def _note_lines(self, number: int, file: IO[bytes], start: int, end: int) -> None:
        file.seek(start)
        offset, line = start, 0
        while offset < end:
            raw = file.readline(end - offset)
            line += 1
            skip = len(_BOM) if line == 1 and raw.startswith(_BOM) else 0
            if raw[skip:].strip():
                self._note_resource(number, line, raw[skip:], offset + skip)
            offset += len(raw)

    def _note_json(self, number: int, buffer: mmap.mmap, start: int, end: int) -> None:
        try:
            bundle = entries(buffer, start, end)
        except Broken as fault:
            self._refuse(number, _WHOLE, str(fault))
            return
        if bundle is None:
            self._note_resource(number, _WHOLE, buffer[start:end], start)
            return
        for nth, entry in enumerate(bundle):
            if entry.length == 0:
                self._refuse(number, nth, "the entry has no resource")
            else:
                raw = buffer[entry.offset : entry.offset + entry.length]
                self._note_resource(number, nth, raw, entry.offset, entry)

    def _note_resource(self, number: int, nth: int, raw: bytes, offset: int, entry: Entry | None = None) -> None:
        try:
            resource = orjson.loads(raw)
        except orjson.JSONDecodeError as fault:
            self._refuse(number, nth, f"not JSON: {fault.msg} at column {fault.colno}")
            return
        type_ = resource.get("resourceType") if isinstance(resource, dict) else None
        if not isinstance(type_, str) or not type_:
            self._refuse(number, nth, "not a FHIR resource: it has no resourceType")
            return
        self._rows.setdefault(type_, array("q")).extend((number, offset, len(raw), nth))
        if entry is not None and entry.full_url.startswith("urn:"):
            self._note_urn(number, nth, entry.full_url, resource)

    def _note_urn(self, number: int, nth: int, full_url: str, resource: dict[str, Any]) -> None:
        if not resource.get("id"):
            self._given[number, nth] = full_url.rpartition(":")[2]
        self.urns[full_url] = f"{resource['resourceType']}/{resource.get('id') or full_url.rpartition(':')[2]}"

    def _refuse(self, number: int, nth: int, reason: str) -> None:
        self.unreadable.append(Unreadable(self._place(number, nth), reason))

    def _place(self, number: int, nth: int) -> str:
        source = self._sources[number]
        if nth == _WHOLE:
            return source.label
        return f"{source.label}:{nth}" if source.form == "lines" else f"{source.label}:entry[{nth}]"

    def _unpack(self, path: Path) -> tuple[IO[bytes], int, int]:
        """Append the content of a compressed file or a pipe to the temporary file; where it lies there."""
        if self._unpacked is None:
            self._unpacked = tempfile.TemporaryFile()  # noqa: SIM115  closed when the context ends
        file = self._unpacked
        start = file.seek(0, 2)
        try:
            with gzip.open(path) if path.name.lower().endswith(".gz") else path.open("rb") as packed:
                shutil.copyfileobj(packed, file, 1 << 20)
        except (gzip.BadGzipFile, EOFError, zlib.error):
            # What came out so far is still read.
            self.unreadable.append(Unreadable(str(path), "the gzip data is damaged or ends early"))
        end = file.tell()
        file.flush()
        return file, start, end

    def _file(self, number: int) -> IO[bytes]:
        path = self._sources[number].path
        if path is None:
            assert self._unpacked is not None
            return self._unpacked
        if self._open is None or self._open[0] != number:
            self._close()
            self._open = (number, path.open("rb"))
        return self._open[1]

    def _close(self) -> None:
        if self._open is not None:
            self._open[1].close()
            self._open = None
