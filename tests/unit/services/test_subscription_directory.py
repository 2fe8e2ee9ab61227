"""Of a thousand Subscriptions a fact meets those that may care, and no others."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest

from fhir_server.access.caller import Caller, Role
from fhir_server.conformance.artifacts import Artifacts
from fhir_server.remote.webhook import Outcome
from fhir_server.search import definitions
from fhir_server.services.subscriptions import topics
from fhir_server.services.subscriptions.directory import Subscriber, grouped, patients_in
from fhir_server.services.subscriptions.owner import owner_of, party_of
from fhir_server.services.subscriptions.sending import text_of, valid
from fhir_server.services.subscriptions.terms import read
from fhir_server.services.subscriptions.topics import Change
from fhir_server.store.subscriptions import Secret
from tests.builders.subscriptions import subscription

ARTIFACTS = Artifacts.load()
READER = topics.Reader(
    definitions.load(ARTIFACTS.search_parameters), ZoneInfo("UTC"), ("http://fhir.test/fhir/",)
)  # fmt: skip
TOPICS = topics.load(ARTIFACTS.topics, READER)


def subscriber(id_: str, topic: str, *filters: str, started: bool = True) -> Subscriber:
    return Subscriber(id_, read(subscription(topic, filters=filters), TOPICS, READER), {}, "x", started)


def booking(patient: str) -> Change:
    after = {
        "resourceType": "Appointment", "id": "a", "status": "booked", "start": "2030-01-01T10:00:00Z",
        "end": "2030-01-01T10:30:00Z",
        "participant": [{"actor": {"reference": f"Patient/{patient}"}, "status": "accepted"}],
    }  # fmt: skip
    return Change("Appointment", None, READER.state(after))


def test_they_are_found_by_topic_and_patient() -> None:
    made = [subscriber(f"p{n}", "appointment-booked", f"patient=Patient/{n}") for n in range(1000)]
    made += [subscriber("all", "appointment-booked"), subscriber("other", "appointment-cancelled")]
    made += [subscriber("mute", "appointment-booked", started=False), subscriber("doc", "appointment-booked",
             "practitioner=Practitioner/d")]  # fmt: skip
    made += [subscriber("classic", "Appointment?status=booked&patient=Patient/7")]
    groups = grouped(made)
    assert len(groups) == 3
    change = booking("7")
    met = {one.id for group in groups if group.fires(change) for one in group.concerned(patients_in(change))}
    assert met == {"p7", "all", "doc", "classic"}
    assert {one for one in met if next(each for each in made if each.id == one).cares(change)} == {
        "p7",
        "all",
        "classic",
    }


def test_a_filter_of_several_patients_counts_once() -> None:
    (group,) = grouped([subscriber("two", "appointment-booked", "patient=Patient/1,Patient/2")])
    assert [one.id for one in group.concerned(["Patient/1", "Patient/2"])] == ["two"]


def test_who_owns_it() -> None:
    caller = Caller("app", "online", Role.PATIENT, subject="me", issuer="https://ehr.example", token="jti")
    assert party_of(owner_of(caller)) == caller.party == "app|me"
    assert owner_of(caller)["token"] == ""
    assert owner_of(caller, token=True)["token"] == "jti"
    assert party_of(owner_of(Caller("backend"))) == "backend"


def test_secrets_sign_until_they_are_over() -> None:
    secrets = [Secret("a", "1", 100), Secret("b", "2", 300), Secret("c", "3")]
    assert [one.id for one in valid(secrets, 50)] == ["c", "b", "a"]
    assert [one.id for one in valid(secrets, 100)] == ["c", "b"]


@pytest.mark.parametrize("error", ["dns", "tls", "connect", "timeout", "too-slow"])
def test_what_is_said_of_the_network_is_nothing(error: str) -> None:
    """N21."""
    assert text_of(Outcome(error=error)) == text_of(Outcome(error="connect"))
