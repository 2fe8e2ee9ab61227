"""`fhir-server dev --time-lapse`: a week of what follows from a booking, watched in a minute."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fhir_server.clock import clock_of, real
from fhir_server.remote.kept import kept

if TYPE_CHECKING:
    from fhir_server.settings import Settings

RATE = 7 * 24 * 60
"""A week in a minute."""

DAYS_AHEAD = 8
LOOK_SECONDS = 0.3


def clock() -> str:
    """``FHIR_CLOCK`` for time that runs so fast from now on."""
    return f"x{RATE}@{real()}"


async def watch(settings: Settings, root: str, user: str, service: str, patient: str) -> None:
    """Book a visit in eight days for a demo patient, and say what is sent to people, until cancelled."""
    now = clock_of(settings.clock)
    booked = await _book(root, user, service, patient, now())
    print("", "Time runs: a week in a minute.", booked, "", sep="\n", flush=True)
    folder, seen = Path(settings.outbox_folder), set[tuple[str, str]]()
    while True:
        for message in reversed(await asyncio.to_thread(kept, folder)):
            key = (message["channel"], message["id"])
            if key not in seen:
                seen.add(key)
                print(_line(message), flush=True)
        await asyncio.sleep(LOOK_SECONDS)


async def _book(root: str, user: str, service: str, patient: str, now: int) -> str:
    """Book it as the patient's app would; what to say of it."""
    from fhir_server.cli.token import granted_to
    from fhir_server.remote.http import httpx

    day = datetime.fromtimestamp(now / 1000, UTC).date() + timedelta(days=DAYS_AHEAD)
    asked = {"start": f"{day}", "end": f"{day + timedelta(days=6)}", "service": service, "patient": patient}
    granted = await granted_to(root, user)
    async with httpx.AsyncClient(trust_env=False, timeout=30.0) as client:
        client.headers["Authorization"] = f"Bearer {granted.token}"
        found = await client.get(f"{root}/fhir/Appointment/$find", params={**asked, "_count": "1"})
        entries = found.json().get("entry", []) if found.status_code == httpx.codes.OK else []
        if not entries:
            return "No time is free in eight days: nothing was booked."
        body = {
            "resourceType": "Parameters",
            "parameter": [
                {"name": "appointment", "valueUri": f"Appointment/{entries[0]['resource']['id']}"},
                {"name": "patient", "valueReference": {"reference": patient}},
            ],
        }
        answer = await client.post(f"{root}/fhir/Appointment/$book", json=body)
    if answer.status_code != httpx.codes.CREATED:
        return f"The visit was not booked: {answer.status_code}."
    return f"Booked for {patient}: {answer.json()['start']} ({answer.json()['id']})"


def _line(message: dict[str, Any]) -> str:
    at = datetime.fromtimestamp(message["at"] / 1000, UTC)
    words = message.get("subject") or message.get("title") or message.get("body") or message.get("text") or ""
    return f"{at:%a %d %b %H:%M} UTC  {message['channel']:<9} {' '.join(str(words).split())[:90]}"
