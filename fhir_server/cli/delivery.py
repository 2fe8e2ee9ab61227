"""Deliver many resources: type after type, several at a time within a type, and count what became of each one."""

from __future__ import annotations

import asyncio
import itertools
import sys
import zlib
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, NamedTuple, Self, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column, Table

LANES = 12
"""Deliveries under way at the same time."""

_QUEUED = 64

Content = TypeVar("Content")
Outcome = Literal["created", "present", "refused"]


@dataclass(frozen=True, slots=True)
class Item(Generic[Content]):
    """One resource to deliver; ``place`` tells people where it comes from. Items of one ``lane`` keep their order."""

    type: str
    place: str
    lane: str
    content: Content


class Answer(NamedTuple):
    """What became of an item; ``text`` says why it is refused."""

    outcome: Outcome
    text: str = ""


@dataclass(slots=True)
class Tally:
    """Answers by type and outcome; ``created + present + refused`` is everything that was put in."""

    counts: Counter[tuple[str, Outcome]] = field(default_factory=Counter)

    def add(self, type_: str, outcome: Outcome) -> None:
        self.counts[type_, outcome] += 1

    def total(self, outcome: Outcome) -> int:
        """Answers of one kind over all types."""
        return sum(count for (_, one), count in self.counts.items() if one == outcome)

    def table(self) -> Table:
        """A row for each type in the order of delivery, and a last one with the sums."""
        outcomes: tuple[Outcome, ...] = ("created", "present", "refused")
        table = Table("type", *(Column(outcome, justify="right") for outcome in outcomes))
        for type_ in dict.fromkeys(type_ for type_, _ in self.counts):
            table.add_row(type_, *(str(self.counts[type_, outcome]) for outcome in outcomes))
        table.add_section()
        table.add_row("all", *(str(self.total(outcome)) for outcome in outcomes))
        return table


class Account:
    """What people see of a delivery: a progress bar on a terminal, one line for each refusal, a table at the end.

    Progress and refusals go to stderr, the table to stdout.
    """

    def __init__(self, total: int | None, *, bar: bool = True) -> None:
        self.tally = Tally()
        self._err = Console(stderr=True, soft_wrap=True)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=self._err,
            transient=True,
            disable=not (bar and self._err.is_terminal),
        )
        self._task = self._progress.add_task("", total=total)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def note(self, type_: str, place: str, answer: Answer) -> None:
        """Count one answer and say at once why something is refused."""
        self.tally.add(type_, answer.outcome)
        self._progress.update(self._task, advance=1, description=type_)
        if answer.outcome == "refused":
            self.say(f"{place}: {answer.text}")

    def say(self, line: str) -> None:
        """One line on stderr, above the progress bar."""
        self._err.print(line, markup=False, highlight=False, emoji=False)

    def summary(self) -> None:
        """The table by type."""
        Console(file=sys.stdout).print(self.tally.table())


async def deliver(
    items: Iterable[Item[Content]],
    send: Callable[[Content], Awaitable[Answer]],
    note: Callable[[str, str, Answer], None],
    *,
    lanes: int = LANES,
) -> None:
    """Send every item; one type is done before the next begins. What ``send`` raises ends the delivery.

    An item's lane decides which of the ``lanes`` workers sends it, so that those that would get in each other's way
    (one resource twice, one practitioner's bookings) go one after the other.
    """
    for _, group in itertools.groupby(items, key=lambda item: item.type):
        queues: list[asyncio.Queue[Item[Content] | None]] = [asyncio.Queue(_QUEUED) for _ in range(lanes)]
        try:
            async with asyncio.TaskGroup() as workers:
                for queue in queues:
                    workers.create_task(_work(queue, send, note))
                for item in group:
                    await queues[zlib.crc32(item.lane.encode()) % lanes].put(item)
                for queue in queues:
                    await queue.put(None)
        except ExceptionGroup as faults:
            # The first cause speaks for all workers.
            raise faults.exceptions[0] from None


async def _work(
    queue: asyncio.Queue[Item[Content] | None],
    send: Callable[[Content], Awaitable[Answer]],
    note: Callable[[str, str, Answer], None],
) -> None:
    while (item := await queue.get()) is not None:
        note(item.type, item.place, await send(item.content))


def lane_of(resource: dict[str, Any]) -> str:
    """What a resource must wait its turn for: an Appointment its provider, a Slot its Schedule, others themselves."""
    type_ = resource.get("resourceType")
    if type_ == "Appointment":
        for participant in _objects(resource.get("participant")):
            reference = _reference(participant.get("actor"))
            if reference and not reference.startswith("Patient/"):
                return reference
    if type_ == "Slot" and (schedule := _reference(resource.get("schedule"))):
        return schedule
    return f"{type_}/{resource.get('id', '')}"


def _objects(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _reference(value: Any) -> str:
    reference = value.get("reference") if isinstance(value, dict) else None
    return reference if isinstance(reference, str) else ""
