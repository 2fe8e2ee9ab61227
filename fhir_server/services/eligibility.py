"""Who may book what: services that refuse the caller's channel or patients fall out of a search, with the reason."""

from __future__ import annotations

from collections.abc import Sequence

from fhir_server.scheduling.no_show import DEFAULT, NoShowTerms
from fhir_server.services.candidates import Candidate, Criteria
from fhir_server.services.no_show.standing import flagging
from fhir_server.services.wishes import established
from fhir_server.services.world import World

OVERRIDING = frozenset({"staff", "phone"})
"""Channels on which rules can be set aside with a reason: such a search shows what can be booked so."""


async def eligible(world: World, asked: Criteria, found: Sequence[Candidate]) -> tuple[list[Candidate], frozenset[str]]:
    """The candidates that the patients may book on this channel, and codes for those that fell out.

    Without a patient only the channel counts: whether a referral is needed shows when the time is booked.
    """
    kept: list[Candidate] = []
    codes: set[str] = set()
    known: dict[tuple[str, ...], bool] = {}
    referred: bool | None = None
    clinics = await _flagging(world, asked, found)
    for one in found:
        if _restricts(one, clinics) and "prepayment" in _no_show(one).actions:
            codes.add("prepayment-required")
            continue
        terms = one.service.terms if one.service else None
        if terms is None:
            kept.append(one)
            continue
        if not terms.online_booking and asked.channel == "online":
            codes.add("not-eligible")
            continue
        if terms.referral_required and (asked.patients or asked.referral is not None):
            if referred is None:
                referred = await _has_referral(world, asked) if asked.referral is None else asked.referral
            if not referred:
                codes.add("referral-required")
                continue
        if asked.patients and not terms.new_patients:
            keys = tuple(key for facts in one.schedules for key in facts.keys)
            if keys not in known:
                known[keys] = await established(world, asked.patients, keys)
            if not known[keys]:
                codes.add("not-eligible")
                continue
        kept.append(one)
    return kept, frozenset(codes)


async def latest_starts(world: World, asked: Criteria, found: Sequence[Candidate]) -> dict[str, int]:
    """By candidate, the last start (epoch seconds) for patients who have missed too many visits; staff may override."""
    clinics = await _flagging(world, asked, found)
    return {
        one.id: world.now() + terms.advance
        for one in found
        if _restricts(one, clinics) and "restrict-advance" in (terms := _no_show(one)).actions
    }


async def _flagging(world: World, asked: Criteria, found: Sequence[Candidate]) -> frozenset[str]:
    """The clinics at which a patient of the search has missed too many visits."""
    if asked.channel in OVERRIDING or not asked.patients:
        return frozenset()
    clinics = {clinic for one in found for facts in one.schedules for clinic in facts.organizations}
    return await flagging(world, asked.patients, sorted(clinics))


def _restricts(one: Candidate, clinics: frozenset[str]) -> bool:
    return any(not facts.organizations.isdisjoint(clinics) for facts in one.schedules)


def _no_show(one: Candidate) -> NoShowTerms:
    return one.schedules[0].policy_for(one.service).no_show or DEFAULT


async def _has_referral(world: World, asked: Criteria) -> bool:
    found = await world.store.resources.find(
        "ServiceRequest",
        {"idx.patient": {"$in": list(asked.patients)}, "idx.status": "=active"},
        limit=1,
        fields={"_id": 1},
    )
    return bool(found)
