"""One cell of the table: a case at a number of callers, in rounds of server, bare answer and bare driver."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from http.client import HTTPConnection
from typing import Any

from bench.calls import CASES
from bench.clinic import Clinic
from bench.machine import Crewed, Meter, Served

ROUNDS = 3
WARM_UP = 0.4


@dataclass(slots=True)
class Side:
    """What one side did: calls a second, latencies, CPU in ms a call by process; medians of the rounds."""

    rate: float = 0
    p50: float = 0
    p99: float = 0
    cpu: dict[str, float] = field(default_factory=dict)

    @property
    def total(self) -> float:
        return sum(self.cpu.values())


@dataclass(slots=True)
class Cell:
    """One row: the server, the same without its guard, its two floors, and the ratio of their CPU.

    ``added`` is the CPU that the guard adds, as a part of what the server costs without it.
    """

    case: str
    callers: int
    calls: int
    server: Side
    unguarded: Side
    bare: Side
    driver: Side
    ratio: float = 0
    added: float = 0

    def verdict(self) -> str:
        """``yes`` or ``no`` where the case has an aim."""
        case = CASES[self.case]
        if case.aim is not None:
            return "yes" if self.ratio <= case.aim else "no"
        if case.aim_ms is not None and self.callers == 1:
            return "yes" if self.server.p50 <= case.aim_ms else "no"
        return ""

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"title": CASES[self.case].title, "within_aim": self.verdict() or None}


@dataclass(frozen=True, slots=True)
class Bench:
    """The processes of a run and how far each case has counted."""

    clinic: Clinic
    server: Served
    unguarded: Served
    bare: Served
    database: Meter
    load: Crewed
    driver: Crewed
    token: Callable[[], str]
    counted: dict[tuple[int, str], int] = field(default_factory=dict)

    def cell(self, case: str, callers: int, seconds: float) -> Cell:
        """Measure; each side runs for ``seconds`` in all."""
        token = self.token()
        recorded = self._record(case, token)
        samples: dict[str, list[tuple[float, list[int], dict[str, float]]]] = {
            "server": [], "unguarded": [], "bare": [], "driver": [],
        }  # fmt: skip
        for number in range(ROUNDS + 1):
            length = seconds / ROUNDS if number else WARM_UP
            for side, sample in (
                ("server", self._server(self.server, case, callers, length, token)),
                ("unguarded", self._server(self.unguarded, case, callers, length, token)),
                ("bare", self._bare(recorded, callers, length)),
                ("driver", self._driver(case, recorded, callers, length)),
            ):
                if number:
                    samples[side].append(sample)
        sides = {name: _side(each) for name, each in samples.items()}
        calls = sum(len(micros) for _, micros, _ in samples["server"])
        cell = Cell(case, callers, calls, sides["server"], sides["unguarded"], sides["bare"], sides["driver"])
        # The rounds are neighbours in time, so each has its own ratio; a noisy one does not decide.
        cell.ratio = statistics.median(
            sum(one[2].values()) / (sum(low[2].values()) + sum(base[2].values()))
            for one, low, base in zip(samples["server"], samples["bare"], samples["driver"], strict=True)
        )
        cell.added = statistics.median(
            sum(one[2].values()) / sum(without[2].values()) - 1
            for one, without in zip(samples["server"], samples["unguarded"], strict=True)
        )
        return cell

    def _record(self, case: str, token: str) -> list[dict[str, Any]]:
        known = (self.server.port, case)
        n = self.counted.get(known, 0)
        found = self.load.order("record", case=case, port=self.server.port, first=self._first, n=n, token=token)
        self.counted[known] = n + 1
        exchanges: list[dict[str, Any]] = found["exchanges"]
        return exchanges

    @property
    def _first(self) -> str:
        return self.clinic.first.isoformat()

    def _server(
        self, server: Served, case: str, callers: int, seconds: float, token: str
    ) -> tuple[float, list[int], dict[str, float]]:
        known = (server.port, case)
        order = {"case": case, "port": server.port, "first": self._first, "callers": callers, "token": token}
        self.load.order("open", n=self.counted.get(known, 0), **order)
        sample, self.counted[known] = _run(self.load, seconds, {"server": server.meter, "database": self.database})
        return sample

    def _bare(
        self, recorded: Sequence[dict[str, Any]], callers: int, seconds: float
    ) -> tuple[float, list[int], dict[str, float]]:
        _learn(self.bare.port, recorded)
        replay = [one["request"] for one in recorded]
        self.load.order("open", replay=replay, port=self.bare.port, callers=callers, n=0)
        return _run(self.load, seconds, {"server": self.bare.meter})[0]

    def _driver(
        self, case: str, recorded: Sequence[dict[str, Any]], callers: int, seconds: float
    ) -> tuple[float, list[int], dict[str, float]]:
        last = [{"body": recorded[-1]["body"]}]
        self.driver.order("open", case=case, first=self._first, callers=callers, n=0, exchanges=last)
        return _run(self.driver, seconds, {"client": self.driver.meter, "database": self.database})[0]


def _run(
    crew: Crewed, seconds: float, meters: dict[str, Meter]
) -> tuple[tuple[float, list[int], dict[str, float]], int]:
    before = {name: meter.milliseconds() for name, meter in meters.items()}
    answer = crew.order("run", seconds=seconds)
    micros: list[int] = answer["micros"]
    used = {name: (meter.milliseconds() - before[name]) / len(micros) for name, meter in meters.items()}
    crew.order("close")
    return (len(micros) / answer["seconds"], micros, used), answer["n"]


def _side(samples: Sequence[tuple[float, list[int], dict[str, float]]]) -> Side:
    micros = sorted(one for _, each, _ in samples for one in each)
    return Side(
        statistics.median(rate for rate, _, _ in samples),
        micros[len(micros) // 2] / 1000,
        micros[min(len(micros) - 1, len(micros) * 99 // 100)] / 1000,
        {name: statistics.median(cpu[name] for _, _, cpu in samples) for name in samples[0][2]},
    )


def _learn(port: int, recorded: Sequence[dict[str, Any]]) -> None:
    """Teach the bare server the answers; it is one process, so one request does."""
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("POST", "/learn", json.dumps(recorded).encode())
    connection.getresponse().read()
    connection.close()
