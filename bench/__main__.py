"""``python -m bench``: start everything, measure, print the table, write the JSON."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

from bench import guard, report
from bench.calls import CASES
from bench.clinic import Clinic
from bench.machine import Failed, Meter, Served, crew, serving
from bench.measure import Bench, Cell
from bench.seed import seed
from fhir_server.embedded import mongo
from fhir_server.embedded.folder import Folder
from fhir_server.settings import Settings

RESULTS = Path(__file__).parent / "results"
NATIVE = ("uvloop", "httptools")


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure a running server beside its floors.")
    parser.add_argument("--seconds", type=float, default=5, help="length of each side of each row (default 5)")
    parser.add_argument("--callers", default="1,16,64", help="callers at once (default 1,16,64)")
    parser.add_argument("--only", default="", help=f"cases, out of {','.join(CASES)}; a prefix will do")
    parser.add_argument("--workers", type=int, default=1, help="server processes (default 1)")
    parser.add_argument("--json", type=Path, help="where the numbers go (default bench/results/<time>.json)")
    found = parser.parse_args()
    found.callers = [int(one) for one in found.callers.split(",")]
    wanted = [one for one in found.only.split(",") if one]
    found.cases = [name for name in CASES if not wanted or any(name.startswith(one) for one in wanted)]
    if not found.cases:
        parser.error(f"--only names no case; there are {', '.join(CASES)}")
    return found


def main() -> int:
    """0 when every row was measured; the aims are shown and do not decide."""
    asked = _arguments()
    with ExitStack() as running:
        folder = running.enter_context(Folder.open(Path(running.enter_context(tempfile.TemporaryDirectory()))))
        database = running.enter_context(mongo.start(folder, allow_docker=False))
        assert database.child is not None
        _say(database.notes[0])
        settings = Settings(
            mongo_uri=database.url, mongo_database="bench", environment="development",
            keys=f"file:{folder.path / 'key'}",
        )  # fmt: skip
        clinic, without = Clinic.now(), settings.model_copy(update={"mongo_database": "bench_unguarded"})
        asyncio.run(seed(settings, clinic, _say))
        with guard.unsealed():
            asyncio.run(seed(without, clinic, _say))
        environment = {
            "FHIR_MONGO_URI": settings.mongo_uri, "FHIR_MONGO_DATABASE": settings.mongo_database,
            "FHIR_KEYS": settings.keys, "FHIR_LOG_LEVEL": "error", "FHIR_ENVIRONMENT": settings.environment,
        }  # fmt: skip
        server = running.enter_context(
            serving("fhir_server.app:from_environment", environment, factory=True, workers=asked.workers)
        )
        environment["FHIR_MONGO_DATABASE"] = without.mongo_database
        unguarded = running.enter_context(
            serving("bench.guard:unguarded", environment, factory=True, workers=asked.workers)
        )
        bare = running.enter_context(serving("bench.bare:app", {}, factory=False))
        _check_native(server)
        bench = Bench(
            clinic, server, unguarded, bare, Meter(database.child.pid),
            running.enter_context(crew("bench.load")),
            running.enter_context(crew("bench.driver", settings.mongo_uri, settings.mongo_database)),
            lambda: guard.token(settings),
        )  # fmt: skip
        cells = _measure(bench, asked)
    path = asked.json or RESULTS / f"{datetime.now(UTC):%Y%m%d-%H%M%S}.json"
    report.write(path, cells, database.notes[0], asked.workers, asked.seconds)
    print(report.markdown(cells))
    _say(f"wrote {path}")
    return 0


def _check_native(server: Served) -> None:
    missing = [name for name in NATIVE if not server.meter.has_loaded(name)]
    if missing:
        raise Failed(f"the server runs without {' and '.join(missing)}")
    _say(f"the server runs on {' and '.join(NATIVE)}")


def _measure(bench: Bench, asked: argparse.Namespace) -> list[Cell]:
    cells = []
    todo = [(case, callers) for case in asked.cases for callers in asked.callers]
    for number, (case, callers) in enumerate(todo, 1):
        cell = bench.cell(case, callers, asked.seconds)
        _say(
            f"{number}/{len(todo)} {case}, {callers} callers: {cell.server.rate:.0f}/s, p50 {cell.server.p50:.1f} ms, "
            f"{cell.ratio:.1f}x its floor, the guard adds {100 * cell.added:.0f} %"
        )
        cells.append(cell)
    return cells


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failed as failed:
        _say(f"failed: {failed}")
        sys.exit(1)
