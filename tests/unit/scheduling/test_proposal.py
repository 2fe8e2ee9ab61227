from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.scheduling.proposal import ProposalKey, decode, encode, moved, short_key

from .strategies import often

FHIR_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")
keys = st.text(max_size=8).map(short_key)


@st.composite
def proposals(draw: st.DrawFn) -> ProposalKey:
    patient = draw(st.just("") | keys)
    return ProposalKey(
        start=draw(st.integers(0, 36**7 - 1)),
        duration=draw(st.integers(1, 36**5 - 1)),
        service=draw(st.just("") | keys),
        patient=patient,
        schedules=tuple(draw(st.lists(keys, min_size=1, max_size=3 if patient else 4))),
    )


@often
@given(proposals())
def test_an_id_says_what_it_was_made_of(key):
    text = encode(key)
    assert FHIR_ID.fullmatch(text)
    assert decode(text) == key


@often
@given(
    st.text(max_size=70) | st.from_regex(r"[0-9a-z]{6,8}-[0-9a-z]{1,6}-[a-z2-7]{0,10}-[a-z2-7]{0,10}-[a-z2-7]{8,46}")
)
def test_what_is_no_id_is_none_and_what_is_one_is_canonical(text):
    key = decode(text)
    assert key is None or encode(key) == text


@often
@given(proposals(), st.data())
def test_a_changed_id_is_another_or_none(key, data):
    text = encode(key)
    at = data.draw(st.integers(0, len(text) - 1))
    changed = text[:at] + data.draw(st.characters()) + text[at + 1 :]
    assert changed == text or decode(changed) != key


@pytest.mark.parametrize(
    "text",
    [
        "",
        "123",
        "0000000-0-aaaaaaaaa--aaaaaaaaa",
        "0000000-01---aaaaaaaaa",
        "0000000-1---",
        "0000000-1---aaaaaaaaa\n",
        "0000000-1---AAAAAAAAA",
        "0000000-1---aaaaaaaa1",
        "\u0660000000-1---aaaaaaaaa",
        "0000000-1--aaaaaaaaa-" + "a" * 36,
        "3f2504e0-4f89-11d3-9a0c-0305e82c3301",
    ],
)
def test_these_are_no_ids(text):
    assert decode(text) is None


@pytest.mark.parametrize(
    "key",
    [
        ProposalKey(-1, 1, "", "", ("a" * 9,)),
        ProposalKey(36**7, 1, "", "", ("a" * 9,)),
        ProposalKey(0, 0, "", "", ("a" * 9,)),
        ProposalKey(0, -900, "", "", ("a" * 9,)),
        ProposalKey(0, 1, "", "", ()),
        ProposalKey(0, 1, "", "", ("a" * 9,) * 5),
        ProposalKey(0, 1, "", "a" * 9, ("a" * 9,) * 4),
        ProposalKey(0, 1, "short", "", ("a" * 9,)),
        ProposalKey(0, 1, "", "", ("a" * 8, "a" * 10)),
    ],
)
def test_these_have_no_id(key):
    with pytest.raises(ValueError, match="not a proposal"):
        encode(key)


def test_a_short_key_is_nine_characters_and_stays_the_same():
    assert short_key("Schedule/1") == short_key("Schedule/1") != short_key("Schedule/2")
    assert re.fullmatch("[a-z2-7]{9}", short_key("Schedule/1"))


def test_a_slot_is_a_proposal_of_one_schedule_for_nobody():
    text = encode(ProposalKey(1_783_324_800, 1800, short_key("HealthcareService/1"), "", (short_key("Schedule/1"),)))
    assert text == f"0thqu80-1e0-{short_key('HealthcareService/1')}--{short_key('Schedule/1')}"


@given(st.integers(min_value=0, max_value=36**7 - 1), st.integers(min_value=0, max_value=36**7 - 1))
def test_a_moved_id_is_the_id_of_the_moved_wish(start: int, other: int) -> None:
    key = ProposalKey(start, 1800, short_key("HealthcareService/1"), "", (short_key("Schedule/1"),))
    assert moved(encode(key), other) == encode(replace(key, start=other))
