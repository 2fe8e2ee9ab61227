"""Topics fire for the changes that they name and for no others; filters are read or refused."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

import pytest

from fhir_server.conformance.artifacts import Artifacts
from fhir_server.errors import Category, Problem
from fhir_server.search import definitions
from fhir_server.search.match import matches
from fhir_server.services.subscriptions import terms as terms_of
from fhir_server.services.subscriptions import topics
from fhir_server.services.subscriptions.path_criteria import compile_criteria
from fhir_server.services.subscriptions.topics import Change
from fhir_server.settings import CANONICAL
from tests.builders.subscriptions import BACKPORT, subscription, topic

ARTIFACTS = Artifacts.load()
READER = topics.Reader(
    definitions.load(ARTIFACTS.search_parameters), ZoneInfo("UTC"), ("http://fhir.test/fhir/",)
)  # fmt: skip
TOPICS = topics.load(ARTIFACTS.topics, READER)
HELD_UNTIL = [{"url": f"{CANONICAL}StructureDefinition/held-until", "valueInstant": "2030-01-01T09:00:00Z"}]
WAITLIST = [{"url": f"{CANONICAL}StructureDefinition/booking-channel", "valueCode": "waitlist"}]


def appointment(status: str, *, patient: str = "needs-action", start: str = "2030-01-01T10:00:00Z", **more: Any) -> Any:
    return {
        "resourceType": "Appointment", "id": "a", "status": status, "start": start, "end": "2030-01-01T10:30:00Z",
        "slot": [{"reference": "Slot/s"}],
        "participant": [
            {"actor": {"reference": "Patient/p"}, "status": patient},
            {"actor": {"reference": "Practitioner/d"}, "status": "accepted"},
        ],
        **more,
    }  # fmt: skip


def fired(before: Any, after: Any) -> set[str]:
    type_ = (after or before)["resourceType"]
    change = Change(type_, READER.state(before), READER.state(after))
    return {url.rpartition("/")[2] for url, one in TOPICS.by_url.items() if one.fires(change)} - {"appointment-changed"}


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (None, appointment("booked"), {"appointment-booked"}),
        (appointment("pending", extension=HELD_UNTIL), appointment("booked"), {"appointment-booked"}),
        (appointment("cancelled"), appointment("booked"), {"appointment-booked"}),
        (appointment("arrived"), appointment("booked"), set()),
        (appointment("booked"), appointment("booked", comment="x"), set()),
        (appointment("booked"), appointment("cancelled"), {"appointment-cancelled"}),
        (appointment("cancelled"), appointment("cancelled", comment="x"), set()),
        (None, appointment("cancelled"), set()),
        (appointment("pending"), appointment("cancelled"), {"appointment-cancelled"}),
        (appointment("pending", extension=HELD_UNTIL), appointment("cancelled"), set()),
        (
            appointment("pending", extension=HELD_UNTIL),
            appointment("cancelled", cancelationReason={"text": "the hold expired"}),
            {"hold-expired"},
        ),
        (appointment("booked"), None, {"appointment-cancelled"}),
        (appointment("cancelled"), None, set()),
        (appointment("booked"), appointment("booked", start="2030-01-01T09:00:00Z"), {"appointment-rescheduled"}),
        (appointment("booked"), appointment("booked", start="2030-01-01T11:00:00+01:00"), set()),
        (
            appointment("booked"),
            appointment("booked", slot=[{"reference": "Slot/other"}]),
            {"appointment-rescheduled"},
        ),
        (appointment("booked"), appointment("booked", patient="accepted"), {"appointment-confirmed"}),
        (appointment("booked", patient="accepted"), appointment("booked", patient="accepted", comment="x"), set()),
        (appointment("booked"), appointment("checked-in"), {"appointment-checked-in"}),
        (appointment("arrived"), appointment("checked-in"), set()),
        (appointment("checked-in"), appointment("fulfilled"), {"appointment-fulfilled"}),
        (appointment("booked"), appointment("noshow"), {"appointment-no-show"}),
        (appointment("waitlist"), appointment("pending", extension=WAITLIST), {"waitlist-offered"}),
        (None, appointment("pending", extension=WAITLIST), {"waitlist-offered"}),
        (None, appointment("pending"), set()),
        (
            appointment("pending", extension=WAITLIST),
            appointment("booked", extension=WAITLIST),
            {"appointment-booked", "waitlist-accepted"},
        ),
    ],
)
def test_what_an_appointment_fires(before: Any, after: Any, expected: set[str]) -> None:
    """N15: what was and what is decide together."""
    assert fired(before, after) == expected


def test_slots_and_schedules() -> None:
    slot = {"resourceType": "Slot", "id": "s", "schedule": {"reference": "Schedule/1"}, "status": "busy"}
    free = {**slot, "status": "free"}
    assert fired(slot, free) == fired(slot, None) == {"slot-freed"}
    assert fired(free, slot) == fired(None, free) == fired(free, None) == set()
    schedule = {"resourceType": "Schedule", "id": "1", "actor": [{"reference": "Practitioner/d"}]}
    assert fired(None, schedule) == fired(schedule, {**schedule, "comment": "x"}) == {"schedule-changed"}


def test_every_version_is_a_change() -> None:
    every = TOPICS.by_url[topic("appointment-changed")]
    booked = READER.state(appointment("booked"))
    for before, after in ((None, booked), (booked, booked), (booked, None)):
        assert every.fires(Change("Appointment", before, after))
    assert not every.fires(Change("Slot", booked, booked))


@pytest.mark.parametrize(
    "text", ["", "%current.status", "status = 'x'", "%current.status = ", "%now.x = 'y'", "%current.a..b = 'x'"]
)
def test_path_criteria_that_cannot_be_read(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        compile_criteria(text)


def test_path_criteria_compare_the_two_states() -> None:
    test = compile_criteria("%previous.status = 'a or b' and %current.comment.exists() or %current.status = 'x'")
    one = {"resourceType": "Appointment", "status": "a or b", "comment": "c"}
    assert test(one, one)
    assert not test(None, one)
    assert not test(one, {"resourceType": "Appointment", "status": "y"})
    assert test(None, {"resourceType": "Appointment", "status": "x"})
    assert not compile_criteria("%previous.status != %current.status")(None, one)


# -- terms -----------------------------------------------------------------------------------------------------------


def read(resource: Any) -> terms_of.Terms:
    return terms_of.read(resource, TOPICS, READER)


def test_the_terms_of_a_topic() -> None:
    found = read(subscription("appointment-booked", heartbeat=60, most=5, timeout=7, headers=("A: b:c",)))
    assert (found.topic, found.types, found.channel) == (topic("appointment-booked"), {"Appointment"}, "rest-hook")
    assert (found.content, found.payload, found.heartbeat) == ("id-only", "application/fhir+json", 60)
    assert (found.most, found.timeout, found.headers) == (5, 7, ("A: b:c",))


def test_a_classic_search_is_a_topic_of_its_own() -> None:
    resource = subscription("Appointment?status=booked&patient=Patient/p")
    del resource["channel"]["_payload"]
    found = read(resource)
    assert (found.topic, found.content) == ("", "full-resource")
    (trigger,) = found.triggers
    old, new = READER.state(appointment("cancelled")), READER.state(appointment("booked"))
    assert trigger.fires(Change("Appointment", old, new))
    assert trigger.fires(Change("Appointment", None, new))
    assert not trigger.fires(Change("Appointment", new, old))
    assert not trigger.fires(Change("Appointment", new, None))
    del resource["channel"]["payload"]
    assert read(resource).content == "empty"


@pytest.mark.parametrize(
    "text", ["Appointment?patient=Patient/p", "Appointment.patient=Patient/p", "patient=Patient/p",
             "?patient=Patient/p", "Appointment?patient=http://fhir.test/fhir/Patient/p"],
)  # fmt: skip
def test_every_spelling_of_a_filter_is_read(text: str) -> None:
    """N14."""
    clauses = read(subscription(filters=(text,))).filtered("Appointment")
    booked, other = appointment("booked"), appointment("booked", participant=[{"actor": {"reference": "Patient/q"}}])
    assert matches(clauses, READER.state(booked).document)  # type: ignore[union-attr]
    assert not matches(clauses, READER.state(other).document)  # type: ignore[union-attr]


def test_filters_are_and() -> None:
    """N14: all criteria, and all parts of one."""
    one, other = "patient=Patient/p", "practitioner=Practitioner/x"
    for filters in ((one, other), (f"{one}&{other}",)):
        clauses = read(subscription(filters=filters)).filtered("Appointment")
        assert len(clauses) == 2
        assert not matches(clauses, READER.state(appointment("booked")).document)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "text",
    [
        "Encounter.patient=Patient/123", "Encounter?patient=Patient/1", "Appointment?reason-code=x", "nonsense", "",
        "Appointment?patient.name=x", "Appointment?_has:Flag:patient:status=x", "Appointment?date=yesterday",
        "patient:exact=x", "Appointment?patient", "Appointment?_count=5", "Appointment?status:above=booked",
    ],
)  # fmt: skip
def test_a_filter_that_is_not_understood_is_refused(text: str) -> None:
    """N14: never ignored."""
    with pytest.raises(Problem) as refused:
        read(subscription(filters=(text,)))
    assert refused.value.category is Category.RULE
    assert {one.expression for one in refused.value.issues} == {"Subscription.criteria.extension[0]"}


@pytest.mark.parametrize(
    ("change", "status", "place"),
    [
        ({"criteria": "http://example.org/topics/none"}, 422, "Subscription.criteria"),
        ({"criteria": "AuditEvent?patient=x"}, 422, "Subscription.criteria"),
        ({"criteria": "Subscription?status=active"}, 422, "Subscription.criteria"),
        ({"criteria": "Patient?name=x&_count=4"}, 422, "Subscription.criteria"),
        ({"criteria": "Appointment?patient.name=x"}, 422, "Subscription.criteria"),
        ({"extension": [{"url": f"{terms_of.R5}extension-Subscription.topic", "valueUri": "x"}]}, 422,
         "Subscription.extension[0]"),
        ({"channel": {"type": "sms"}}, 422, "Subscription.channel.type"),
        ({"channel": {"payload": "text/plain"}}, 422, "Subscription.channel.payload"),
        ({"channel": {"payload": None}}, 400, "Subscription.channel.payload"),
        ({"channel": {"_payload": None}}, 400, "Subscription.channel.payload.extension"),
        ({"channel": {"endpoint": None}}, 400, "Subscription.channel.endpoint"),
        ({"channel": {"type": "email", "endpoint": "mailto:x@clinic.example", "_payload": {"extension": [
            {"url": f"{BACKPORT}backport-payload-content", "valueCode": "full-resource"}]}}}, 422,
         "Subscription.channel.payload"),
        ({"channel": {"extension": [{"url": f"{BACKPORT}backport-heartbeat-period", "valueUnsignedInt": 1}]}}, 422,
         "Subscription.channel.extension"),
        ({"channel": {"extension": [{"url": terms_of.LOCATION, "valueCode": "none"}]}}, 422,
         "Subscription.channel.extension[0]"),
        ({"channel": {"extension": [{"url": "urn:x", "valueString": "x"}]}}, 422,
         "Subscription.channel.extension[0]"),
    ],
)  # fmt: skip
def test_what_is_refused_names_its_place(change: Any, status: int, place: str) -> None:
    resource = subscription()
    for name, value in change.items():
        resource[name] = {**resource[name], **value} if name == "channel" else value
    resource["channel"] = {name: value for name, value in resource["channel"].items() if value is not None}
    with pytest.raises(Problem) as refused:
        read(resource)
    assert refused.value.category.status == status
    assert place in {one.expression for one in refused.value.issues}


@pytest.mark.parametrize("where", sorted(terms_of.LOCATIONS))
def test_where_urls_are_is_everywhere(where: str) -> None:
    resource = subscription()
    resource["channel"]["extension"] = [{"url": terms_of.LOCATION, "valueCode": where}]
    assert read(resource).channel == "rest-hook"
