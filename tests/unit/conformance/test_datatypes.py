"""Invariants of datatypes."""

from __future__ import annotations

from decimal import Decimal

import pytest

from fhir_server.conformance.datatypes import DATATYPES

UCUM = "http://unitsofmeasure.org"


@pytest.mark.parametrize(
    ("kind", "element"),
    [
        ("Period", {"start": "2026-01-01", "end": "2026-01-01"}),
        ("Period", {"start": "2026-01-05", "end": "2026-01"}),
        ("Period", {"start": "2026-01-01T23:00:00-05:00", "end": "2026-01-01"}),
        ("Period", {"start": "2026-01-01T10:00:00+02:00", "end": "2026-01-01T09:00:00Z"}),
        ("Period", {"start": "2026"}),
        ("Period", {"start": "nonsenseT", "end": "T"}),
        ("ContactPoint", {"system": "phone", "value": "1"}),
        ("Attachment", {"data": "AA==", "contentType": "text/plain"}),
        ("Quantity", {"value": 1, "unit": "x"}),
        ("Duration", {"value": 1, "unit": "min"}),
        ("Duration", {"value": 1, "code": "min", "system": UCUM}),
        ("Range", {"low": {"value": 1}, "high": {"value": Decimal("1.0")}}),
        ("Range", {"low": {"value": 3, "unit": "h"}, "high": {"value": 1, "unit": "d"}}),
        ("Ratio", {"numerator": {"value": 1}, "denominator": {"value": 1}}),
        ("Ratio", {"extension": []}),
        ("TimingRepeat", {"duration": 1, "durationUnit": "h", "period": 1, "periodUnit": "d"}),
        ("TimingRepeat", {"offset": 5, "when": ["PC"]}),
    ],
)
def test_what_holds(kind, element):
    assert DATATYPES[kind](element) == ""


@pytest.mark.parametrize(
    ("kind", "element", "key"),
    [
        ("Period", {"start": "2026-01-02", "end": "2026-01-01"}, "per-1"),
        ("Period", {"start": "2026", "end": "2025-12-31"}, "per-1"),
        ("Period", {"start": "2026-01-01T10:00:00Z", "end": "2026-01-01T11:00:00+02:00"}, "per-1"),
        ("ContactPoint", {"value": "1"}, "cpt-2"),
        ("Attachment", {"data": "AA=="}, "att-1"),
        ("Quantity", {"code": "x"}, "qty-3"),
        ("Age", {"code": "x"}, "qty-3"),
        ("Duration", {"value": 1, "code": "min"}, "drt-1"),
        ("Duration", {"code": "min", "system": UCUM}, "drt-1"),
        ("Range", {"low": {"value": 2}, "high": {"value": 1}}, "rng-2"),
        ("Ratio", {"numerator": {"value": 1}}, "rat-1"),
        ("Ratio", {}, "rat-1"),
        ("TimingRepeat", {"duration": 1}, "tim-1"),
        ("TimingRepeat", {"period": 1}, "tim-2"),
        ("TimingRepeat", {"duration": -1, "durationUnit": "h"}, "tim-4"),
        ("TimingRepeat", {"period": -1, "periodUnit": "h"}, "tim-5"),
        ("TimingRepeat", {"periodMax": 1}, "tim-6"),
        ("TimingRepeat", {"durationMax": 1}, "tim-7"),
        ("TimingRepeat", {"countMax": 1}, "tim-8"),
        ("TimingRepeat", {"offset": 1}, "tim-9"),
        ("TimingRepeat", {"offset": 1, "when": ["C"]}, "tim-9"),
        ("TimingRepeat", {"timeOfDay": ["10:00:00"], "when": ["PC"]}, "tim-10"),
    ],
)
def test_what_is_broken_names_its_key(kind, element, key):
    assert DATATYPES[kind](element).startswith(key)
