"""Scopes over HTTP: the letters, the criteria and the launch patient (S12, S14, S15, S17-S19, V10, V11)."""

from __future__ import annotations

from typing import Any

import pytest
import pytest_asyncio

from fhir_server.access.caller import Role
from tests.access.callers import Asker, Callers
from tests.builders.town import Town
from tests.tokens import account

JSON_PATCH = {"Content-Type": "application/json-patch+json"}
STATUSES = ("booked", "cancelled", "fulfilled")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def visits(town: Town) -> dict[str, str]:
    """Old visits of Ann's, one of each state; the id by state. The fulfilled one was booked once."""
    ids = {}
    for at, status in enumerate(STATUSES):
        ids[status] = town.id(f"visit-{status}")
        made = {
            "resourceType": "Appointment", "id": ids[status], "status": status,
            "start": f"2021-03-0{at + 1}T09:00:00Z", "end": f"2021-03-0{at + 1}T09:30:00Z",
            "participant": [{"actor": {"reference": town.own("ann")}, "status": "accepted"}],
        }  # fmt: skip
        if status == "fulfilled":
            await town.put({**made, "status": "booked"})
        await town.put(made)
    return ids


async def _ann(callers: Callers, scopes: str) -> Asker:
    town = callers.town
    token = await callers.issuer.person(account(Role.PATIENT, town.own("ann")), scopes, town.own("ann"))
    return callers.asker("app", token)


@pytest.mark.parametrize("context", ["patient", "user"])
@pytest.mark.parametrize(
    ("scope", "reads", "searches", "updates", "creates"),
    [
        ("Appointment.r", True, False, False, False), ("Appointment.s", False, True, False, False),
        ("Appointment.rs", True, True, False, False), ("Appointment.u", False, False, True, False),
        ("Appointment.c", False, False, False, True), ("Appointment.read", True, True, False, False),
        ("Appointment.write", False, False, True, True), ("*.rs", True, True, False, False),
        ("Appointment.cruds", True, True, True, True), ("Appointment.*", True, True, True, True),
        ("Patient.cruds", False, False, False, False), ("Appointment.sr", False, False, False, False),
        ("Appointment.dus", False, False, False, False), ("appointment.rs", False, False, False, False),
    ],
)  # fmt: skip
async def test_each_letter_opens_its_routes(
    context: str, scope: str, reads: bool, searches: bool, updates: bool, creates: bool, callers: Callers, town: Town,
    visits: dict[str, str],
) -> None:  # fmt: skip
    caller = await _ann(callers, f"openid {context}/{scope} {context}/Coverage.r")
    id_ = visits["booked"]
    for route in ("", "/_history", "/_history/1"):
        answer = await caller.get(f"Appointment/{id_}{route}")
        assert answer.status_code == (200 if reads else 403), (route, answer.text)
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    for answer in (
        await caller.get(f"Appointment?_id={id_}"), await caller.get("Appointment/_history"),
        await caller.ask("POST", "Appointment/_search", content=f"_id={id_}", headers=form),
    ):  # fmt: skip
        assert answer.status_code == (200 if searches else 403), (answer.request.url, answer.text)
    patch = [{"op": "add", "path": "/language", "value": "de" if context == "user" else "fr"}]
    answer = await caller.ask("PATCH", f"Appointment/{id_}", json=patch, headers=JSON_PATCH)
    # What is seen by nobody's scope cannot be changed either; .u alone changes without showing.
    assert (answer.status_code == 200) is updates, answer.text
    new = {"resourceType": "AppointmentResponse", "participantStatus": "accepted"}
    assert (await caller.post("AppointmentResponse", new)).status_code in {400, 403}
    made = await caller.post("Appointment", {
        "resourceType": "Appointment", "status": "proposed",
        "participant": [{"actor": {"reference": town.own("ann")}, "status": "needs-action"}],
    })  # fmt: skip
    assert made.status_code == (201 if creates else 403), made.text
    if made.status_code == 403:
        assert 'error="insufficient_scope"' in made.headers["www-authenticate"]


async def test_criteria_cut_every_route(callers: Callers, town: Town, visits: dict[str, str]) -> None:
    caller = await _ann(callers, "patient/Appointment.rs?status=booked patient/Patient.rs patient/Encounter.rs")
    booked, cancelled, fulfilled = (visits[one] for one in STATUSES)
    assert (await caller.get(f"Appointment/{booked}")).status_code == 200
    for hidden in (cancelled, fulfilled):
        for route in ("", "/_history", "/$meta"):
            assert (await caller.get(f"Appointment/{hidden}{route}")).status_code in {403, 404}
    every = ",".join(visits.values())
    assert await caller.ids(f"Appointment?_id={every}") == {f"Appointment/{booked}"}
    assert (await caller.found(f"Appointment?_id={every}&_summary=count"))["total"] == 1
    assert (await caller.found(f"Appointment?_id={every}&_total=accurate&_count=1"))["total"] == 1
    assert (await caller.found(f"Appointment?_id={every}&status:not=booked"))["total"] == 0
    assert (await caller.found(f"Appointment?_id={every}&status=cancelled,fulfilled"))["total"] == 0
    mine = f"Patient?_id={town.own_id('ann', 'Patient')}"
    for more in ("_revinclude=Appointment:patient", "_revinclude=*", "_revinclude:iterate=Appointment:actor"):
        found = await caller.ids(f"{mine}&{more}")
        assert f"Appointment/{booked}" in found, more
        assert found.isdisjoint({f"Appointment/{cancelled}", f"Appointment/{fulfilled}"}), more
    assert (await caller.found(f"{mine}&_has:Appointment:patient:status=cancelled"))["total"] == 0
    assert (await caller.found(f"{mine}&_has:Appointment:patient:status=booked"))["total"] == 1
    assert (await caller.found("Encounter?appointment.status=cancelled"))["total"] == 0
    everything = (await caller.get(f"{town.own('ann')}/$everything?_count=500")).text
    inside = (await caller.get(f"{town.own('ann')}/Appointment?_count=500")).text
    past = (await caller.get("Appointment/_history?_count=500")).text
    for text in (everything, inside, past):
        assert f'Appointment/{booked}"' in text
        assert cancelled not in text
    assert fulfilled not in everything + inside
    answer = await caller.get(f"Appointment/{fulfilled}/_history/2")
    assert answer.status_code == 404


async def test_versions_are_cut_by_what_they_said(callers: Callers, visits: dict[str, str]) -> None:
    """A version that was booked is within ``status=booked`` though the present one is not, and the other way round."""
    only = await _ann(callers, "patient/Appointment.rs?status=fulfilled")
    assert (await only.get(f"Appointment/{visits['fulfilled']}")).status_code == 200
    assert (await only.get(f"Appointment/{visits['fulfilled']}/_history/1")).status_code == 404
    history = await only.get(f"Appointment/{visits['fulfilled']}/_history")
    assert [one["resource"]["status"] for one in history.json()["entry"]] == ["fulfilled"]
    assert history.json()["total"] == 1


@pytest.mark.parametrize(
    ("scopes", "wanted"),
    [
        ("patient/Appointment.rs?status=booked patient/Appointment.rs?status=cancelled", {"booked", "cancelled"}),
        ("patient/Appointment.rs?status=booked,cancelled", {"booked", "cancelled"}),
        ("patient/Appointment.rs?status=booked patient/*.rs", set(STATUSES)),
        ("patient/Appointment.rs?status=booked user/Appointment.rs?status=cancelled", {"booked", "cancelled"}),
        ("patient/Appointment.rs?date=ge2021-03-02", {"cancelled", "fulfilled"}),
        ("patient/Appointment.rs?date=lt2021-03-02", {"booked"}),
        ("patient/Appointment.rs?date=2021-03-02", {"cancelled"}),
        ("patient/Appointment.rs?date=sa2021-03-02", {"fulfilled"}),
        ("patient/Appointment.rs?date=eb2021-03-02", {"booked"}),
        ("patient/Appointment.rs?date=ne2021-03-02", {"booked", "fulfilled"}),
        ("patient/Appointment.rs?date=gt2021-03-01&status=cancelled", {"cancelled"}),
        ("patient/Appointment.rs?status:not=booked", {"cancelled", "fulfilled"}),
        ("patient/Appointment.rs?nonsense=1", set()),
        ("patient/*.rs?nonsense=1", set()),
    ],
)  # fmt: skip
async def test_criteria_mean_what_a_search_means(
    scopes: str, wanted: set[str], callers: Callers, visits: dict[str, str]
) -> None:
    caller = await _ann(callers, scopes)
    every = ",".join(visits.values())
    found = await caller.ids(f"Appointment?_id={every}")
    assert found == {f"Appointment/{visits[one]}" for one in wanted}
    for status, id_ in visits.items():
        assert (await caller.get(f"Appointment/{id_}")).status_code == (200 if status in wanted else 404), status


async def test_criteria_cut_writes_before_and_after(callers: Callers, town: Town) -> None:
    base: dict[str, Any] = {
        "resourceType": "Appointment", "participant": [
            {"actor": {"reference": town.own("ann")}, "status": "needs-action"}],
    }  # fmt: skip
    for name, status in (("open", "proposed"), ("ended", "cancelled")):
        await town.put({**base, "id": town.id(f"criteria-{name}"), "status": status})
    caller = await _ann(callers, "patient/Appointment.rs patient/Appointment.u?status=proposed "
                                 "patient/Appointment.c?status=proposed")  # fmt: skip
    within = await caller.put({**base, "id": town.id("criteria-open"), "status": "proposed", "language": "de"})
    assert within.status_code == 200, within.text
    for name, status in (("open", "cancelled"), ("ended", "proposed"), ("ended", "cancelled")):
        content = {**base, "id": town.id(f"criteria-{name}"), "status": status, "language": "fr"}
        answer = await caller.put(content)
        assert answer.status_code == 403, (name, status, answer.text)
        patch = [
            {"op": "replace", "path": "/status", "value": status},
            {"op": "add", "path": "/language", "value": "fr"},
        ]
        answer = await caller.ask("PATCH", f"Appointment/{content['id']}", json=patch, headers=JSON_PATCH)
        assert answer.status_code == 403, (name, status, answer.text)
        entry = {"resource": content, "request": {"method": "PUT", "url": f"Appointment/{content['id']}"}}
        answer = await caller.post("", {"resourceType": "Bundle", "type": "transaction", "entry": [entry]})
        assert answer.status_code == 403, (name, status, answer.text)
    answer = await caller.call(f"Appointment/{town.id('criteria-open')}/$cancel")
    assert answer.status_code == 403, answer.text
    assert (await caller.post("Appointment", {**base, "status": "proposed"})).status_code == 201
    assert (await caller.post("Appointment", {**base, "status": "waitlist"})).status_code == 403
    free = await _free(town)
    wanted = {"appointment": ("Uri", f"Appointment/{free}"), "patient": ("Reference", {"reference": town.own("ann")})}
    for operation in ("$book", "$hold"):
        answer = await caller.call(f"Appointment/{operation}", **wanted)
        assert answer.status_code == 403, (operation, answer.text)
    assert (await town.client.get(f"Appointment/{town.id('criteria-open')}")).json()["status"] == "proposed"


async def _free(town: Town) -> str:
    found = await town.find(service=f"HealthcareService/{town.id('north-visit')}", _count="1000")
    free: str = found["entry"][-1]["resource"]["id"]
    return free


async def test_a_patient_scope_of_staff_is_cut_to_the_launch_patient(callers: Callers, town: Town) -> None:
    """A front desk app that was launched for Ann does not see Ben, whom the desk may see (S12, V11)."""
    clinics = frozenset({f"Organization/{town.id('north')}"})
    desk = account(Role.FRONT_DESK, f"Practitioner/{town.id('adams')}", clinics=clinics)
    token = await callers.issuer.person(desk, "patient/*.cruds", town.own("ann"))
    caller = callers.asker("desk", token)
    caller.hidden |= {town.word("ben")}
    for type_ in ("Patient", "Appointment", "Coverage", "Encounter"):
        assert (await caller.get(town.own("ann", type_))).status_code == 200, type_
        assert (await caller.get(town.own("ben", type_))).status_code == 404, type_
        assert (await caller.ids(f"{type_}?_id={town.own_id('ann', type_)},{town.own_id('ben', type_)}")) == {
            town.own("ann", type_)
        }
    for more in ("_revinclude=Appointment:actor", "_has:Appointment:actor:identifier=" + town.word("ben")):
        await caller.get(f"Practitioner?_id={town.id('clark')}&{more}")


async def test_a_scope_is_no_role(callers: Callers, town: Town) -> None:
    """``user/*.cruds`` gives no more than the person may do (V11)."""
    cia = {"resourceType": "Organization", "name": "mine"}
    for name in ("user", "practitioner", "desk", "auditor"):
        assert (await (await callers(name)).post("Organization", cia)).status_code == 403, name
    assert (await (await callers("auditor")).get("Patient")).status_code == 403
    answer = await (await callers("auditor")).get("AuditEvent?_count=1")
    assert answer.status_code == 200, answer.text
    for name in ("practitioner", "desk", "administrator"):
        assert (await (await callers(name)).get("AuditEvent?_count=1")).status_code == 403, name


@pytest.mark.parametrize("text", ["reason-code:text={why}", "reason-code=urn:r|x", "part-status=tentative"])
async def test_criteria_tell_nothing_that_a_search_would_not(callers: Callers, town: Town, text: str) -> None:
    query = text.format(why=town.why("ben"))
    who = account(
        Role.FRONT_DESK, f"Practitioner/{town.id('desk')}", clinics=frozenset({f"Organization/{town.id('north')}"})
    )
    desk = callers.asker("desk", await callers.issuer.person(who, f"openid user/Appointment.rs?{query}"))
    person = await _ann(callers, f"openid patient/Appointment.rs?{query}")
    together = town.id("together")
    if text.startswith("reason"):
        assert await desk.ids("Appointment") == set()
        assert (await desk.get(f"Appointment/{together}")).status_code in {403, 404}
    assert f"Appointment/{together}" not in await person.ids("Appointment")
    assert (await person.get(f"Appointment/{together}")).status_code in {403, 404}


@pytest.mark.parametrize(
    "query", ["patient.name=zz", "actor:Patient.birthdate=gt1900-01-01", "_has:AppointmentResponse:appointment:_id=1"]
)
async def test_criteria_on_other_resources_grant_nothing(callers: Callers, town: Town, query: str) -> None:
    person = await _ann(callers, f"openid patient/Appointment.cruds?{query}")
    for url in (f"Appointment/{town.own_id('ann', 'Appointment')}", "Appointment/_history"):
        assert (await person.get(url)).status_code in {200, 403, 404}, url
    assert await person.ids("Appointment") == set()


async def test_break_glass_needs_a_scope_on_patients(callers: Callers, town: Town) -> None:
    who = account(
        Role.PRACTITIONER, f"Practitioner/{town.id('adams')}", clinics=frozenset({f"Organization/{town.id('north')}"})
    )
    doctor = callers.asker("practitioner", await callers.issuer.person(who, "openid fhirUser user/Appointment.rs"))
    answer = await doctor.call(f"{town.own('cia')}/$break-glass", reason=("String", "unconscious on the floor"))
    assert answer.status_code == 403
