"""People with accounts, each of its own name: patients, parents and staff of one clinic, made inside the server."""

from __future__ import annotations

import html
import itertools
import re
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from fhir_server.access.account import Account
from fhir_server.access.caller import Role
from fhir_server.services import resources
from fhir_server.services.authorization import accounts, second_factor
from fhir_server.services.world import World
from tests.builders.browser import Browser

PASSWORD = "correct horse battery"
_numbers = itertools.count(1)


class People:
    """A clinic of its own in a shared database: ids begin with the clinic's name."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.tag = f"c{uuid.uuid4().hex[:8]}"
        self.clinic = f"Organization/{self.tag}"

    def id(self, name: str) -> str:
        return f"{self.tag}-{name}"

    async def put(self, type_: str, called: str, /, **content: Any) -> str:
        """Store a resource; its reference."""
        id_ = self.id(called)
        await resources.put(self.world, {"resourceType": type_, "id": id_, **content})
        return f"{type_}/{id_}"

    async def open(self) -> People:
        await resources.put(self.world, {"resourceType": "Organization", "id": self.tag, "name": "Clinic"})
        return self

    async def patient(self, name: str, *, birth: str = "1980-02-03", **content: Any) -> str:
        return await self.put(
            "Patient",
            name,
            name=[{"family": self.id(name), "given": ["Ana"]}],
            birthDate=birth,
            identifier=[{"system": "urn:mrn", "value": self.id(f"mrn-{name}")}],
            **content,
        )

    async def practitioner(self, name: str = "doctor") -> str:
        return await self.put("Practitioner", name, name=[{"text": f"Dr. {name}", "family": name}])

    async def parent(self, name: str, of: str, **content: Any) -> str:
        return await self.put("RelatedPerson", name, patient={"reference": of}, name=[{"text": name}], **content)

    async def appointment(self, *actors: str, status: str = "proposed") -> str:
        participants = [{"actor": {"reference": one}, "status": "needs-action"} for one in actors]
        number = next(_numbers)
        begin = datetime(2030, 1, 7, 9, tzinfo=UTC) + timedelta(hours=number)
        if status in {"arrived", "checked-in"}:
            begin = datetime.now(UTC).replace(microsecond=0) + timedelta(minutes=20 + 15 * (number % 4))
        times = {"start": begin.isoformat(), "end": (begin + timedelta(minutes=15)).isoformat()}
        said = {"status": status, "participant": participants, **({} if status == "proposed" else times)}
        return await self.put("Appointment", f"visit{number}", **said)

    async def account(
        self, role: Role = Role.PATIENT, fhir_user: str = "", *, persons: Sequence[str] = (), username: str = ""
    ) -> Account:
        """An account with :data:`PASSWORD`; staff work in the clinic."""
        if role is Role.PATIENT and not fhir_user:
            fhir_user = await self.patient(f"p{next(_numbers)}")
        if role is not Role.PATIENT and not fhir_user:
            fhir_user = await self.practitioner(f"d{next(_numbers)}")
        return await accounts.add(
            self.world,
            username=username or f"{role.value}-{self.tag}-{next(_numbers)}",
            password=PASSWORD,
            role=role,
            name=f"The {role.value}",
            fhir_user=fhir_user,
            persons=persons,
            clinics=(self.clinic,) if role not in {Role.PATIENT, Role.AUDITOR} else (),
        )

    async def second_factor(self, browser: Browser, page: Any) -> Any:
        """Set a second factor up on the page that asks for it; where it leads to."""
        assert page.url.path == "/auth/second-factor", page.text
        secret = re.findall(r"secret=([A-Z2-7]+)", page.text)[0]
        code = second_factor.code_at(secret, self.world.now() // second_factor.STEP_SECONDS)
        page = await browser.submit(page, "second-factor", code=code)
        assert page.status_code == 200, page.text
        (onward,) = re.findall(r'class="button main" href="([^"]+)"', page.text)
        return await browser.get(html.unescape(onward))


async def people(world: World) -> People:
    return await People(world).open()
