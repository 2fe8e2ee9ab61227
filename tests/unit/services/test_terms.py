"""Terms in FHIR become values of the domain, and bad terms are named."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from fhir_server.conformance.artifacts import Artifacts
from fhir_server.errors import Category
from fhir_server.scheduling.no_show import NoShowTerms
from fhir_server.scheduling.reminders import Confirming, Quiet
from fhir_server.scheduling.reminders import Rule as ReminderRule
from fhir_server.scheduling.terms import Limit, Opening, Override, Policy, Rule, ServiceTerms
from fhir_server.scheduling.waitlist_terms import WaitlistTerms
from fhir_server.services import terms
from fhir_server.services.shapes import OWN, TIMEZONE

NEW_YORK = ZoneInfo("America/New_York")
EXAMPLES = Artifacts.load().examples
H = 3600


def part(url, **value):
    return {"url": url, **value}


def extension(name, *parts):
    return {"url": f"{OWN}{name}", "extension": list(parts)}


def minutes(value):
    return {"value": value, "unit": "min", "system": "http://unitsofmeasure.org", "code": "min"}


def schedule(*extensions, zone="America/New_York"):
    stated = [part(TIMEZONE, valueCode=zone)] if zone else []
    return {
        "resourceType": "Schedule",
        "id": "s",
        "actor": [{"reference": "Practitioner/1"}],
        "extension": [*stated, *extensions],
    }


def hours(start="09:00:00", end="17:00:00", *parts):
    return extension("availability", part("startTime", valueTime=start), part("endTime", valueTime=end), *parts)


def override(kind="closed", start="2026-12-24", end="2026-12-26", *parts):
    return extension(
        "availability-override",
        part("kind", valueCode=kind),
        part("period", valuePeriod={"start": start, "end": end}),
        *parts,
    )


def found(resource):
    return [(issue.expression, issue.category) for issue in terms.problems(resource)]


def test_the_example_schedule_in_the_domain():
    opening = terms.opening(EXAMPLES["Schedule/example-schedule"])
    service = frozenset({"HealthcareService/example-follow-up"})
    assert opening == Opening(
        (
            Rule(
                frozenset({0, 1, 3}),
                8 * H,
                12 * H,
                date(2026, 1, 1),
                date(2027, 12, 31),
                location="Location/example-site",
            ),
            Rule(frozenset({2}), 22 * H, 2 * H, date(2026, 1, 7), None, 2, service, frozenset({"video"})),
        ),
        (
            Override("closed", date(2026, 12, 24), date(2026, 12, 31)),
            Override(
                "open",
                date(2026, 11, 28),
                date(2026, 11, 28),
                start=9 * H,
                end=13 * H,
                services=service,
                modalities=frozenset({"in-person"}),
                location="Location/example-site",
            ),
            Override("replace", period_start=1796666400, period_end=1796680800),
        ),
        NEW_YORK,
    )
    assert terms.locations(EXAMPLES["Schedule/example-schedule"]) == ("Location/example-site",)
    assert terms.offers(EXAMPLES["Schedule/example-schedule"]) == ("HealthcareService/example-follow-up",)
    assert terms.has_rules(EXAMPLES["Schedule/example-schedule"])
    assert terms.policy(EXAMPLES["Schedule/example-schedule"]) == Policy(horizon=90 * 86400)


def test_the_example_service_and_clinic_in_the_domain():
    service = EXAMPLES["HealthcareService/example-follow-up"]
    assert terms.service_terms(service) == ServiceTerms(
        "HealthcareService/example-follow-up", (1200, 2400), 300, 300, 600, 300, new_patients=False
    )
    assert [one.get("reference") for one in terms.requirements(service)] == ["Location/example-room", None]
    assert terms.policy(EXAMPLES["Organization/example-clinic"]) == Policy(
        minimum_notice=2 * H,
        horizon=180 * 86400,
        limits=(Limit("online", "day", 8), Limit("patient", "month", 4)),
        hold_duration=600,
        max_hold_duration=1800,
        max_holds=3,
        cancel_cutoff=86400,
        reschedule_cutoff=12 * H,
        max_reschedules=3,
        overbooking=1,
        assignment="least-loaded",
        reminders=True,
        reminder_rules=(
            ReminderRule("confirmation-request", 3 * 86400, ("sms", "email")),
            ReminderRule("reminder", 2 * H, ("push",), frozenset({"video"})),
        ),
        quiet=Quiet(21 * H, 8 * H),
        confirming=Confirming(86400, 86400, release=True),
        notices=True,
        message_detail=False,
        consent_required=frozenset({"voice"}),
        waitlist=WaitlistTerms(
            ("urgency", "established", "since"), H // 2, 2 * H, 21 * H, 8 * H, 3, "clinic", True, False
        ),
        checkin_opens=H,
        checkin_closes=H // 2,
        undo_window=86400,
        no_show=NoShowTerms(
            actions=("restrict-advance", "fee"), advance=7 * 86400, amount={"value": 25, "currency": "USD"}
        ),
    )


def test_what_is_not_said():
    bare = {"resourceType": "HealthcareService", "id": "x"}
    assert terms.service_terms(bare) == ServiceTerms("HealthcareService/x", (terms.DEFAULT_DURATION,))
    assert terms.requirements(bare) == ()
    assert terms.policy(bare) == Policy()
    assert terms.zone(bare) is None
    assert terms.offers(bare) == ()
    assert terms.locations(bare) == ()
    assert not terms.has_rules(bare)
    assert terms.problems(bare) == []
    assert terms.planning_horizon({"resourceType": "Schedule"}) == (None, None)


def test_flags_and_confirmation():
    stated = terms.service_terms(
        {
            "id": "x",
            "extension": [
                extension(
                    "service-parameters",
                    part("duration", valueDuration=minutes(Decimal("20.0"))),
                    part("referralRequired", valueBoolean=True),
                    part("onlineBooking", valueBoolean=False),
                    part("newPatients", valueBoolean=True),
                    part("confirmation", valueCode="manual"),
                    part("capacity", valuePositiveInt=8),
                )
            ],
        }
    )
    assert stated == ServiceTerms(
        "HealthcareService/x", (1200,), capacity=8, referral_required=True, online_booking=False, confirmation="manual"
    )


def test_the_zone_is_the_schedules_own_before_any_other():
    assert terms.opening(schedule(hours()), ZoneInfo("UTC")).zone == NEW_YORK
    assert terms.opening(schedule(hours(), zone=None), ZoneInfo("Europe/Berlin")).zone == ZoneInfo("Europe/Berlin")
    with pytest.raises(ValueError, match="needs a time zone"):
        terms.opening(schedule(hours(), zone=None))
    with pytest.raises(ValueError, match="not an IANA"):
        terms.zone(schedule(zone="Mars/Olympus"))


@pytest.mark.parametrize(
    ("effective", "first", "last"),
    [
        ({"start": "2026", "end": "2026"}, date(2026, 1, 1), date(2026, 12, 31)),
        ({"start": "2028-02", "end": "2028-02"}, date(2028, 2, 1), date(2028, 2, 29)),
        ({"start": "2026-05-05T23:30:00-05:00"}, date(2026, 5, 5), None),
        ({"end": "2026-05-05"}, None, date(2026, 5, 5)),
    ],
)
def test_effective_dates_of_any_precision(effective, first, last):
    resource = schedule(hours("09:00:00", "10:00:00", part("effective", valuePeriod=effective)))
    (rule,) = terms.opening(resource).rules
    assert (rule.effective_from, rule.effective_until) == (first, last)
    assert found(resource) == []


def test_an_override_of_a_datetime_and_a_date_ends_with_the_local_day():
    (one,) = terms.opening(schedule(override("closed", "2026-11-23T12:00:00-05:00", "2026-11-23"))).overrides
    assert (one.period_start, one.period_end) == (1795453200, 1795453200 + 12 * H)
    (one,) = terms.opening(
        schedule(
            extension(
                "availability-override",
                part("kind", valueCode="closed"),
                part("period", valuePeriod={"start": "2026-11-23"}),
            )
        )
    ).overrides
    assert (one.first, one.last) == (date(2026, 11, 23), None)


def test_planning_horizon_in_seconds():
    resource = schedule()
    resource["planningHorizon"] = {"start": "2026-11-23", "end": "2026-11-23"}
    assert terms.planning_horizon(resource) == (1795410000, 1795410000 + 86400)
    del resource["extension"]
    assert terms.planning_horizon(resource, ZoneInfo("UTC")) == (1795392000, 1795392000 + 86400)
    assert terms.planning_horizon(resource) == (1795392000, 1795392000 + 86400)


INVALID, REQUIRED, RULE = Category.INVALID, Category.REQUIRED, Category.RULE
AT = "Schedule.extension[1]"


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (extension("availability"), [(AT, REQUIRED), (AT, REQUIRED)]),
        (hours("9:00"), [(f"{AT}.extension[0].valueTime", INVALID)]),
        (hours("09:00:00", "24:00:00"), [(f"{AT}.extension[1].valueTime", INVALID)]),
        (
            hours("09:00:00", "10:00:00", part("daysOfWeek", valueCode="monday")),
            [(f"{AT}.extension[2].valueCode", INVALID)],
        ),
        (hours("09:00:00", "10:00:00", part("daysOfWeek", valueString="mon")), [(f"{AT}.extension[2]", INVALID)]),
        (hours("09:00:00", "10:00:00", part("startTime", valueTime="08:00:00")), [(f"{AT}.extension[2]", INVALID)]),
        (hours("09:00:00", "10:00:00", part("dayOfWeek", valueCode="mon")), [(f"{AT}.extension[2].url", INVALID)]),
        (
            hours("09:00:00", "10:00:00", part("weekInterval", valuePositiveInt=0)),
            [(f"{AT}.extension[2].valuePositiveInt", INVALID)],
        ),
        (hours("09:00:00", "10:00:00", part("modality", valueCode="fax")), [(f"{AT}.extension[2].valueCode", INVALID)]),
        (
            hours("09:00:00", "10:00:00", part("service", valueReference={"reference": "Slot/1"})),
            [(f"{AT}.extension[2].valueReference", INVALID)],
        ),
        (
            hours("09:00:00", "10:00:00", part("location", valueReference={"display": "x"})),
            [(f"{AT}.extension[2].valueReference", INVALID)],
        ),
        (
            hours("09:00:00", "10:00:00", part("effective", valuePeriod={})),
            [(f"{AT}.extension[2].valuePeriod", INVALID)],
        ),
        (
            hours("09:00:00", "10:00:00", part("effective", valuePeriod={"start": "2026-05-01", "end": "2026-04-01"})),
            [(f"{AT}.extension[2].valuePeriod", RULE)],
        ),
        (override("shut"), [(f"{AT}.extension[0].valueCode", INVALID)]),
        (override("closed", "2026-12", "2026-12"), [(f"{AT}.extension[1].valuePeriod", INVALID)]),
        (override("closed", "2026-12-24T10:00:00", "2026-12-25"), [(f"{AT}.extension[1].valuePeriod", INVALID)]),
        (override("closed", "2026-12-24", "2026-12-01"), [(f"{AT}.extension[1].valuePeriod", RULE)]),
        (
            override("closed", "2026-12-24T10:00:00Z", "2026-12-24T09:00:00Z"),
            [(f"{AT}.extension[1].valuePeriod", RULE)],
        ),
        (extension("availability-override", part("kind", valueCode="closed")), [(AT, REQUIRED)]),
        (
            extension("booking-policy", part("horizon", valueDuration=minutes(0))),
            [(f"{AT}.extension[0].valueDuration", INVALID)],
        ),
        (
            extension("booking-policy", part("minimumNotice", valueDuration={"value": 1, "code": "mo"})),
            [(f"{AT}.extension[0].valueDuration", INVALID)],
        ),
        (
            extension("booking-policy", part("assignment", valueCode="random")),
            [(f"{AT}.extension[0].valueCode", INVALID)],
        ),
        (
            extension(
                "booking-policy",
                part("limit", extension=[part("scope", valueCode="all"), part("per", valueCode="year")]),
            ),
            [(f"{AT}.extension[0].extension[1].valueCode", INVALID), (f"{AT}.extension[0]", REQUIRED)],
        ),
        ({"url": f"{OWN}offers", "valueReference": {"reference": "Patient/1"}}, [(f"{AT}.valueReference", INVALID)]),
        ({"url": f"{OWN}offers", "valueString": "x"}, [(AT, INVALID)]),
        ({"url": f"{OWN}service-parameters", "extension": []}, [(f"{AT}.url", INVALID)]),
        ({"url": f"{OWN}availabilty", "valueString": "x"}, [(f"{AT}.url", INVALID)]),
        (part(TIMEZONE, valueCode="UTC"), [(AT, INVALID)]),
    ],
)
def test_a_bad_term_is_named_at_its_place(made, expected):
    assert found(schedule(made)) == expected


@pytest.mark.parametrize("zone", ["Mars/Olympus", "", "../etc/passwd", "America", "est"])
def test_an_unknown_zone_is_named(zone):
    assert found({"resourceType": "Location", "extension": [part(TIMEZONE, valueCode=zone)]}) == [
        ("Location.extension[0].valueCode", INVALID)
    ]


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([], [("HealthcareService.extension[0]", REQUIRED)]),
        (
            [part("duration", valueDuration=minutes(0))],
            [("HealthcareService.extension[0].extension[0].valueDuration", INVALID)],
        ),
        (
            [part("duration", valueDuration={"value": 1, "unit": "visit"})],
            [("HealthcareService.extension[0].extension[0].valueDuration", INVALID)],
        ),
        (
            [part("duration", valueDuration=minutes(10)), part("requires", valueReference={"reference": "Patient/1"})],
            [("HealthcareService.extension[0].extension[1].valueReference", INVALID)],
        ),
        (
            [
                part("duration", valueDuration=minutes(10)),
                part("requires", valueCodeableConcept={"text": "any room"}),
                part("requires", valueReference={"reference": "https://ehr.example/fhir/Device/1"}),
                part("requires", valueReference={"type": "Group", "identifier": {"value": "rooms"}}),
                part("https://example.org/extra", valueString="ours holds others"),
            ],
            [],
        ),
    ],
)
def test_service_parameters(parts, expected):
    assert (
        found({"resourceType": "HealthcareService", "extension": [extension("service-parameters", *parts)]}) == expected
    )


def test_contradicting_hours_are_named():
    place = {"reference": "Location/1"}, {"reference": "Location/2"}
    two = schedule(*(hours("09:00:00", "12:00:00", part("location", valueReference=one)) for one in place))
    assert found(two) == [("Schedule.extension[2].extension[2].valueReference", RULE)]
    closed_over_open = schedule(override("closed"), override("open"))
    assert found(closed_over_open) == [("Schedule.extension[1].extension[1].valuePeriod", RULE)]


def test_contradictions_are_found_before_the_zone_is_known():
    assert found(schedule(override("closed"), override("open"), zone=None)) == [
        ("Schedule.extension[0].extension[1].valuePeriod", RULE)
    ]


def test_extensions_of_others_are_left_alone():
    assert found(schedule({"url": "https://example.org/availability", "valueString": "x"})) == []


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("booking-channel", {"valueCode": "online"}, []),
        ("booking-channel", {"valueCode": "fax"}, [("Appointment.extension[0].valueCode", INVALID)]),
        ("held-until", {"valueInstant": "2026-11-23T09:00:00Z"}, []),
        ("held-until", {"valueDateTime": "2026-11-23"}, [("Appointment.extension[0]", INVALID)]),
        ("modality", {"valueCode": "video"}, []),
        ("override-reason", {"valueString": "urgent"}, []),
    ],
)
def test_extensions_of_an_appointment(name, value, expected):
    assert found({"resourceType": "Appointment", "extension": [{"url": f"{OWN}{name}", **value}]}) == expected
