"""An Appointment's status follows the answers of those who are required."""

from __future__ import annotations

from hypothesis import assume, given
from hypothesis import strategies as st

from fhir_server.scheduling.answers import Part, effect

PARTS = st.lists(
    st.builds(
        Part,
        kind=st.sampled_from(["patient", "companion", "provider", "thing"]),
        required=st.booleans(),
        status=st.sampled_from(["needs-action", "tentative", "accepted", "declined"]),
    ),
    min_size=1,
    max_size=6,
)


def _part(kind: str, status: str, *, required: bool = True) -> Part:
    return Part(kind, required, status)  # type: ignore[arg-type]  # the tests name the kinds


@given(PARTS, st.data(), st.booleans())
def test_what_an_answer_can_do(parts: list[Part], data: st.DataObject, awaiting: bool) -> None:
    at = data.draw(st.integers(0, len(parts) - 1))
    becomes = effect(parts, [at], awaiting=awaiting)
    if becomes == "cancelled":
        assert parts[at].status == "declined"
        assert parts[at].kind == "patient" or (parts[at].kind, parts[at].required) == ("provider", True)
        patients = [one for one in parts if one.kind == "patient"]
        assert parts[at].kind == "provider" or all(one.status == "declined" for one in patients if one.required)
    if becomes == "booked":
        assert awaiting
        assert parts[at].status == "accepted"
        assert not any(one.status == "declined" for one in parts if one.required)
        assert all(one.status == "accepted" for one in parts if one.required and one.kind == "provider")


@given(PARTS, st.data())
def test_who_is_not_required_decides_nothing(parts: list[Part], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(parts) - 1))
    optional = [Part(one.kind, False, one.status) if index == at else one for index, one in enumerate(parts)]
    coming = [one for one in optional if one.kind == "patient" and one.status != "declined"]
    assume(optional[at].kind != "patient" or any(one.required for one in coming))
    assert effect(optional, [at], awaiting=False) == "kept"


def test_a_visit_to_which_no_patient_comes_is_none() -> None:
    doctor, gone = _part("provider", "accepted"), _part("patient", "declined", required=False)
    assert effect([gone, doctor], [0], awaiting=False) == "cancelled"
    assert effect([gone, _part("patient", "accepted", required=False), doctor], [0], awaiting=False) == "kept"
    assert effect([gone, _part("patient", "accepted"), doctor], [0], awaiting=False) == "kept"


def test_a_request_is_booked_when_all_agree() -> None:
    asked, agreed, doctor = (_part("patient", "tentative"), _part("patient", "accepted"), _part("provider", "accepted"))
    assert effect([asked, doctor], [1], awaiting=True) == "booked"
    assert effect([agreed, doctor], [0], awaiting=True) == "booked"
    assert effect([agreed, _part("provider", "tentative")], [0], awaiting=True) == "kept"
    assert effect([_part("patient", "needs-action"), doctor], [1], awaiting=True) == "kept"
    assert effect([agreed, doctor, _part("provider", "tentative")], [1], awaiting=True) == "kept"
    assert effect([agreed, doctor, _part("provider", "tentative", required=False)], [1], awaiting=True) == "booked"
    assert effect([agreed, doctor, _part("thing", "declined")], [1], awaiting=True) == "kept"


def test_without_a_provider_a_place_is_accepted_by_the_staff() -> None:
    who = _part("patient", "accepted")
    assert effect([who, _part("thing", "tentative")], [0], awaiting=True) == "kept"
    assert effect([who, _part("thing", "accepted")], [1], awaiting=True) == "booked"


def test_one_of_two_patients_does_not_end_the_visit() -> None:
    gone, here = _part("patient", "declined"), _part("patient", "accepted")
    assert effect([gone, here], [0], awaiting=False) == "kept"
    assert effect([gone, _part("patient", "declined")], [1], awaiting=False) == "cancelled"
    assert effect([gone, _part("patient", "accepted", required=False)], [0], awaiting=False) == "cancelled"
    assert effect([_part("companion", "declined"), here], [0], awaiting=False) == "kept"
