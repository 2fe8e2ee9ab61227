"""`fhir-server dev --time-lapse`: a week of what follows from a booking, watched in a minute.

Time is led, not let run: it goes on by an hour when everything that is due has been done, so that a slow machine shows
the same week as a fast one, only later.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fhir_server.clock import Led, real
from fhir_server.embedded.folder import Folder
from fhir_server.embedded.refused import Refused
from fhir_server.log import get_logger
from fhir_server.remote.http import httpx
from fhir_server.remote.kept import kept

if TYPE_CHECKING:
    from fhir_server.cli.seed import Size
    from fhir_server.services.world import World
    from fhir_server.settings import Settings

CLINIC: Size = {"practitioners": 2, "patients": 12, "days": 0}
"""Nobody else has a visit, so that nobody else is told anything."""

DAYS_AHEAD = 8
HOUR = 3_600_000
LOOK_SECONDS = 0.25
"""An hour in so long is a week in a minute, with the time that looking takes."""

PATIENCE_SECONDS = 20
_TIME = "time"

log = get_logger("time-lapse")


@dataclass(frozen=True, slots=True)
class Booked:
    """What to say of the booking, where the patient is reached, and when the visit begins (ms; 0 = there is none)."""

    words: str
    addresses: frozenset[str] = frozenset()
    start: int = 0


def afresh(path: Path, *, time_lapse: bool, reset: bool) -> bool:
    """Whether the data of a folder is deleted before a run.

    A time-lapse run leaves times behind that are yet to come, so it begins afresh and shares its folder with no other.

    :raises Refused: the folder holds data of the other kind of run.
    """
    if reset:
        return True
    with Folder.open(path) as folder:
        led = folder.recall(_TIME) == "led"
        used = led or bool(folder.recall("seed")) or (folder.path / "mongo").exists()
    if time_lapse and used and not led:
        raise Refused(
            f"{path} holds the data of fhir-server dev, and a time-lapse run would fill it with times to come.",
            "leave --data out, or name another folder",
            "or delete that data: --reset",
        )
    if led and not time_lapse:
        raise Refused(
            f"{path} holds a time-lapse run, with times that are yet to come.",
            "name another folder, or go on with --time-lapse",
            "or delete that data: --reset",
        )
    return time_lapse


def clock(folder: Folder) -> str:
    """``FHIR_CLOCK`` for time that is led from now on; the folder is kept for it."""
    folder.remember(_TIME, "led")
    path = folder.path / "clock"
    path.unlink(missing_ok=True)
    return f"file:{path}"


async def watch(settings: Settings, root: str, user: str, service: str, patient: str) -> None:
    """Book a visit in eight days for a demo patient, lead time on, and say what is sent to them, until cancelled."""
    from fhir_server.bootstrap import open_world

    led = Led(Path(settings.clock.removeprefix("file:")))
    try:
        booked = await _book(root, user, service, patient, led())
    except (Refused, httpx.HTTPError, ValueError) as failed:
        booked = Booked(f"The visit was not booked: {failed}")
    print("", booked.words, sep="\n", flush=True)
    if not booked.start:
        return
    print("A week passes in a minute, as fast as the machine can. What the patient gets:", "", sep="\n", flush=True)
    folder, seen = Path(settings.outbox_folder), set[tuple[str, str]]()
    async with open_world(settings) as opened:
        while led() < booked.start + HOUR:
            await _all_done(opened.world)
            await _show(folder, seen, booked.addresses)
            led.forward(HOUR)
            await asyncio.sleep(LOOK_SECONDS)
        await _all_done(opened.world)
        await _show(folder, seen, booked.addresses)
    print("", "The visit has begun: that was the week. From here on time runs as usual.", sep="\n", flush=True)


def tell(watching: asyncio.Task[None]) -> None:
    """Say why a week ended before its time."""
    if not watching.cancelled() and (fault := watching.exception()):
        log.error("the week is not shown to its end", exc_info=(type(fault), fault, fault.__traceback__))


async def _all_done(world: World) -> None:
    """Wait until all is told and nothing is due; where that takes long, say once what may be missing."""
    from fhir_server.services.following.status import status

    asked = real()
    while True:
        found = await status(world)
        if not found.untold and not any(state in {"due", "running"} for _, state in found.work):
            return
        if asked and real() - asked > PATIENCE_SECONDS * 1000:
            asked = 0
            print("Time waits for what is due. Do a worker and beat run?", flush=True)
        await asyncio.sleep(LOOK_SECONDS)


async def _show(folder: Path, seen: set[tuple[str, str]], addresses: frozenset[str]) -> None:
    """Print what came into the folder for these addresses and was not seen yet, the oldest first."""
    for message in reversed(await asyncio.to_thread(kept, folder)):
        key = (message["channel"], message["id"])
        if key not in seen:
            seen.add(key)
            if _plain(message.get("to", "")) in addresses:
                print(_line(message), flush=True)


async def _book(root: str, user: str, service: str, patient: str, now: int) -> Booked:
    """Book it as the patient's app would, at a time two hours before which nobody sleeps: the last reminder may go."""
    from fhir_server.cli.running import proposals
    from fhir_server.cli.token import granted_to

    granted = await granted_to(root, user)
    async with httpx.AsyncClient(trust_env=False, timeout=30.0) as client:
        client.headers["Authorization"] = f"Bearer {granted.token}"
        record = (await client.get(f"{root}/fhir/{patient}")).json()
        for days in range(DAYS_AHEAD, DAYS_AHEAD + 7):
            day = datetime.fromtimestamp(now / 1000, UTC).date() + timedelta(days=days)
            asked = {"start": f"{day}T15:00:00Z", "end": f"{day}T20:00:00Z", "service": service, "patient": patient}
            found = await client.get(f"{root}/fhir/Appointment/$find", params={**asked, "_count": "1"})
            if times := proposals(found):
                break
        else:
            return Booked("No time is free in eight days: nothing was booked.")
        body = {
            "resourceType": "Parameters",
            "parameter": [
                {"name": "appointment", "valueUri": f"Appointment/{times[0]}"},
                {"name": "patient", "valueReference": {"reference": patient}},
            ],
        }
        answer = await client.post(f"{root}/fhir/Appointment/$book", json=body)
    if answer.status_code != httpx.codes.CREATED:
        return Booked(f"The visit was not booked: {answer.status_code}.")
    visit = answer.json()
    start = datetime.fromisoformat(visit["start"])
    words = f"Booked for {patient}: {start.astimezone(UTC):%a %d %b %H:%M} UTC (Appointment/{visit['id']})"
    addresses = frozenset(_plain(one.get("value", "")) for one in record.get("telecom", ()))
    return Booked(words, addresses, int(start.timestamp() * 1000))


def _plain(address: str) -> str:
    """An e-mail address, or the last ten digits of a number, however it is written."""
    return address.lower() if "@" in address else "".join(one for one in address if one.isdigit())[-10:]


def _line(message: dict[str, Any]) -> str:
    at = datetime.fromtimestamp(message["at"] / 1000, UTC)
    words = message.get("subject") or message.get("title") or message.get("body") or message.get("text") or ""
    return f"{at:%a %d %b %H:%M} UTC  {message['channel']:<9} {' '.join(str(words).split())[:90]}"
