"""Scopes in plain words, as the consent page and the list of apps say them.

scope                                   words
--------------------------------------  -------------------------------------------------------------
patient/Appointment.rs                  See your appointments (or: the patient's)
patient/Appointment.cud                 Make, change and delete your appointments
user/Appointment.rs?status=booked       See appointments that you may see, only those whose status is booked
offline_access                          Keep this access when you are not logged in
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from fhir_server.access.scopes import Scope, Scopes

OTHERS: Mapping[str, str] = MappingProxyType({
    "openid": "Know which account you log in with",
    "fhirUser": "Know who you are in this clinic",
    "profile": "Know your name",
    "offline_access": "Keep this access when you are not logged in, until you take it back under “My apps”",
    "online_access": "Keep this access as long as you stay logged in here",
})  # fmt: skip
"""What can be taken away beside scopes on resources; the ``launch`` scopes say only what a launch is about."""

_NOUNS: Mapping[str, str] = MappingProxyType({
    "*": "all records",
    "Appointment": "appointments",
    "AppointmentResponse": "answers to appointments",
    "AuditEvent": "records of who looked at data",
    "Communication": "messages",
    "CommunicationRequest": "reminders and other messages that are planned",
    "Consent": "consents",
    "Coverage": "insurance",
    "Device": "devices",
    "Encounter": "visits",
    "Flag": "warnings and notes",
    "Group": "groups",
    "HealthcareService": "services",
    "Location": "places",
    "Organization": "organizations",
    "Patient": "personal details such as name, birth date and address",
    "Practitioner": "practitioners",
    "PractitionerRole": "roles of practitioners",
    "RelatedPerson": "family and helpers",
    "Schedule": "calendars",
    "ServiceRequest": "referrals",
    "Slot": "free and busy times",
    "Subscription": "orders of messages about what happens",
})  # fmt: skip
_OF_NOBODY = frozenset({
    "Device", "HealthcareService", "Location", "Organization", "Practitioner", "PractitionerRole", "Schedule", "Slot",
})  # fmt: skip
"""Types that belong to the clinic and not to a patient."""


def offered(scopes: Scopes, *, yours: bool) -> list[tuple[str, str]]:
    """What a person can allow or take away: each scope as it is written, and in words.

    :param yours: the patient in context is the person.
    """
    resources = [(one.text, sentence(one, yours=yours)) for one in scopes.resources]
    return resources + [(name, words) for name, words in OTHERS.items() if name in scopes.others]


def kept(scopes: Scopes, chosen: Sequence[str]) -> Scopes:
    """The scopes that a person left standing; those that say what a launch is about stay."""
    others = frozenset(name for name in scopes.others if name not in OTHERS or name in chosen)
    return Scopes(tuple(one for one in scopes.resources if one.text in chosen), others)


def sentence(scope: Scope, *, yours: bool) -> str:
    """One scope on resources in words."""
    noun = _NOUNS.get(scope.type) or re.sub(r"(?<!^)(?=[A-Z])", " ", scope.type).lower()
    if scope.context == "patient" and scope.type not in _OF_NOBODY:
        whose = f"your {noun}" if yours else f"the patient's {noun}"
    elif scope.context == "patient":
        whose = f"{noun} of the clinic"
    else:
        whose = f"{noun} that you may see"
    return f"{_verbs(scope.permissions)} {whose}{_only(scope.query)}"


def _verbs(permissions: str) -> str:
    reading = {"rs": "see", "r": "open", "s": "search"}.get("".join(one for one in "rs" if one in permissions))
    writing = [word for letter, word in (("c", "make"), ("u", "change"), ("d", "delete")) if letter in permissions]
    words = [*([reading] if reading else []), *writing]
    text = words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
    return text[:1].upper() + text[1:]


def _only(query: Sequence[tuple[str, str]]) -> str:
    """The criteria of a granular scope: ``status=booked,arrived`` is *status is booked or arrived*."""
    if not query:
        return ""
    said = [f"{_name(name)} is {' or '.join(_value(one) for one in text.split(','))}" for name, text in query]
    return f", only those whose {' and whose '.join(said)}"


def _name(parameter: str) -> str:
    return parameter.replace("-", " ").replace(":", " ").strip("_")


def _value(text: str) -> str:
    """A code without the system it is from."""
    return text.rpartition("|")[2] or text
