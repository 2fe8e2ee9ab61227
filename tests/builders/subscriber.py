"""A system that subscribes: what it asks, what its receiver gets, and what it reads from that."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import Any

from fhir_server.services.following.drain import drain
from fhir_server.services.world import World
from tests.builders.receivers import OK, Receiver
from tests.builders.subscriptions import subscription


def reply(status: int, *headers: str) -> bytes:
    """What a receiver answers."""
    lines = [f"HTTP/1.1 {status} X", "Content-Length: 0", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


@dataclass(frozen=True)
class Note:
    """One notification."""

    bundle: dict[str, Any]
    headers: list[tuple[str, str]] = field(default_factory=list)
    raw: bytes = b""

    @property
    def parameters(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.bundle["entry"][0]["resource"]["parameter"]
        return found

    def said(self, name: str) -> Any:
        """The value of one parameter; None if it is not there."""
        for one in self.parameters:
            if one["name"] == name:
                return next(value for key, value in one.items() if key.startswith("value"))
        return None

    @property
    def kind(self) -> str:
        return str(self.said("type"))

    @property
    def events(self) -> list[dict[str, Any]]:
        """Number, time and focus of each event."""
        found = []
        for one in self.parameters:
            if one["name"] == "notification-event":
                parts = one["part"]
                found.append({each["name"]: next(v for k, v in each.items() if k != "name") for each in parts})
        return found

    @property
    def numbers(self) -> list[int]:
        return [int(one["event-number"]) for one in self.events]

    @property
    def foci(self) -> list[str]:
        """``Appointment/1`` of each event that names one."""
        return [one["focus"]["reference"].split("/fhir/")[1] for one in self.events if "focus" in one]

    @property
    def shown(self) -> list[dict[str, Any]]:
        """The entries behind the first."""
        found: list[dict[str, Any]] = self.bundle["entry"][1:]
        return found


@dataclass
class Subscriber:
    """``client`` is an HTTP client of the server, ``name`` the OAuth client that asks, or ``token`` says who does."""

    client: Any
    world: World
    hook: Receiver
    name: str
    token: str = ""
    made: list[str] = field(default_factory=list)

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"} if self.token else {"X-Client-Id": self.name}

    async def ask(self, method: str, url: str, **more: Any) -> Any:
        headers = {**self.headers, **more.pop("headers", {})}
        return await self.client.request(method, url, headers=headers, **more)

    async def post(self, resource: dict[str, Any], **more: Any) -> Any:
        answer = await self.ask("POST", "Subscription", json=resource, **more)
        if answer.status_code == 201:
            self.made.append(answer.json()["id"])
        return answer

    async def subscribe(self, topic: str = "appointment-booked", endpoint: str = "", **more: Any) -> dict[str, Any]:
        """A Subscription as it was answered."""
        channel = more.get("channel", "rest-hook")
        given = endpoint or (self.hook.url() if channel == "rest-hook" else "")
        answer = await self.post(subscription(topic, given, **more))
        assert answer.status_code == 201, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def active(self, topic: str = "appointment-booked", **more: Any) -> dict[str, Any]:
        """One whose handshake took place; what its receiver got so far is forgotten."""
        made = await self.subscribe(topic, **more)
        await self.settle()
        found = await self.read(made["id"])
        assert found["status"] == "active", found
        self.hook.seen.clear()
        return found

    async def settle(self) -> None:
        await drain(self.world)

    async def later(self, seconds: float) -> None:
        """What is due after so many seconds."""
        now = self.world.clock()
        await drain(replace(self.world, clock=lambda: now + int(seconds * 1000)))

    async def read(self, id_: str) -> dict[str, Any]:
        answer = await self.ask("GET", f"Subscription/{id_}")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def status(self, id_: str) -> Note:
        answer = await self.ask("GET", f"Subscription/{id_}/$status")
        assert answer.status_code == 200, answer.text
        return Note(answer.json())

    async def off(self) -> None:
        for id_ in self.made:
            await self.ask("DELETE", f"Subscription/{id_}")

    @property
    def notes(self) -> list[Note]:
        return [Note(json.loads(one.body), one.headers, one.body) for one in self.hook.seen]

    @property
    def told(self) -> list[Note]:
        return [one for one in self.notes if one.kind == "event-notification"]

    def answers(self, status: int = 200, *headers: str) -> None:
        self.hook.parts = [OK if status == 200 else reply(status, *headers)]


__all__ = ["Note", "Subscriber", "reply"]
