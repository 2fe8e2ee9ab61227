"""Random resources and searches: what the server extracts, parses and matches agrees with a second reading."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fhir_server.errors import Problem
from fhir_server.search.extract import normalised
from fhir_server.search.match import matches
from tests.builders.search import BUILDERS, DEFINITIONS, NOW_MS, criteria, document, read
from tests.unit.search.search_oracle import holds


@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(rng=st.randoms(use_true_random=False), kind=st.sampled_from(list(BUILDERS)), number=st.integers(1, 40))
def test_match_agrees_with_the_oracle(rng, kind, number):
    resource = BUILDERS[kind](rng)
    doc = document(resource, number)
    for _ in range(4):
        pairs = criteria(rng, kind)
        expected = all(holds(doc, resource, name, value, NOW_MS) for name, value in pairs)
        assert matches(read(kind, *pairs).query.clauses, doc) == expected, (resource, pairs)


_NAMES = st.sampled_from(
    [
        *DEFINITIONS.of("Location"),
        "near:missing",
        "_sort",
        "_include",
        "_count",
        "_has:Slot:schedule:start",
        "partof.name",
    ]
)


@settings(deadline=None)
@given(
    name=st.one_of(_NAMES, st.text(max_size=12)), value=st.text(max_size=20), tail=st.text("|,\\0.e-:T+", max_size=12)
)
def test_any_input_is_read_or_refused(name, value, tail):
    doc = document({"resourceType": "Location", "name": "x"})
    try:
        clauses = read("Location", (name, value + tail), strict=False).query.clauses
    except Problem:
        return
    if "." not in name and not name.startswith("_has"):
        assert matches(clauses, doc) in (True, False)


@given(st.text())
def test_normalising_twice_is_normalising_once(text):
    assert normalised(normalised(text)) == normalised(text)
