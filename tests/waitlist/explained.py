"""What must hold of everything that happened, read from the histories alone.

no double offer, no double booking   no provider and no patient is promised to two at the same time
order respected                      whoever is offered a time is the first of those who could have had it then
nothing lost                         a freed time that stays free is one that nobody of those who waited could have had
everything explained                 the versions of an entry are steps of the state table, and its offers say which
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from fhir_server.fhir.json import parse
from fhir_server.fhir.temporal import format_instant
from fhir_server.scheduling.lifecycle import appointment_allows
from fhir_server.services.world import World
from fhir_server.store.resources import HISTORY
from tests.builders.waiting import OFFER, preference
from tests.waitlist.simulation import MINUTE, MOST_OFFERS, ZONE

FOREVER = 1 << 62
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)


@dataclass(frozen=True)
class Version:
    """One version and when it was the current one: ``[at, until)`` in the simulation's time."""

    id: str
    number: int
    at: int
    until: int
    body: dict[str, Any]

    @property
    def status(self) -> str:
        return str(self.body["status"])

    @property
    def patient(self) -> str:
        return next(one["actor"]["reference"] for one in self.body["participant"] if "Patient" in str(one["actor"]))

    @property
    def doctor(self) -> str:
        return next(
            one["actor"]["reference"] for one in self.body["participant"] if "Practitioner" in str(one["actor"])
        )

    @property
    def offers(self) -> list[dict[str, str]]:
        found = []
        for extension in self.body.get("extension", ()):
            if extension["url"] == OFFER:
                parts = {one["url"]: next(v for k, v in one.items() if k != "url") for one in extension["extension"]}
                found.append(parts)
        return found

    @property
    def is_entry(self) -> bool:
        return bool(preference(self.body))

    @property
    def promised_until(self) -> int:
        """When the promise of its time ends: with the version, or with the hold."""
        held = next((one["valueInstant"] for one in self.body.get("extension", ()) if "held-until" in one["url"]), None)
        return min(self.until, ms(held)) if held and self.status == "pending" else self.until


@dataclass
class Story:
    """Every Appointment with all of its versions."""

    of: dict[str, list[Version]]

    @classmethod
    async def read(cls, world: World) -> Story:
        found: dict[str, list[tuple[int, int, bytes]]] = {}
        rows = await world.store.resources.rows(HISTORY, {"type": "Appointment"})
        for row in rows:
            found.setdefault(row["id"], []).append((row["v"], row["at"], row["body"]))
        async for row in world.store.resources.every("Appointment"):
            found.setdefault(row["_id"], []).append((row["v"], row["at"], row["body"]))
        story: dict[str, list[Version]] = {}
        for id_, versions in found.items():
            known = {number: (at, body) for number, at, body in versions}
            numbers = sorted(known)
            assert numbers == list(range(1, len(numbers) + 1)), id_
            ends = [*(known[one][0] for one in numbers[1:]), FOREVER]
            story[id_] = [
                Version(id_, one, known[one][0], end, parse(bytes(known[one][1])))
                for one, end in zip(numbers, ends, strict=True)
            ]
        return cls(story)

    @property
    def versions(self) -> Iterator[Version]:
        for several in self.of.values():
            yield from several

    @property
    def entries(self) -> list[list[Version]]:
        return [several for several in self.of.values() if several[0].status == "waitlist"]

    def check(self) -> dict[str, int]:
        """Every invariant; how much was looked at."""
        counts = {"promises": self.nobody_is_promised_twice(), "entries": self.every_entry_is_explained()}
        return counts | {"offers": self.the_order_is_respected(), "left free": self.nothing_is_lost()}

    # -- no double offer, no double booking --------------------------------------------------------------------------

    def nobody_is_promised_twice(self) -> int:
        promises = [one for one in self.versions if one.status in {"pending", "booked"} and "start" in one.body]
        for who in ("doctor", "patient"):
            by: dict[str, list[tuple[int, int, Version]]] = {}
            for one in promises:
                by.setdefault(getattr(one, who), []).append((ms(one.body["start"]), ms(one.body["end"]), one))
            for several in by.values():
                several.sort(key=lambda one: one[0])
                for place, (start, end, one) in enumerate(several):
                    assert start < end
                    for later, _, other in several[place + 1 :]:
                        if later >= end:
                            break
                        together = one.at < other.promised_until and other.at < one.promised_until
                        assert one.id == other.id or not together, (who, one, other)
        return len(promises)

    # -- every patient's state is explained by its history -----------------------------------------------------------

    def every_entry_is_explained(self) -> int:
        for several in self.entries:
            offers = 0
            for before, after in pairwise(several):
                assert appointment_allows(before.status, after.status), (before, after)
                was, now = [one["outcome"] for one in before.offers], [one["outcome"] for one in after.offers]
                step = (before.status, after.status)
                if step == ("waitlist", "pending"):
                    assert now == [*was, "open"]
                    assert (ms(after.offers[-1]["start"]), after.at) == (ms(after.body["start"]), after.at)
                    offers += 1
                elif step == ("pending", "waitlist"):
                    assert now == [*was[:-1], now[-1]]
                    assert now[-1] in {"declined", "expired"}
                    assert now[-1] != "expired" or after.at >= ms(before.offers[-1]["until"])
                    assert "start" not in after.body
                    same = {name for name in before.body if name in {"requestedPeriod", "created"}}
                    assert all(after.body[name] == before.body[name] for name in same)
                elif step == ("pending", "booked"):
                    assert now == [*was[:-1], "accepted"]
                    assert after.at < ms(before.offers[-1]["until"])
                    assert after.body["start"] == before.body["start"]
                elif step == ("pending", "cancelled"):
                    assert now == [*was[:-1], "withdrawn"]
                else:
                    assert was == now
            last = several[-1]
            assert last.status in {"waitlist", "booked", "cancelled"}, "no offer is left open"
            assert "open" not in [one["outcome"] for one in last.offers]
            assert len(last.offers) == offers
            assert sum(one["outcome"] in {"declined", "expired"} for one in last.offers) <= MOST_OFFERS
        return len(self.entries)

    # -- order -------------------------------------------------------------------------------------------------------

    def the_order_is_respected(self) -> int:
        seen = 0
        for several in self.entries:
            for before, offered in pairwise(several):
                if (before.status, offered.status) != ("waitlist", "pending"):
                    continue
                seen += 1
                start, end = ms(offered.body["start"]), ms(offered.body["end"])
                freed = _freed(offered)
                assert start < ms(freed["end"]), "an offer uses freed time"
                assert end > ms(freed["start"]), "an offer uses freed time"
                assert self._could_have(before, start, end, offered.doctor, offered.at, freed), (before, offered)
                mine = self._rank(before, offered.doctor)
                for others in self.entries:
                    other = _at(others, offered.at)
                    if other and other.id != offered.id and self._rank(other, offered.doctor) < mine:
                        could = self._could_have(other, start, end, offered.doctor, offered.at, freed)
                        assert not could, (other, offered)
        return seen

    def _rank(self, entry: Version, doctor: str) -> tuple[Any, ...]:
        urgency = preference(entry.body).get("urgency", [0])[0]
        seen = any(
            one[0].status == "fulfilled" and one[0].patient == entry.patient and one[0].doctor == doctor
            for one in self.of.values()
        )
        return -urgency, not seen, ms(entry.body["created"]), entry.id

    def _could_have(self, entry: Version, start: int, end: int, doctor: str, at: int, freed: dict[str, str]) -> bool:
        """Whether the entry waits at ``at`` for just such a time, and nothing keeps its patient from it."""
        wish = preference(entry.body)
        local = datetime.fromtimestamp(start / 1000, ZONE)
        service = "HealthcareService/visit" if end - start == 30 * MINUTE else "HealthcareService/long"
        kept = wish.get("keepAppointment")
        held = _at(self.of[kept[0]["reference"].partition("/")[2]], at) if kept else None
        return (
            entry.status == "waitlist"
            and service in [one["reference"] for one in wish["service"]]
            and doctor in [one["reference"] for one in wish.get("actor", [{"reference": doctor}])]
            and DAYS[local.weekday()] in wish.get("daysOfWeek", DAYS)
            and ("morning" if local.hour < 12 else "afternoon") in wish.get("partOfDay", ("morning", "afternoon"))
            and ms(entry.body["created"]) <= start
            and end <= ms(entry.body["requestedPeriod"][0]["end"])
            and (held is None or held.status != "booked" or start < ms(held.body["start"]))
            and not any(ms(one["start"]) == start and doctor.rpartition("/")[2] in one["schedule"]["reference"]
                        for one in entry.offers)
            and not any(one["outcome"] in {"declined", "expired"} and one["freed"] == freed
                        and ms(one["start"]) < end and ms(one["end"]) > start
                        and doctor.rpartition("/")[2] in one["schedule"]["reference"] for one in entry.offers)
            and sum(one["outcome"] in {"declined", "expired"} for one in entry.offers) < MOST_OFFERS
            and not self._busy(entry.patient, start, end, at - 1, at)
        )  # fmt: skip

    def _busy(self, patient: str, start: int, end: int, low: int, high: int) -> bool:
        """Whether a patient had something else at that time, at some moment of ``[low, high)``."""
        return any(
            one.patient == patient and one.status in {"pending", "booked"} and "start" in one.body
            and ms(one.body["start"]) < end and ms(one.body["end"]) > start
            and one.at < high and one.promised_until > low
            for one in self.versions
        )  # fmt: skip

    # -- nothing is lost ---------------------------------------------------------------------------------------------

    def nothing_is_lost(self) -> int:
        """Freed time that nobody took: who waited all the while and could have had it was offered it."""
        promises = [one for one in self.versions if one.status in {"pending", "booked"} and "start" in one.body]
        left = 0
        for one in promises:
            start, end, freed = ms(one.body["start"]), ms(one.body["end"]), one.promised_until
            if freed == FOREVER or start < freed + 24 * 60 * MINUTE:
                continue
            taken = any(
                other.doctor == one.doctor and ms(other.body["start"]) < end and ms(other.body["end"]) > start
                and other.promised_until > freed
                for other in promises
            )  # fmt: skip
            if taken:
                continue
            left += 1
            for several in self.entries:
                entry = several[-1]
                if entry.status == "waitlist" and entry.at < freed:
                    could = self._could_have(entry, start, end, one.doctor, freed, _freed(one))
                    assert not could or self._busy(entry.patient, start, end, freed, FOREVER), (entry, one)
        return left


def _freed(promise: Version) -> dict[str, str]:
    """The time that an end of the promise makes free: that for which an offer was made, else its own."""
    if promise.offers and promise.offers[-1]["outcome"] == "open":
        found: Any = promise.offers[-1]["freed"]
        return dict(found)
    return {name: format_instant(ms(promise.body[name]) // 1000, UTC) for name in ("start", "end")}


def _at(several: list[Version], at: int) -> Version | None:
    """The version that was current just before ``at``."""
    return next((one for one in several if one.at < at <= one.until), None)
