"""`fhir-server dev --time-lapse`: a week of what follows from a booking, watched in a minute."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fhir_server.clock import clock_of, real
from fhir_server.embedded.refused import Refused
from fhir_server.remote.http import httpx
from fhir_server.remote.kept import kept

if TYPE_CHECKING:
    from fhir_server.settings import Settings

RATE = 7 * 24 * 60
"""A week in a minute."""

DAYS_AHEAD = 8
LOOK_SECONDS = 0.3


START_SECONDS = 20
"""So long until time begins to run: the visit is booked and the workers are there by then."""


def clock() -> str:
    """``FHIR_CLOCK`` for time that runs so fast from soon on."""
    return f"x{RATE}@{real() + START_SECONDS * 1000}"


async def watch(settings: Settings, root: str, user: str, service: str, patient: str) -> None:
    """Book a visit in eight days for a demo patient, and say what is sent to them, until cancelled."""
    now = clock_of(settings.clock)
    addresses: frozenset[str] = frozenset()
    try:
        booked, addresses = await _book(root, user, service, patient, now())
    except (Refused, httpx.HTTPError, ValueError) as failed:
        booked = f"The visit was not booked: {failed}"
    print("", booked, "Time begins to run in some seconds, a week in a minute. What the patient gets:", "", sep="\n")
    folder, seen = Path(settings.outbox_folder), set[tuple[str, str]]()
    while True:
        for message in reversed(await asyncio.to_thread(kept, folder)):
            key = (message["channel"], message["id"])
            if key not in seen:
                seen.add(key)
                if _plain(message.get("to", "")) in addresses:
                    print(_line(message), flush=True)
        await asyncio.sleep(LOOK_SECONDS)


async def _book(root: str, user: str, service: str, patient: str, now: int) -> tuple[str, frozenset[str]]:
    """Book it as the patient's app would; what to say of it, and where the patient is reached."""
    from fhir_server.cli.token import granted_to

    day = datetime.fromtimestamp(now / 1000, UTC).date() + timedelta(days=DAYS_AHEAD)
    asked = {"start": f"{day}T15:00:00Z", "end": f"{day + timedelta(days=6)}", "service": service, "patient": patient}
    granted = await granted_to(root, user)
    async with httpx.AsyncClient(trust_env=False, timeout=30.0) as client:
        client.headers["Authorization"] = f"Bearer {granted.token}"
        found = await client.get(f"{root}/fhir/Appointment/$find", params={**asked, "_count": "1"})
        entries = found.json().get("entry", []) if found.status_code == httpx.codes.OK else []
        record = (await client.get(f"{root}/fhir/{patient}")).json()
        addresses = frozenset(_plain(one.get("value", "")) for one in record.get("telecom", ()))
        if not entries:
            return "No time is free in eight days: nothing was booked.", addresses
        body = {
            "resourceType": "Parameters",
            "parameter": [
                {"name": "appointment", "valueUri": f"Appointment/{entries[0]['resource']['id']}"},
                {"name": "patient", "valueReference": {"reference": patient}},
            ],
        }
        answer = await client.post(f"{root}/fhir/Appointment/$book", json=body)
    if answer.status_code != httpx.codes.CREATED:
        return f"The visit was not booked: {answer.status_code}.", addresses
    return f"Booked for {patient}: {answer.json()['start']} ({answer.json()['id']})", addresses


def _plain(address: str) -> str:
    """An e-mail address, or the last ten digits of a number, however it is written."""
    return address.lower() if "@" in address else "".join(one for one in address if one.isdigit())[-10:]


def _line(message: dict[str, Any]) -> str:
    at = datetime.fromtimestamp(message["at"] / 1000, UTC)
    words = message.get("subject") or message.get("title") or message.get("body") or message.get("text") or ""
    return f"{at:%a %d %b %H:%M} UTC  {message['channel']:<9} {' '.join(str(words).split())[:90]}"
