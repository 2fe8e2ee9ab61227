"""``python -m bench.following``: how soon a subscriber knows of a booking, and how many reminders one worker sends.

Both beside their floors, measured in the same run: the bare driver's change stream followed by one POST, and the bare
SMTP client on the same mail server. Database, broker, server, workers and beat are real processes of their own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import aiosmtplib

from bench import guard
from bench.machine import Failed, Meter, serving
from fhir_server import log
from fhir_server.bootstrap import open_world
from fhir_server.cli.seed import seed_demo
from fhir_server.embedded import databases, mail_sink
from fhir_server.remote.http import httpx
from fhir_server.services.following.drain import drain
from fhir_server.settings import CANONICAL, Settings
from fhir_server.store.driver import connect

TOPIC = f"{CANONICAL}SubscriptionTopic/appointment-booked"
CONTENT = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/backport-payload-content"
PROFILE = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/backport-subscription"
SERVICE = "HealthcareService/follow-up"
BUSY = 8
PATIENCE = 120.0
AHEAD_DAYS = 9
"""Visits so far away that a reminder of seven days is yet to come; the worker's clock runs three days ahead."""


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


@dataclass
class Receiver:
    """Takes POSTs and notes when each event came, in milliseconds since the epoch."""

    port: int = 0
    came: dict[str, float] = field(default_factory=dict)

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                lines = head.lower().split(b"\r\n")
                length = next((int(one[15:]) for one in lines if one.startswith(b"content-length:")), 0)
                body = await reader.readexactly(length)
                at = time.time() * 1000
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                await writer.drain()
                for name in _events(json.loads(body)):
                    self.came.setdefault(name, at)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def wait(self, name: str) -> float:
        """When the event came."""
        until = time.monotonic() + PATIENCE
        while name not in self.came:
            if time.monotonic() > until:
                msg = f"no notification of {name}"
                raise Failed(msg)
            await asyncio.sleep(0.001)
        return self.came[name]


def _events(notification: dict[str, Any]) -> Iterator[str]:
    """What a notification's events are about: ``Appointment/id``; of the floor's message its own name."""
    if "name" in notification:
        yield notification["name"]
        return
    for one in notification["entry"][0]["resource"]["parameter"]:
        if one["name"] == "notification-event":
            for part in one["part"]:
                if part["name"] == "focus":
                    yield "/".join(part["valueReference"]["reference"].split("/")[-2:])


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    server = await asyncio.start_server(receiver.take, "127.0.0.1", 0)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()


@contextmanager
def following(environment: dict[str, str]) -> Iterator[Meter]:
    """A worker for each queue, and beat; the CPU of the one that sends messages."""
    command = [sys.executable, "-m", "fhir_server.cli.main"]
    started = [
        subprocess.Popen([*command, *name], env={**os.environ, **environment}, stdout=subprocess.PIPE)
        for name in (["worker", "--only", "events"], ["worker", "--only", "messages"], ["beat"])
    ]
    try:
        for one in started:
            assert one.stdout is not None
            one.stdout.readline()
        yield Meter(started[1].pid)
    finally:
        for one in started:
            one.terminate()
        for one in started:
            one.wait(30)
            assert one.stdout is not None
            one.stdout.close()


# -- from commit to webhook ------------------------------------------------------------------------------------------


async def _subscribe(client: Any, receiver: Receiver) -> str:
    resource = {
        "resourceType": "Subscription", "meta": {"profile": [PROFILE]}, "status": "requested", "reason": "bench",
        "criteria": TOPIC,
        "channel": {
            "type": "rest-hook", "endpoint": f"http://127.0.0.1:{receiver.port}/hook",
            "payload": "application/fhir+json",
            "_payload": {"extension": [{"url": CONTENT, "valueCode": "id-only"}]},
        },
    }  # fmt: skip
    answer = await client.post("Subscription", json=resource)
    _expect(answer, 201)
    url = f"Subscription/{answer.json()['id']}"
    until = time.monotonic() + PATIENCE
    while (await client.get(url)).json()["status"] != "active":
        if time.monotonic() > until:
            msg = "the Subscription did not become active"
            raise Failed(msg)
        await asyncio.sleep(0.1)
    return url


def _expect(answer: Any, status: int) -> None:
    if answer.status_code != status:
        msg = f"{answer.status_code} instead of {status}: {answer.text[:300]}"
        raise Failed(msg)


async def _proposals(client: Any, count: int, first: date) -> list[str]:
    asked = {"start": f"{first}", "end": f"{first + timedelta(days=60)}", "service": SERVICE, "_count": str(count)}
    answer = await client.get("Appointment/$find", params=asked)
    _expect(answer, 200)
    return [one["resource"]["id"] for one in answer.json().get("entry", ()) if one["search"]["mode"] == "match"]


async def _book(client: Any, proposal: str, patient: str) -> tuple[str, float] | None:
    """What was booked and when it was written (ms); None if it was refused."""
    parameters = [
        {"name": "appointment", "valueUri": f"Appointment/{proposal}"},
        {"name": "patient", "valueReference": {"reference": patient}},
    ]
    answer = await client.post("Appointment/$book", json={"resourceType": "Parameters", "parameter": parameters})
    if answer.status_code in {409, 422}:
        return None  # taken, the patient is elsewhere, or enough for that day
    _expect(answer, 201)
    resource = answer.json()
    written = datetime.fromisoformat(resource["meta"]["lastUpdated"]).timestamp() * 1000
    return f"Appointment/{resource['id']}", written


async def _one_by_one(client: Any, receiver: Receiver, proposals: Sequence[str]) -> list[float]:
    found = []
    for number, proposal in enumerate(proposals):
        if booked := await _book(client, proposal, f"Patient/patient-{number % 200 + 1}"):
            found.append(await receiver.wait(booked[0]) - booked[1])
    return found


async def _all_at_once(client: Any, receiver: Receiver, proposals: Sequence[str]) -> tuple[list[float], float]:
    """Times of ``BUSY`` callers who book without a pause; and bookings a second."""
    left, booked = list(enumerate(proposals)), list[tuple[str, float]]()

    async def caller() -> None:
        while left:
            number, proposal = left.pop()
            if made := await _book(client, proposal, f"Patient/patient-{number % 200 + 1}"):
                booked.append(made)

    began = time.monotonic()
    await asyncio.gather(*(caller() for _ in range(BUSY)))
    rate = len(booked) / (time.monotonic() - began)
    return [await receiver.wait(name) - written for name, written in booked], rate


async def _floor(uri: str, receiver: Receiver, times: int) -> list[float]:
    """An insert that a change stream tells of, and one POST: what nobody who uses the same tools can do for less."""
    found = []
    connection = connect(uri, "bench")
    collection = connection.collection("floor")
    async with httpx.AsyncClient(trust_env=False, base_url=f"http://127.0.0.1:{receiver.port}") as client:
        await collection.insert_one({"_id": "first"})
        async with await collection.watch() as stream:
            for number in range(times):
                began = time.time() * 1000
                await collection.insert_one({"_id": f"floor-{number}"})
                change = await stream.next()
                await client.post("/hook", json={"name": change["documentKey"]["_id"]})
                found.append(await receiver.wait(f"floor-{number}") - began)
    await connection.close()
    return found


# -- reminders -------------------------------------------------------------------------------------------------------


async def _reminders(settings: Settings, listener: Any, environment: dict[str, str]) -> tuple[int, float, float, float]:
    """How many were sent, messages a second of one worker, its CPU (ms) a message, and the floor's a second."""
    taken: list[float] = []
    async with mail_sink.mail_sink(listener.dup(), lambda _: taken.append(time.monotonic())):
        floor = await _smtp_floor(settings, taken)
        taken.clear()
        async with open_world(settings) as opened:
            due = await opened.world.store.work.counts(opened.world.clock() + 3 * 86_400_000)
        expected = due.get(("reminder", "due"), 0)
        if not expected:
            msg = "no reminder is due in three days"
            raise Failed(msg)
        _say(f"{expected} reminders will be due")
        ahead = {**environment, "FHIR_CLOCK": "+3d"}
        with following(ahead) as meter:
            until = time.monotonic() + PATIENCE * 3
            while not taken:
                await asyncio.sleep(0.01)
                if time.monotonic() > until:
                    msg = "no reminder was sent"
                    raise Failed(msg)
            used, last = meter.milliseconds(), 0
            while len(taken) != last:
                last = len(taken)
                await asyncio.sleep(5)
            used = meter.milliseconds() - used
    rate = (len(taken) - 1) / (taken[-1] - taken[0])
    return len(taken), rate, used / len(taken), floor


async def _smtp_floor(settings: Settings, taken: list[float]) -> float:
    host, port = settings.smtp_url.get_secret_value().removeprefix("smtp://").split(":")
    head = "Subject: Floor\r\nMessage-ID: <floor@demo.example>\r\n\r\n"
    text = head + "A line of a text of usual length, as long as others.\r\n" * 36
    for _ in range(200):
        await aiosmtplib.send(
            text, sender="a@demo.example", recipients=["b@demo.example"], hostname=host, port=int(port)
        )
    return (len(taken) - 1) / (taken[-1] - taken[0])


# -- the run ---------------------------------------------------------------------------------------------------------


def _quantiles(values: Sequence[float]) -> tuple[float, float]:
    found = sorted(values)
    return found[len(found) // 2], found[min(len(found) - 1, int(len(found) * 0.99))]


async def _run(settings: Settings, environment: dict[str, str], asked: argparse.Namespace) -> list[str]:
    rows = ["| from commit to webhook | p50 ms | p99 ms | ratio p50 |", "| --- | --- | --- | --- |"]
    async with open_world(settings) as opened:
        await seed_demo(opened)
        await drain(opened.world)
    token = await asyncio.to_thread(guard.token, settings)
    first = datetime.now(UTC).date() + timedelta(days=AHEAD_DAYS)
    with serving("fhir_server.app:from_environment", environment, factory=True) as server:
        async with (
            receiving() as receiver,
            httpx.AsyncClient(
                base_url=f"http://127.0.0.1:{server.port}/fhir/", trust_env=False, timeout=60,
                headers={"Authorization": f"Bearer {token}"},
            ) as client,
        ):  # fmt: skip
            with following(environment):
                await _subscribe(client, receiver)
                # Some are in each other's way, or more than a day may have.
                proposals = await _proposals(client, 3 * (asked.idle + asked.busy), first)
                _say(f"{len(proposals)} times to book")
                floor = _quantiles(await _floor(settings.mongo_uri, receiver, asked.idle))
                alone = proposals[:: max(1, len(proposals) // asked.idle)]
                idle = _quantiles(await _one_by_one(client, receiver, alone))
                rest = [one for one in proposals if one not in set(alone)]
                found, rate = await _all_at_once(client, receiver, rest)
                busy = _quantiles(found)
    for name, (middle, late) in (
        ("floor: change stream and one POST", floor),
        ("idle server, one booking at a time", idle),
        (f"busy server, {BUSY} callers, {rate:.0f} bookings/s", busy),
    ):
        rows.append(f"| {name} | {middle:.1f} | {late:.1f} | {middle / floor[0]:.1f} |")
    return rows


def main() -> int:
    """0 when everything was measured."""
    parser = argparse.ArgumentParser(prog="python -m bench.following", description=__doc__.splitlines()[0])
    parser.add_argument("--idle", type=int, default=60, help="bookings one at a time (default 60)")
    parser.add_argument("--busy", type=int, default=300, help="bookings of all callers (default 300)")
    asked = parser.parse_args()
    log.configure("error")
    with (
        tempfile.TemporaryDirectory() as folder,
        databases.start(Path(folder), docker=False) as running,
        socket.create_server(("127.0.0.1", 0)) as listener,
    ):
        settings = Settings(
            mongo_uri=running.mongo_uri, redis_url=running.redis_url, mongo_database="bench",
            environment="development", keys=f"file:{Path(folder) / 'key'}", log_level="error",
            smtp_url=f"smtp://127.0.0.1:{listener.getsockname()[1]}", mail_from="Clinic <clinic@demo.example>",
        )  # fmt: skip
        environment = {
            "FHIR_MONGO_URI": settings.mongo_uri, "FHIR_REDIS_URL": settings.redis_url,
            "FHIR_MONGO_DATABASE": settings.mongo_database, "FHIR_KEYS": settings.keys, "FHIR_LOG_LEVEL": "error",
            "FHIR_ENVIRONMENT": settings.environment, "FHIR_SMTP_URL": settings.smtp_url.get_secret_value(),
            "FHIR_MAIL_FROM": settings.mail_from,
        }  # fmt: skip

        async def run() -> list[str]:
            # Who books is told by e-mail as well: somebody has to take it.
            async with mail_sink.mail_sink(listener.dup(), lambda _: None):
                rows = await _run(settings, environment, asked)
            sent, rate, cpu, floor = await _reminders(settings, listener, environment)
            rows += [
                "", "| reminders by e-mail | messages | a second | CPU ms each | ratio |",
                "| --- | --- | --- | --- | --- |",
                f"| floor: the bare SMTP client, one connection a message | 200 | {floor:.0f} | | 1.0 |",
                f"| one worker | {sent} | {rate:.0f} | {cpu:.1f} | {floor / rate:.1f} |",
            ]  # fmt: skip
            return rows

        print("\n".join(asyncio.run(run())))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failed as failed:
        _say(f"failed: {failed}")
        sys.exit(1)
