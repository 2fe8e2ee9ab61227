"""read and search of AuditEvents over HTTP."""

from __future__ import annotations

import base64
import uuid
from typing import Any

import pytest

from fhir_server.access.caller import Caller, Role
from fhir_server.access.record import Access, Accessed
from fhir_server.access.scopes import parse
from fhir_server.services.world import World
from tests.audit.callers import AUDITOR, BACKEND, asking, patient
from tests.audit.records import access
from tests.builders.answers import refused
from tests.scans import no_scans

__all__ = ["no_scans"]


def some(*patients: str, **changes: Any) -> Access:
    """An access of Appointments, one for each patient."""
    objects = tuple(Accessed("Appointment", f"a-{one}", 1, (f"Patient/{one}",)) for one in patients)
    return access(**{"objects": objects, **changes})


async def found(client: Any, query: str, caller: Caller = AUDITOR) -> list[dict[str, Any]]:
    with asking(caller):
        answer = await client.get(f"AuditEvent?{query}")
    assert answer.status_code == 200, answer.text
    return [one["resource"] for one in answer.json().get("entry", ())]


def who_of(event: dict[str, Any]) -> str:
    return next((one["what"]["reference"] for one in event["entity"] if one["type"].get("code") == "1"), "")


@pytest.fixture
def name() -> str:
    return uuid.uuid4().hex[:12]


async def test_one_event_for_each_patient(client: Any, world: World, name: str) -> None:
    one, other = f"{name}1", f"{name}2"
    query = f"GET /fhir/Appointment?x={name}&evil=%00<script>".encode()
    await world.record.add(some(one, other, action="E", interaction="search", query=query))
    mine = await found(client, f"patient={one}")
    assert [who_of(event) for event in mine] == [f"Patient/{one}"]
    text = str(mine[0])
    assert f"Appointment/a-{one}/_history/1" in text
    assert other not in text.replace(name + "x", "")
    both = await found(client, f"patient={one},{other}")
    assert {who_of(event) for event in both} == {f"Patient/{one}", f"Patient/{other}"}
    (raw,) = [entity["query"] for entity in mine[0]["entity"] if "query" in entity]
    assert base64.b64decode(raw) == query
    assert mine[0]["meta"]["profile"][0].endswith("IHE.BasicAudit.PatientQuery")


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("entity=Appointment/a-{0}", 1), ("entity=Appointment/a-{0}&entity=Patient/{0}", 1), ("entity=Slot/{0}", 0),
        ("agent=Practitioner/{0}", 1), ("agent={0}", 1), ("agent=Practitioner/x{0}", 0),
        ("patient={0}&action=R", 1), ("patient={0}&action=C,D", 0),
        ("patient={0}&subtype=read", 1), ("patient={0}&subtype=http://hl7.org/fhir/restful-interaction|read", 1),
        ("patient={0}&subtype=vread", 0), ("patient={0}&type=rest", 1), ("patient={0}&type=110114", 0),
        ("patient={0}&outcome=8", 1), ("patient={0}&outcome=4,8", 1), ("patient={0}&outcome=0", 0),
        ("patient={0}&outcome=12", 0), ("patient={0}&date=ge2020", 1), ("patient={0}&date=lt2020", 0),
        ("patient={0}&date=ge2020&date=lt2021", 0), ("patient={0}&date=ne2020-05-06", 1),
        ("patient={0}&date=ap2020", 0),
        ("agent:identifier=https://{0}.example|sub-1", 1), ("agent:identifier=|{0}", 1), ("agent:identifier={0}", 1),
        ("patient=http://fhir.test/fhir/Patient/{0}", 1), ("patient=Patient/{0}&_sort=-date", 1),
        ("patient={0}&_count=0", 0),
    ],
)  # fmt: skip
async def test_parameters(client: Any, world: World, name: str, query: str, count: int) -> None:
    await world.record.add(
        some(name, client=name, fhir_user=f"Practitioner/{name}", issuer=f"https://{name}.example", outcome=8)
    )
    assert len(await found(client, query.format(name))) == count


async def test_pages_come_in_order_without_gaps_while_others_record(client: Any, world: World, name: str) -> None:
    for at in range(7):
        await world.record.add(some(name, f"{name}x", request_id=f"r{at}"))
    seen: list[str] = []
    with asking(AUDITOR):
        answer = await client.get(f"AuditEvent?entity=Patient/{name},Patient/{name}x&_count=3")
        while True:
            bundle = answer.json()
            assert "total" not in bundle
            assert len(bundle["entry"]) <= 3
            seen += [one["resource"]["id"] for one in bundle["entry"]]
            following = [one["url"] for one in bundle["link"] if one["relation"] == "next"]
            if not following:
                break
            await world.record.add(some(name))
            answer = await client.get(following[0])
            assert answer.status_code == 200, answer.text
    assert len(seen) == len(set(seen)) == 14
    assert [int(one.split("-")[1]) for one in seen] == sorted((int(one.split("-")[1]) for one in seen), reverse=True)


async def test_a_page_token_is_of_its_search_and_its_client(client: Any, world: World, name: str) -> None:
    for _ in range(2):
        await world.record.add(some(name))
    with asking(AUDITOR):
        answer = await client.get(f"AuditEvent?patient={name}&_count=1")
        (following,) = [one["url"] for one in answer.json()["link"] if one["relation"] == "next"]
        refused(await client.get(following.replace(name, "other")), 400)
    with asking(BACKEND):
        refused(await client.get(following), 400)
    with asking(patient("somebody")):
        refused(await client.get(following), 400)


async def test_read_one(client: Any, world: World, name: str) -> None:
    await world.record.add(some(name, f"{name}x"))
    (event,) = await found(client, f"patient={name}")
    with asking(AUDITOR):
        answer = await client.get(f"AuditEvent/{event['id']}")
        assert (answer.status_code, answer.json()) == (200, event)
        for id_ in ("x", "a-1-0-0", event["id"][:-1] + "7", event["id"].replace("-", "."), "a-b-c-d"):
            refused(await client.get(f"AuditEvent/{id_}"), 404)
    with asking(patient(name)):
        assert (await client.get(f"AuditEvent/{event['id']}")).status_code == 200
    with asking(patient("stranger")):
        refused(await client.get(f"AuditEvent/{event['id']}"), 404)


async def test_post_search_and_xml(client: Any, world: World, name: str) -> None:
    await world.record.add(some(name))
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    with asking(AUDITOR):
        answer = await client.post("AuditEvent/_search", content=f"patient={name}", headers=form)
        assert len(answer.json()["entry"]) == 1
        answer = await client.get(f"AuditEvent?patient={name}", headers={"Accept": "application/fhir+xml"})
        assert answer.content.startswith(b"<?xml")


async def test_unknown_and_malformed_parameters(client: Any, name: str) -> None:
    with asking(AUDITOR):
        answer = await client.get(f"AuditEvent?site=x&patient={name}")
        assert [one["search"]["mode"] for one in answer.json()["entry"]] == ["outcome"]
        refused(await client.get("AuditEvent?site=x", headers={"Prefer": "handling=strict"}), 400)
        for query in (
            "date=soon", "_count=x", "_sort=date", "action=X", "outcome=1", "patient:missing=true", "_summary=count",
            "_elements=id", "_page=x", "date=ge2020-13",
        ):  # fmt: skip
            refused(await client.get(f"AuditEvent?{query}"), 400)


async def test_nobody_writes_one(client: Any, world: World, name: str) -> None:
    await world.record.add(some(name))
    (event,) = await found(client, f"patient={name}")
    body = {"resourceType": "AuditEvent"}
    for caller in (AUDITOR, BACKEND, patient(name), Caller()):
        with asking(caller):
            for method, path in (
                ("POST", "AuditEvent"), ("PUT", f"AuditEvent/{event['id']}"), ("PATCH", f"AuditEvent/{event['id']}"),
                ("DELETE", f"AuditEvent/{event['id']}"), ("DELETE", "AuditEvent"), ("PUT", "AuditEvent?_id=1"),
            ):  # fmt: skip
                answer = await client.request(method, path, json=body)
                assert answer.status_code == 405, (method, path)
                assert "GET" in answer.headers["Allow"]
            refused(await client.get(f"AuditEvent/{event['id']}/_history"), 404)


@pytest.mark.parametrize(
    "caller",
    [
        Caller(),
        Caller(role=Role.SYSTEM, scopes=parse("system/Patient.rs")),
        Caller(role=Role.SYSTEM, scopes=parse("system/AuditEvent.rs?outcome=0")),
        Caller(role=Role.AUDITOR, scopes=parse("user/Patient.rs")),
        Caller(role=Role.PRACTITIONER, scopes=parse("user/*.cruds")),
        Caller(role=Role.ADMINISTRATOR, scopes=parse("user/AuditEvent.rs system/AuditEvent.rs")),
        Caller(role=Role.FRONT_DESK, scopes=parse("user/*.rs")),
        Caller(role=Role.PATIENT, scopes=parse("patient/AuditEvent.rs")),
        Caller(role=Role.PATIENT, scopes=parse("patient/Patient.rs"), patient="Patient/1", persons=("Patient/1",)),
    ],
)
async def test_who_may_not_read_it(client: Any, caller: Caller) -> None:
    with asking(caller):
        refused(await client.get("AuditEvent"), 403)
        refused(await client.get("AuditEvent/a-1-0-0"), 403)
        refused(await client.get("Patient/1/$access-report"), 403)


async def test_patients_see_what_concerns_them_alone(client: Any, world: World, name: str) -> None:
    me, other = f"{name}1", f"{name}2"
    query = f"GET /fhir/Patient?_id={me},{other}".encode()
    await world.record.add(some(me, other, action="E", interaction="search", query=query))
    await world.record.add(some(other))
    await world.record.add(
        access(objects=(), action="E", interaction="login", fhir_user=f"Patient/{me}", role="patient", subject=me)
    )
    events = await found(client, "", patient(me))
    assert [who_of(one) if "entity" in one else "login" for one in events][-1] == f"Patient/{me}"
    assert len(events) == 2
    assert other not in str(events)
    assert base64.b64encode(other.encode()).decode()[:12] not in str(events)
    assert await found(client, f"patient={other}", patient(me)) == []
    acting = Caller("app", role=Role.PATIENT, scopes=parse("user/AuditEvent.rs"), persons=(f"Patient/{me}",), token="t")
    for caller in (acting, BACKEND):
        # Asking is recorded too, and concerns them as the login does.
        assert len(await found(client, f"patient={me}", caller)) >= 2


async def test_metadata_says_just_this(client: Any) -> None:
    statement = (await client.get("metadata")).json()
    (claimed,) = [one for one in statement["rest"][0]["resource"] if one["type"] == "AuditEvent"]
    assert [one["code"] for one in claimed["interaction"]] == ["read", "search-type"]
    with asking(AUDITOR):
        for one in claimed["searchParam"]:
            value = {"date": "1801", "reference": "nobody", "token": "R" if one["name"] == "action" else "4"}[
                one["type"]
            ]
            answer = await client.get(f"AuditEvent?{one['name']}={value}", headers={"Prefer": "handling=strict"})
            assert answer.status_code == 200, one
