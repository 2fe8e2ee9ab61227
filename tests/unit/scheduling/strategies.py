"""Random terms and calendars around days on which clocks change, on the oracle's grid."""

from __future__ import annotations

from datetime import date, timedelta
from zoneinfo import ZoneInfo

from hypothesis import settings
from hypothesis import strategies as st

from fhir_server.scheduling.calendar_day import Entry
from fhir_server.scheduling.terms import Opening, Override, Rule, ServiceTerms

from .oracle import STEP, epoch

# The machine may be busy: a slow example is no failure.
often = settings(deadline=None, max_examples=300)
some = settings(deadline=None, max_examples=120)

NEW_YORK = ZoneInfo("America/New_York")
BERLIN = ZoneInfo("Europe/Berlin")
LORD_HOWE = ZoneInfo("Australia/Lord_Howe")
KOLKATA = ZoneInfo("Asia/Kolkata")
SAO_PAULO = ZoneInfo("America/Sao_Paulo")

# A zone and a local day: clocks go forward, go back, or neither.
DAYS = (
    (NEW_YORK, date(2026, 3, 8)),
    (NEW_YORK, date(2026, 11, 1)),
    (NEW_YORK, date(2026, 7, 1)),
    (BERLIN, date(2026, 3, 29)),
    (BERLIN, date(2026, 10, 25)),
    (LORD_HOWE, date(2026, 4, 5)),
    (LORD_HOWE, date(2026, 10, 4)),
    (SAO_PAULO, date(2018, 11, 4)),  # forward at midnight
    (SAO_PAULO, date(2018, 2, 17)),  # back at midnight
    (KOLKATA, date(2026, 1, 1)),
)

zone_days = st.sampled_from(DAYS)
times = st.integers(0, 86400 // STEP - 1).map(lambda n: n * STEP)
services = st.frozensets(st.sampled_from(["S/1", "S/2"]), max_size=2)
modalities = st.frozensets(st.sampled_from(["in-person", "video"]), max_size=1)
locations = st.sampled_from([None, None, "L/1", "L/2"])


def near(day: date, reach: int = 3) -> st.SearchStrategy[date]:
    return st.integers(-reach, reach).map(lambda n: day + timedelta(days=n))


@st.composite
def rules(draw: st.DrawFn, day: date) -> Rule:
    return Rule(
        days=draw(st.frozensets(st.integers(0, 6), max_size=7)),
        start=draw(times),
        end=draw(times),
        effective_from=draw(st.none() | near(day)),
        effective_until=draw(st.none() | near(day)),
        week_interval=draw(st.sampled_from([1, 1, 2, 3])),
        services=draw(services),
        modalities=draw(modalities),
        location=draw(locations),
    )


@st.composite
def overrides(draw: st.DrawFn, zone: ZoneInfo, day: date) -> Override:
    exact = draw(st.booleans())
    with_times = draw(st.booleans())
    begin = epoch(zone, draw(near(day, 2))) + draw(times)
    return Override(
        kind=draw(st.sampled_from(["closed", "open", "replace"])),
        first=None if exact else draw(st.none() | near(day)),
        last=None if exact else draw(st.none() | near(day)),
        period_start=draw(st.none() | st.just(begin)) if exact else None,
        period_end=draw(st.none() | st.integers(1, 250).map(lambda n: begin + n * STEP)) if exact else None,
        start=draw(st.none() | times) if with_times else None,
        end=draw(st.none() | times) if with_times else None,
        services=draw(services),
        modalities=draw(modalities),
        location=draw(locations),
    )


@st.composite
def openings(draw: st.DrawFn, most_rules: int = 3, most_overrides: int = 3) -> tuple[Opening, date]:
    zone, day = draw(zone_days)
    return Opening(
        tuple(draw(st.lists(rules(day), max_size=most_rules))),
        tuple(draw(st.lists(overrides(zone, day), max_size=most_overrides))),
        zone,
    ), day


lengths = st.sampled_from([1, 2, 3, 4, 5]).map(lambda n: n * STEP)
buffers = st.sampled_from([0, 0, 1, 2]).map(lambda n: n * STEP)


@st.composite
def service_terms(draw: st.DrawFn, most: int = 1) -> ServiceTerms:
    alignment = draw(st.sampled_from([None, 1, 2, 4, 5, 7]))
    return ServiceTerms(
        id="S/1",
        durations=(draw(lengths), draw(lengths)),
        buffer_before=draw(buffers),
        buffer_after=draw(buffers),
        alignment=None if alignment is None else alignment * STEP,
        alignment_offset=draw(st.sampled_from([0, 0, 1, 3])) * STEP,
        capacity=draw(st.integers(1, most)),
    )


@st.composite
def entries(draw: st.DrawFn, low: int, high: int) -> Entry:
    start = draw(st.integers(low // STEP, high // STEP)) * STEP
    end = start + draw(lengths)
    kind = draw(st.sampled_from(["hold", "booked", "booked", "blocked"]))
    share = draw(st.sampled_from(["", "", "group", "other"]))
    return Entry(
        owner=f"Appointment/{draw(st.integers(0, 9))}",
        kind=kind,
        start=start,
        end=end,
        busy_start=start - draw(buffers),
        busy_end=end + draw(buffers),
        expires=draw(st.sampled_from([None, low - STEP, low, low + STEP])) if kind == "hold" else None,
        schedule=draw(st.sampled_from(["Schedule/1", "Schedule/2"])),
        service=draw(st.sampled_from(["S/1", "S/2"])),
        patients=draw(st.sampled_from([(), ("Patient/1",), ("Patient/2",), ("Patient/1", "Patient/2")])),
        channel=draw(st.sampled_from(["online", "phone"])),
        new_patient=draw(st.booleans()),
        share=share,
        capacity=3 if share else 1,
    )
