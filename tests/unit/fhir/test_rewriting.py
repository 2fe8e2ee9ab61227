"""Links between the entries of a Bundle: where they are rewritten, and where they are not."""

from __future__ import annotations

import copy
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.fhir.rewriting import Names, Open, base_of, rewritten

URN = "urn:uuid:c757873d-ec9a-4326-a141-556f43239520"
OID = "urn:oid:1.2.3"
FAR = "https://ehr.example/fhir/Patient/1"
TARGETS = {URN: "Patient/a", OID: "Slot/b", FAR: "Patient/c"}


def again(resource: dict[str, Any], base: str = "") -> tuple[dict[str, Any], list[Open]]:
    names = Names(TARGETS, base)
    before = copy.deepcopy(resource)
    after = rewritten(resource, names)
    assert resource == before, "the original is not changed"
    return after, names.open


def test_everywhere_a_link_can_stand() -> None:
    resource = {
        "resourceType": "Appointment",
        "implicitRules": URN,
        "text": {"status": "generated", "div": f'<div><a href="{URN}">{URN}</a><img alt="x" src=\'{OID}#x\'/></div>'},
        "contained": [{"resourceType": "Slot", "id": "s", "schedule": {"reference": URN}}],
        "extension": [
            {"url": URN, "valueUri": URN},
            {"url": "urn:x", "valueUrl": FAR},
            {"url": "urn:x", "extension": [{"url": "urn:y", "valueReference": {"reference": OID}}]},
            {"url": "urn:x", "valueAttachment": {"url": FAR, "title": FAR}},
        ],
        "identifier": [{"system": OID, "value": OID}],
        "slot": [{"reference": f"{OID}#part", "display": URN}],
        "_comment": {"extension": [{"url": "urn:x", "valueReference": {"reference": URN}}]},
        "participant": [{"actor": {"reference": FAR, "type": "Patient"}, "status": "accepted"}],
    }
    after, unanswered = again(resource)
    assert unanswered == []
    assert after == {
        "resourceType": "Appointment",
        "implicitRules": "Patient/a",
        "text": {
            "status": "generated",
            "div": f'<div><a href="Patient/a">{URN}</a><img alt="x" src=\'Slot/b#x\'/></div>',
        },
        "contained": [{"resourceType": "Slot", "id": "s", "schedule": {"reference": "Patient/a"}}],
        "extension": [
            {"url": "Patient/a", "valueUri": "Patient/a"},
            {"url": "urn:x", "valueUrl": "Patient/c"},
            {"url": "urn:x", "extension": [{"url": "urn:y", "valueReference": {"reference": "Slot/b"}}]},
            {"url": "urn:x", "valueAttachment": {"url": "Patient/c", "title": FAR}},
        ],
        "identifier": [{"system": "Slot/b", "value": OID}],
        "slot": [{"reference": "Slot/b#part", "display": URN}],
        "_comment": {"extension": [{"url": "urn:x", "valueReference": {"reference": "Patient/a"}}]},
        "participant": [{"actor": {"reference": "Patient/c", "type": "Patient"}, "status": "accepted"}],
    }


@pytest.mark.parametrize(
    "resource",
    [
        {"resourceType": "Patient", "meta": {"profile": [URN]}, "extension": [{"url": "x", "valueCanonical": FAR}]},
        {"resourceType": "Patient", "extension": [{"url": "x", "valueUuid": URN}, {"url": "x", "valueOid": OID}]},
        {"resourceType": "Patient", "extension": [{"url": "x", "valueString": URN}, {"url": "x", "valueId": "a"}]},
        {"resourceType": "Patient", "managingOrganization": {"reference": f"{FAR}/_history/2"}},
        {"resourceType": "Patient", "managingOrganization": {"reference": "Patient/1"}},
        {"resourceType": "Patient", "text": {"status": "generated", "div": f"<div data-href='{URN}'>{URN}</div>"}},
        {"resourceType": "Nothing", "managingOrganization": {"reference": URN}},
        {"resourceType": "Patient", "bogus": {"reference": URN}},
        {"resourceType": "Patient", "extension": [{"url": "Patient/1", "valueUri": f"{URN}#x"}]},
    ],
)
def test_where_no_link_stands_nothing_changes(resource: dict[str, Any]) -> None:
    after, unanswered = again(resource)
    assert after is resource
    assert unanswered == []


def test_relative_links_are_completed_by_the_base_of_their_entry() -> None:
    resource = {"resourceType": "Flag", "subject": {"reference": "Patient/1"}, "author": {"reference": "Patient/2"}}
    after, _ = again(resource, base_of("https://ehr.example/fhir/Flag/7"))
    assert after == {**resource, "subject": {"reference": "Patient/c"}}
    assert again(resource, base_of(URN))[0] == resource
    assert base_of("https://ehr.example/fhir/Flag/7/_history/1") == base_of("https://ehr.example/x") == ""


@pytest.mark.parametrize(
    "kept",
    [
        f'<div>a href="{URN}" <b>src="{URN}"</b></div>',
        f'<div><!-- <a href="{URN}"> --></div>',
        f'<div><![CDATA[<a href="{URN}">]]></div>',
        f'<div><?x <a href="{URN}"> ?></div>',
        f"<div><a title=' href=\"{URN}\" '>x</a></div>",
        f"<div><a title=\"> href='{URN}' \">x</a></div>",
        f'<div><a data-href="{URN}" x:src="{URN}" srcset="{URN}"/></div>',
        f'<div></a href="{URN}"></div>',
    ],
)
def test_a_narrative_is_changed_in_its_links_alone(kept: str) -> None:
    resource = {"resourceType": "Patient", "text": {"status": "generated", "div": kept}}
    assert again(resource)[0] is resource
    link = "<a title='>' class=\"x\"\n href = '{}' />"
    mixed = {**resource, "text": {"status": "generated", "div": f"{link.format(URN)}{kept}{link.format(OID)}"}}
    expected = f"{link.format('Patient/a')}{kept}{link.format('Slot/b')}"
    assert again(mixed)[0]["text"]["div"] == expected


@pytest.mark.parametrize("part", ["<!-- ", "<![CDATA[", "<? "])
def test_what_does_not_end_holds_no_link(part: str) -> None:
    resource = {"resourceType": "Patient", "text": {"status": "generated", "div": f'<div>{part}<a href="{URN}">x'}}
    assert again(resource)[0] is resource


@pytest.mark.parametrize("part", ["<a", "<!--", "<![CDATA[", "<?", "<a ' ", '<a "', "<a href ", "<a b='c'"])
def test_a_long_narrative_takes_no_time(part: str) -> None:
    resource = {"resourceType": "Patient", "text": {"status": "generated", "div": part * 100_000}}
    began = time.process_time()
    again(resource)
    assert time.process_time() - began < 2


def test_what_waits_for_an_answer_is_named() -> None:
    resource = {
        "resourceType": "Appointment",
        "slot": [{"reference": "urn:uuid:nobody"}, {"reference": "Slot/1"}, {"reference": "#x"}],
        "participant": [{"actor": {"reference": "Patient?identifier=urn:s|1"}, "status": "accepted"}],
        "supportingInformation": [{"reference": "urn:isbn:1"}, {"reference": "not a reference?x=1"}],
    }
    after, unanswered = again(resource)
    assert after is resource
    assert unanswered == [
        Open("Appointment.slot[0].reference", "urn", "urn:uuid:nobody"),
        Open("Appointment.participant[0].actor.reference", "conditional", "Patient?identifier=urn:s|1"),
    ]


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from([*TARGETS, "Patient?x=y", "x"]) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["reference", "extension", "valueUri", "text", "div", "_gender", "contained", "resourceType",
                         "link", "other", "url", "meta", "profile"]),
        inner, max_size=4,
    ),
    max_leaves=20,
)  # fmt: skip


@given(st.dictionaries(st.sampled_from(["extension", "text", "contained", "link", "_gender", "meta", "id"]), values))
def test_what_is_no_resource_is_left_to_those_who_check_it(content: dict[str, Any]) -> None:
    resource = {"resourceType": "Patient", **content}
    names = Names(TARGETS)
    after = rewritten(resource, names)
    assert after.keys() == resource.keys()
    assert rewritten(after, Names(TARGETS)) == after
