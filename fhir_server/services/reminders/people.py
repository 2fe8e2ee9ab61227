"""What a patient's record says of how to reach them: addresses, language, zone, wishes and consents."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from zoneinfo import ZoneInfo

from fhir_server.fhir.json import parse
from fhir_server.fhir.temporal import date_range
from fhir_server.scheduling.reminders import Preference
from fhir_server.services.actors import reference_of
from fhir_server.services.reminders.visits import Visit
from fhir_server.services.shapes import OWN, TIMEZONE
from fhir_server.services.terms import zone as zone_of
from fhir_server.services.world import World
from fhir_server.settings import CANONICAL
from fhir_server.store.resources import Resources, Stored, stored

MEDIUM_SYSTEM = f"{CANONICAL}CodeSystem/reminder-channel"
PREFERENCE_URL = f"{OWN}communication-preference"
DEVICE_URL = f"{OWN}push-device"
LANGUAGE = "en"
NUMBER = re.compile(r"\+[1-9][0-9]{6,14}")
_MAIL = re.compile(r"[^\s@<>]{1,64}@[A-Za-z0-9.\-]{1,253}")


@dataclass(frozen=True, slots=True)
class Device:
    """Where notifications go."""

    kind: Literal["fcm", "apns", "web"]
    token: str


@dataclass(frozen=True, slots=True)
class Person:
    """One patient as a receiver of messages.

    ``numbers`` are in E.164; ``texts`` those that take text messages. ``declined`` and ``permitted`` are the channels
    of their consents.
    """

    reference: str
    given: str
    language: str
    zone: ZoneInfo | None
    emails: tuple[str, ...]
    texts: tuple[str, ...]
    numbers: tuple[str, ...]
    devices: tuple[Device, ...]
    preferences: tuple[Preference, ...]
    declined: frozenset[str] = frozenset()
    permitted: frozenset[str] = frozenset()

    def usable(self, needed: Iterable[str] | None) -> frozenset[str]:
        """The channels that reach them and that they did not decline.

        :param needed: channels that the clinic uses only with a consent.
        """
        having = {"email": self.emails, "sms": self.texts, "voice": self.numbers, "push": self.devices}
        found = {name for name, addresses in having.items() if addresses}
        return frozenset(found - self.declined - (frozenset(needed or ()) - self.permitted))

    def zone_for(self, visit: Visit) -> ZoneInfo:
        """Where the patient lives; unless they say, where the clinic is."""
        return self.zone or visit.zone


@dataclass(frozen=True, slots=True)
class Record:
    """A Patient as it is stored, and their Consents."""

    resource: Mapping[str, Any]
    consents: tuple[Stored, ...]


async def records(world: World, resources: Resources, references: Collection[str]) -> dict[str, Record]:
    """What is known of patients, ``Patient/1``, in two questions; without those who are not there.

    :param resources: of the unit in which the question is asked.
    """
    wanted = sorted(set(references))
    found = await resources.get_many("Patient", [one.partition("/")[2] for one in wanted]) if wanted else []
    given: dict[str, list[Stored]] = {}
    for consent in await consents_of(resources, wanted) if found else ():
        given.setdefault(reference_of(parse(consent.body).get("patient"), world.bases), []).append(consent)
    return {
        one.reference: Record(parse(one.body), tuple(given.get(one.reference, ()))) for one in found if not one.deleted
    }


def receiver(world: World, reference: str, record: Record | None, visit: Visit | None = None) -> Person | None:
    """The patient as a receiver; None for one who is not there, not active, or has died.

    :param visit: whose clinic asks: consents that name another clinic do not count.
    """
    if record is None or not _reachable(record.resource):
        return None
    said = consents(record.consents, visit.clinics if visit else (), world.now())
    return _read(world, reference, record.resource, said)


async def person(world: World, resources: Resources, reference: str, visit: Visit | None = None) -> Person | None:
    """:func:`receiver` for one of whom nothing was read yet."""
    return receiver(world, reference, (await records(world, resources, [reference])).get(reference), visit)


def _reachable(resource: Mapping[str, Any]) -> bool:
    died = resource.get("deceasedBoolean") is True or "deceasedDateTime" in resource
    replaced = any(one.get("type") == "replaced-by" for one in resource.get("link", ()))
    return resource.get("active") is not False and not died and not replaced


def _read(world: World, reference: str, resource: Mapping[str, Any], said: Mapping[str, bool]) -> Person:
    prefix = world.settings.phone_prefix
    usable = [one for one in resource.get("telecom", ()) if _current(one, world.now()) and one.get("value")]
    usable.sort(key=lambda one: one.get("rank", 99))
    phones = [one for one in usable if one.get("system") in {"phone", "sms"}]
    texts = [one for one in phones if one.get("system") == "sms" or one.get("use") == "mobile"]
    texts += [one for one in phones if one not in texts and "use" not in one]
    emails = [one["value"] for one in usable if one.get("system") == "email" and _MAIL.fullmatch(one["value"])]
    names = resource.get("name") or [{}]
    name = next((one for one in names if one.get("use") in {"usual", "official"}), names[0])
    return Person(
        reference,
        (name.get("given") or [""])[0],
        language_of(resource),
        _zone(resource),
        tuple(emails),
        _numbers(texts, prefix),
        _numbers(phones, prefix),
        tuple(_devices(resource)),
        tuple(_preferences(resource)),
        frozenset(medium for medium, permitted in said.items() if not permitted),
        frozenset(medium for medium, permitted in said.items() if permitted),
    )


def _numbers(phones: Iterable[Mapping[str, Any]], prefix: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(number for one in phones if (number := e164(one["value"], prefix))))


def e164(text: str, prefix: str) -> str:
    """A phone number as people write it in E.164, https://www.itu.int/rec/T-REC-E.164; empty if it is none.

    :param prefix: ``+1``, of numbers that name no country; their leading 0 is left out where that is usual.
    """
    digits = re.sub(r"\D", "", text.partition(";")[0])
    stated = text.strip().removeprefix("tel:").strip()
    if stated.startswith("+"):
        found = f"+{digits}"
    elif digits.startswith("00"):
        found = f"+{digits[2:]}"
    elif prefix == "+1":
        found = f"+{digits}" if len(digits) == 11 and digits.startswith("1") else f"+1{digits}"
    else:
        found = f"{prefix}{digits.removeprefix('0')}"
    return found if NUMBER.fullmatch(found) else ""


def _current(one: Mapping[str, Any], now: int) -> bool:
    if one.get("use") == "old":
        return False
    period = one.get("period") or {}
    utc = ZoneInfo("UTC")
    return not (
        ("start" in period and date_range(period["start"], utc)[0] > now * 1000)
        or ("end" in period and date_range(period["end"], utc)[1] <= now * 1000)
    )


def language_of(resource: Mapping[str, Any]) -> str:
    """The language that a patient prefers, without its region; English unless the record says another."""
    spoken = resource.get("communication") or ()
    chosen = next((one for one in spoken if one.get("preferred")), spoken[0] if spoken else None)
    codings = ((chosen or {}).get("language") or {}).get("coding") or ()
    code = str(next((one["code"] for one in codings if one.get("code")), "")).lower()
    return re.split(r"[-_]", code)[0] or LANGUAGE


def _zone(resource: Mapping[str, Any]) -> ZoneInfo | None:
    for one in (resource, *resource.get("address", ())):
        stated = [each for each in one.get("extension", ()) if each.get("url") == TIMEZONE]
        try:
            if stated and (found := zone_of({"extension": stated})):
                return found
        except ValueError:
            continue  # of an address nobody checks it when it is written
    return None


def _devices(resource: Mapping[str, Any]) -> Iterable[Device]:
    for extension in _extensions(resource, DEVICE_URL):
        kind, token = extension.get("kind", [""])[0], extension.get("device", [""])[0]
        if kind in {"fcm", "apns", "web"} and token:
            yield Device(kind, token)


def _preferences(resource: Mapping[str, Any]) -> Iterable[Preference]:
    for parts in _extensions(resource, PREFERENCE_URL):
        yield Preference(parts.get("kind", [""])[0], tuple(parts.get("channel", ())), parts.get("off", [False])[0])


def _extensions(resource: Mapping[str, Any], url: str) -> Iterable[dict[str, list[Any]]]:
    for extension in resource.get("extension", ()):
        if extension.get("url") == url:
            parts: dict[str, list[Any]] = {}
            for part in extension.get("extension", ()):
                value = next((one for name, one in part.items() if name.startswith("value")), None)
                parts.setdefault(part.get("url", ""), []).append(value)
            yield parts


async def consents_of(resources: Resources, patients: Sequence[str]) -> list[Stored]:
    """Active Consents of patients."""
    where = {"idx.patient": {"$in": list(patients)}, "idx.status": "=active"}
    rows = await resources.find("Consent", where, fields={"idx": 0})
    return [stored("Consent", one) for one in rows]


def consents(found: Sequence[Stored], clinics: Sequence[str], now: int) -> dict[str, bool]:
    """Channel → whether the patient permits it; of several Consents the latest says it. Others are not mentioned.

    A Consent that names clinics speaks for these alone.
    """
    said: dict[str, tuple[int, bool]] = {}
    for one in found:
        resource = parse(one.body)
        provision = resource.get("provision") or {}
        named = {str(each.get("reference", "")) for each in resource.get("organization", ())}
        if named and named.isdisjoint(clinics):
            continue
        period = provision.get("period") or {}
        if not _current({"period": period}, now):
            continue
        at = date_range(resource["dateTime"], ZoneInfo("UTC"))[0] if "dateTime" in resource else one.at
        for medium in media_of(resource):
            if medium not in said or said[medium][0] <= at:
                said[medium] = (at, provision.get("type", "permit") == "permit")
    return {medium: permitted for medium, (_, permitted) in said.items()}


def media_of(consent: Mapping[str, Any]) -> list[str]:
    """The channels that a Consent speaks of."""
    codes = (consent.get("provision") or {}).get("code") or ()
    return [
        coding["code"]
        for code in codes
        for coding in code.get("coding", ())
        if coding.get("system") == MEDIUM_SYSTEM and "code" in coding
    ]
