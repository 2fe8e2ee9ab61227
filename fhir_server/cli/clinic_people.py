"""Who works in and who visits the demo clinic: practitioners, patients, a parent, coverages; all invented."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from random import Random
from typing import Any

from fhir_server.cli.clinic_hours import practice_of
from fhir_server.cli.clinic_places import ORGANIZATION, PAYER
from fhir_server.cli.clinic_services import INTERNAL, PRIMARY_CARE, specialty_of
from fhir_server.settings import CANONICAL

_DOCTORS = (
    *("Adams", "Baker", "Chen", "Diaz", "Evans", "Fischer", "Garcia", "Hughes", "Ivanova", "Johnson", "Kim", "Lopez"),
    *("Martin", "Nguyen", "Okafor", "Patel", "Quinn", "Rossi", "Singh", "Tanaka", "Ueda", "Vogel", "Walker", "Xu"),
    *("Young", "Zimmermann"),
)
_FAMILIES = (
    *(
        "Abbott",
        "Bennett",
        "Castillo",
        "Dawson",
        "Ellis",
        "Flores",
        "Gibson",
        "Harper",
        "Ibrahim",
        "Jensen",
        "Kowalski",
    ),
    *(
        "Larsen",
        "Mendoza",
        "Novak",
        "Olsen",
        "Pereira",
        "Reyes",
        "Sato",
        "Torres",
        "Usman",
        "Vargas",
        "Weber",
        "Yilmaz",
    ),
)
_WOMEN = ("Ana", "Beth", "Clara", "Diana", "Elena", "Fatima", "Grace", "Hana", "Irene", "Julia", "Kira", "Lucia")
_MEN = ("Alan", "Boris", "Carl", "David", "Emil", "Felix", "George", "Hugo", "Ivan", "James", "Karim", "Leo")
_LANGUAGES = {"en": "English", "es": "Spanish", "zh": "Chinese", "ru": "Russian", "fr": "French", "de": "German"}
_SECOND_LANGUAGES = ("es", "zh", "ru", "fr", "de")
_AREAS = (
    212,
    *(one for one in range(201, 990) if one != 212 and one // 10 % 10 != 9 and one % 100 % 11 and one // 100 != 5),
)
"""Area codes, New York's first: of places (not N00, N11, N22 … and 5XX) and not kept for later (N9X)."""

_FIRST_BIRTH = date(1935, 1, 1)
_BIRTH_DAYS = 88 * 365
_CHILD_SINCE = "2012-01-01"
_REFERRAL_STEP = 5
_GENERALISTS = (PRIMARY_CARE, INTERNAL)
_SNOMED = "http://snomed.info/sct"


def practitioner_id(index: int) -> str:
    """``dr-adams`` for the first; the names repeat with a number after the last."""
    round_, place = divmod(index, len(_DOCTORS))
    return f"dr-{_DOCTORS[place].lower()}" + (f"-{round_ + 1}" if round_ else "")


def practitioner_name(index: int) -> str:
    """The name as it is shown, e.g. ``Dr. Ana Adams``."""
    prefix, given, family = _practitioner(index)
    return f"{prefix} {given} {family}".strip()


def clinicians(count: int = 50) -> dict[str, str]:
    """Ids and names of the first practitioners of any demo clinic."""
    return {practitioner_id(index): practitioner_name(index) for index in range(count)}


def practitioners(count: int) -> Iterator[dict[str, Any]]:
    """The Practitioners with an NPI outside the range that is issued."""
    for index in range(count):
        prefix, given, family = _practitioner(index)
        name: dict[str, Any] = {"text": practitioner_name(index), "family": family, "given": [given]}
        if prefix:
            name["prefix"] = [prefix]
        second = _SECOND_LANGUAGES[index % len(_SECOND_LANGUAGES)]
        yield {
            "resourceType": "Practitioner",
            "id": practitioner_id(index),
            "identifier": [{"system": "http://hl7.org/fhir/sid/us-npi", "value": _npi(index)}],
            "active": True,
            "name": [name],
            "telecom": [{"system": "email", "value": f"{practitioner_id(index)}@example.org", "use": "work"}],
            "gender": "male" if index % 2 else "female",
            "communication": [_language("en"), _language(second)],
        }


def staff() -> Iterator[dict[str, Any]]:
    """Those who work in the clinic and treat nobody."""
    for id_, given, family in (
        ("frontdesk-1", "Sam", "Reception"),
        ("admin-1", "Kim", "Office"),
        ("auditor-1", "Toni", "Records"),
    ):
        name = {"text": f"{given} {family}", "family": family, "given": [given]}
        yield {"resourceType": "Practitioner", "id": id_, "active": True, "name": [name]}


def roles(count: int) -> Iterator[dict[str, Any]]:
    """One PractitionerRole each: specialty and sites."""
    for index in range(count):
        practice = practice_of(index)
        yield {
            "resourceType": "PractitionerRole",
            "id": f"{practitioner_id(index)}-role",
            "active": True,
            "practitioner": {
                "reference": f"Practitioner/{practitioner_id(index)}",
                "display": practitioner_name(index),
            },
            "organization": {"reference": f"Organization/{ORGANIZATION}"},
            "code": [{"text": practice.title}],
            "specialty": [specialty_of(practice.specialty)],
            "location": [{"reference": f"Location/{site}"} for site in practice.sites],
            "healthcareService": [{"reference": f"HealthcareService/{id_}"} for id_ in practice.offers],
        }


def patients(count: int, practitioner_count: int, seed: int) -> Iterator[dict[str, Any]]:
    """``patient-1`` … ``patient-<count>``; a patient depends on the seed and its number, its doctor on the doctors."""
    doctors = [index for index in range(practitioner_count) if practice_of(index).specialty in _GENERALISTS]
    for number in range(1, count + 1):
        random = Random(f"{seed}/patient/{number}")  # noqa: S311  invented people, not secrets
        gender, names = random.choice((("female", _WOMEN), ("male", _MEN)))
        birth = _FIRST_BIRTH + timedelta(days=random.randrange(_BIRTH_DAYS))
        resource: dict[str, Any] = {
            "resourceType": "Patient",
            "id": f"patient-{number}",
            "identifier": [{"system": f"{CANONICAL}NamingSystem/demo-mrn", "value": f"MRN-{number:06}"}],
            "active": True,
            "name": [{"use": "official", "family": random.choice(_FAMILIES), "given": [random.choice(names)]}],
            "telecom": [
                *_phone(number),
                {"system": "email", "value": f"patient-{number}@example.org"},
            ],
            "gender": gender,
            "birthDate": birth.isoformat(),
            "address": [
                {
                    "line": [f"{random.randrange(1, 400)} Example Street"],
                    "city": "New York",
                    "state": "NY",
                    "postalCode": "10001",
                    "country": "US",
                }
            ],
            "communication": [{"language": _language(_spoken(random, number))}],
            "managingOrganization": {"reference": f"Organization/{ORGANIZATION}"},
        }
        if doctors:
            doctor = practitioner_id(random.choice(doctors))
            resource["generalPractitioner"] = [{"reference": f"Practitioner/{doctor}"}]
        yield resource


def _phone(number: int) -> Iterator[dict[str, Any]]:
    """A number of the patient's own of those that are kept for fiction: 555-0100 … 555-0199 of every area.

    Patients after the last such number have none.
    """
    area, last = divmod(number, 100)
    if area < len(_AREAS):
        yield {"system": "phone", "value": f"+1-{_AREAS[area]}-555-01{last:02}", "use": "mobile"}


def _spoken(random: Random, number: int) -> str:
    """What a patient speaks; the first, whom the README is about, speaks as the README does."""
    language = "en" if random.random() < 0.8 else random.choice(_SECOND_LANGUAGES)
    return "en" if number == 1 else language


def related_persons(patients: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """``parent-1``, a parent of the first child among the patients."""
    for child in patients:
        if child["birthDate"] < _CHILD_SINCE:
            continue
        yield {
            "resourceType": "RelatedPerson",
            "id": "parent-1",
            "active": True,
            "patient": {"reference": f"Patient/{child['id']}"},
            "relationship": [
                {
                    "coding": [
                        {
                            "system": "http://terminology.hl7.org/CodeSystem/v3-RoleCode",
                            "code": "PRN",
                            "display": "parent",
                        }
                    ]
                }
            ],
            "name": [{"family": child["name"][0]["family"], "given": ["Robin"]}],
        }
        return


def coverages(count: int) -> Iterator[dict[str, Any]]:
    """A Coverage for every second patient, the first among them."""
    for number in range(1, count + 1, 2):
        yield {
            "resourceType": "Coverage",
            "id": f"coverage-{number}",
            "status": "active",
            "subscriberId": f"DHP-{number:06}",
            "beneficiary": {"reference": f"Patient/patient-{number}"},
            "payor": [{"reference": f"Organization/{PAYER}"}],
        }


def referred(count: int) -> range:
    """Numbers of the patients who hold a referral for physical therapy."""
    return range(1, count + 1, _REFERRAL_STEP)


def referrals(count: int, practitioner_count: int) -> Iterator[dict[str, Any]]:
    """An active ServiceRequest for physical therapy for every fifth patient, the first among them."""
    for number in referred(count):
        resource: dict[str, Any] = {
            "resourceType": "ServiceRequest",
            "id": f"referral-{number}",
            "status": "active",
            "intent": "order",
            "category": [{"coding": [{"system": _SNOMED, "code": "3457005", "display": "Patient referral"}]}],
            "code": {
                "coding": [{"system": _SNOMED, "code": "91251008", "display": "Physical therapy procedure"}],
                "text": "Physical therapy",
            },
            "subject": {"reference": f"Patient/patient-{number}"},
        }
        if practitioner_count:
            resource["requester"] = {"reference": f"Practitioner/{practitioner_id(0)}"}
        yield resource


def _practitioner(index: int) -> tuple[str, str, str]:
    """Prefix (empty for those who are no physicians), given and family name."""
    given = (_MEN if index % 2 else _WOMEN)[index // 2 % len(_WOMEN)]
    prefix = "Dr." if practice_of(index).specialty[0].startswith("207") else ""
    return prefix, given, _DOCTORS[index % len(_DOCTORS)]


def _npi(index: int) -> str:
    """Ten digits with the right check digit; real ones begin with 1 or 2, these with 99."""
    digits = f"99{index:07}"
    # An NPI's Luhn sum counts the prefix 80840, which adds 24.
    total = 24
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if place % 2 == 0 else 1)
        total += value - 9 if value > 9 else value
    return digits + str(-total % 10)


def _language(code: str) -> dict[str, Any]:
    return {
        "coding": [{"system": "urn:ietf:bcp:47", "code": code, "display": _LANGUAGES[code]}],
        "text": _LANGUAGES[code],
    }
