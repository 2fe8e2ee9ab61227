"""``$expand``, ``$validate-code``, ``$lookup`` and ``$translate`` over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_server.settings import CANONICAL
from tests.builders.answers import expressions, refused

REASONS = "http://terminology.hl7.org/CodeSystem/appointment-cancellation-reason"
PATIENTS = f"{CANONICAL}ValueSet/patient-cancellation-reasons"
MODALITY = f"{CANONICAL}CodeSystem/modality"
INLINE = {
    "resourceType": "ValueSet", "status": "draft", "name": "Mine",
    "compose": {"include": [{"system": MODALITY, "concept": [{"code": "phone"},
                                                             {"code": "video", "display": "On TV"}]}]},
}  # fmt: skip


def body(*entries: tuple[str, str, Any]) -> dict[str, Any]:
    return {"resourceType": "Parameters", "parameter": [{"name": name, key: value} for name, key, value in entries]}


def said(answer: Any) -> dict[str, Any]:
    """Values of an answer's parameters by name; parts as a list of such."""
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = {}
    for one in answer.json()["parameter"]:
        if "part" in one:
            parts = {part["name"]: _value(part) for part in one["part"]}
            found.setdefault(one["name"], []).append(parts)
        else:
            found[one["name"]] = _value(one)
    return found


def _value(parameter: dict[str, Any]) -> Any:
    return next(value for name, value in parameter.items() if name.startswith("value"))


def codes(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [one["code"] for one in answer.json()["expansion"].get("contains", ())]


@pytest.mark.parametrize("path", [f"ValueSet/$expand?url={CANONICAL}ValueSet/modality", "ValueSet/modality/$expand"])
async def test_a_value_set_is_expanded(client: Any, path: str) -> None:
    answer = await client.get(path)
    assert codes(answer) == ["in-person", "video", "phone"]
    found = answer.json()
    assert (found["resourceType"], found["url"]) == ("ValueSet", f"{CANONICAL}ValueSet/modality")
    assert "compose" not in found
    expansion = found["expansion"]
    assert (expansion["total"], expansion["offset"]) == (3, 0)
    assert expansion["identifier"].startswith("urn:uuid:")
    assert expansion["timestamp"].endswith("Z")
    assert {"name": "version", "valueUri": f"{MODALITY}|0.1.0"} in expansion["parameter"]
    assert expansion["contains"][0] == {
        "system": MODALITY, "version": "0.1.0", "code": "in-person", "display": expansion["contains"][0]["display"],
    }  # fmt: skip


async def test_filters_excludes_and_pages(client: Any) -> None:
    everything = codes(await client.get("ValueSet/$expand", params={"url": PATIENTS}))
    assert everything[0] == "pat"
    assert set(everything) == {"pat", "pat-cpp", "pat-fb", "pat-lt", "pat-mv", "pat-preg", "pat-swl", "pat-ucp"}
    one = await client.get("ValueSet/$expand", params={"url": PATIENTS, "filter": "wait sched"})
    assert (codes(one), one.json()["expansion"]["total"]) == (["pat-swl"], 1)
    page = await client.get("ValueSet/$expand", params={"url": PATIENTS, "offset": "2", "count": "3"})
    assert codes(page) == everything[2:5]
    assert (page.json()["expansion"]["total"], page.json()["expansion"]["offset"]) == (8, 2)
    assert {"name": "count", "valueInteger": 3} in page.json()["expansion"]["parameter"]
    none = await client.get("ValueSet/$expand", params={"url": PATIENTS, "count": "0"})
    assert (codes(none), none.json()["expansion"]["total"]) == ([], 8)
    defined = await client.get("ValueSet/$expand", params={"url": PATIENTS, "includeDefinition": "true"})
    assert defined.json()["compose"]["exclude"]


async def test_displays_in_another_language(client: Any) -> None:
    query = {"displayLanguage": "es-MX", "includeDesignations": "true", "filter": "teléfono"}
    (phone,) = (await client.get("ValueSet/modality/$expand", params=query)).json()["expansion"]["contains"]
    assert (phone["code"], phone["display"]) == ("phone", "Por teléfono")
    assert phone["designation"] == [{"language": "es", "value": "Por teléfono"}]
    found = said(await client.get(f"CodeSystem/$lookup?system={MODALITY}&code=phone&displayLanguage=es"))
    assert found["display"] == "Por teléfono"
    assert found["designation"] == [{"language": "es", "value": "Por teléfono"}]
    told = {"system": MODALITY, "code": "phone", "display": "por teléfono"}
    assert said(await client.get("ValueSet/modality/$validate-code", params=told))["result"] is True
    assert (await client.get("CodeSystem", params={"language": "es", "code": "phone"})).json()["total"] == 1


async def test_a_value_set_that_is_sent_along(client: Any) -> None:
    for sent in (INLINE, body(("valueSet", "resource", INLINE))):
        answer = await client.post("ValueSet/$expand", json=sent)
        assert codes(answer) == ["phone", "video"]
        assert answer.json()["expansion"]["contains"][1]["display"] == "On TV"
    broken = {**INLINE, "compose": {"include": [{"system": MODALITY, "concept": [{"display": "x"}]}]}}
    outcome = refused(await client.post("ValueSet/$expand", json=broken), 400)
    assert expressions(outcome) == ["ValueSet.compose.include[0].concept[0].code"]
    foreign = {**INLINE, "compose": {"include": [{"system": "http://snomed.info/sct"}]}}
    outcome = refused(await client.post("ValueSet/$expand", json=foreign), 422)
    assert outcome["issue"][0]["code"] == "not-found"
    assert expressions(outcome) == ["ValueSet.compose.include[0].system"]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("ValueSet/$expand", 400),
        ("ValueSet/$expand?url=http://hl7.org/fhir/ValueSet/none", 404),
        (f"ValueSet/$expand?url={CANONICAL}ValueSet/modality|9", 404),
        (f"ValueSet/$expand?url={CANONICAL}ValueSet/modality&valueSetVersion=9", 404),
        (f"ValueSet/$expand?url={CANONICAL}ValueSet/modality&count=-1", 400),
        (f"ValueSet/$expand?url={CANONICAL}ValueSet/modality&offset=x", 400),
        (f"ValueSet/$expand?url={CANONICAL}ValueSet/modality&exclude-system=x", 400),
        (f"ValueSet/modality/$expand?url={CANONICAL}ValueSet/modality", 400),
        ("ValueSet/none/$expand", 404),
        ("CodeSystem/$lookup?code=phone", 400),
        (f"CodeSystem/$lookup?system={MODALITY}", 400),
        (f"CodeSystem/$lookup?system={MODALITY}&code=fax", 404),
        ("CodeSystem/$lookup?system=http://none&code=x", 404),
        (f"CodeSystem/$lookup?system={MODALITY}&version=7&code=phone", 404),
        ("CodeSystem/$validate-code?code=phone", 400),
        ("CodeSystem/$validate-code?url=http://none&code=phone", 404),
        (f"ValueSet/$validate-code?url={CANONICAL}ValueSet/modality&code=phone", 400),
        (f"ValueSet/$validate-code?url={CANONICAL}ValueSet/modality&system={MODALITY}", 400),
        (f"ConceptMap/$translate?code=phone&system={MODALITY}&url=http://none", 404),
        ("ConceptMap/$translate?code=phone", 400),
        (f"ConceptMap/$translate?system={MODALITY}&code=phone&dependency=x", 400),
        ("ConceptMap/none/$translate?system=x&code=y", 404),
        ("CodeSystem/modality/$lookup?code=phone", 404),
    ],
)
async def test_refusals(client: Any, path: str, status: int) -> None:
    refused(await client.get(path), status)


@pytest.mark.parametrize(
    ("query", "result", "display"),
    [
        (f"system={REASONS}&code=pat-fb", True, "Patient: Feeling Better"),
        (f"system={REASONS}&code=pat-fb&display=patient:%20feeling%20better", True, "Patient: Feeling Better"),
        (f"system={REASONS}&code=pat-fb&display=Bored", False, "Patient: Feeling Better"),
        (f"system={REASONS}&code=pat-dec", False, None),
        (f"system={MODALITY}&code=phone", False, None),
    ],
)
async def test_is_a_code_in_a_value_set(client: Any, query: str, result: bool, display: str | None) -> None:
    for path in (f"ValueSet/$validate-code?url={PATIENTS}&", "ValueSet/patient-cancellation-reasons/$validate-code?"):
        found = said(await client.get(path + query))
        assert (found["result"], found.get("display")) == (result, display)
        assert ("message" in found) is not result


async def test_is_a_coding_or_concept_in_a_value_set(client: Any) -> None:
    good, bad = {"system": REASONS, "code": "pat-mv"}, {"system": REASONS, "code": "prov"}
    url = ("url", "valueUri", PATIENTS)
    path = "ValueSet/$validate-code"
    assert said(await client.post(path, json=body(url, ("coding", "valueCoding", good))))["result"] is True
    assert said(await client.post(path, json=body(url, ("coding", "valueCoding", bad))))["result"] is False
    concept = ("codeableConcept", "valueCodeableConcept", {"coding": [bad, good]})
    assert said(await client.post(path, json=body(url, concept)))["result"] is True
    inline = body(("valueSet", "resource", INLINE), ("coding", "valueCoding", {"system": MODALITY, "code": "video"}))
    assert said(await client.post(path, json=inline)) == {"result": True, "display": "On TV"}
    both = body(url, ("coding", "valueCoding", good), concept)
    refused(await client.post(path, json=both), 400, "param-missing")
    words = ("codeableConcept", "valueCodeableConcept", {"text": "moved"})
    refused(await client.post(path, json=body(url, words)), 400, "param-invalid")


async def test_is_it_a_code_of_a_code_system(client: Any) -> None:
    found = said(await client.get("CodeSystem/$validate-code", params={"url": MODALITY, "code": "video"}))
    assert found["result"] is True
    assert said(await client.get("CodeSystem/modality/$validate-code?code=fax"))["result"] is False
    coding = body(("coding", "valueCoding", {"system": MODALITY, "code": "phone"}))
    assert said(await client.post("CodeSystem/$validate-code", json=coding))["result"] is True
    mine = {"resourceType": "CodeSystem", "url": "urn:mine", "status": "draft", "content": "complete",
            "concept": [{"code": "a", "concept": [{"code": "b", "display": "Bee"}]}]}  # fmt: skip
    inline = body(("codeSystem", "resource", mine), ("code", "valueCode", "b"))
    assert said(await client.post("CodeSystem/$validate-code", json=inline)) == {"result": True, "display": "Bee"}
    fragment = said(await client.get(f"CodeSystem/$validate-code?url={REASONS}&code=new"))
    assert "held here" in fragment["message"]


async def test_what_a_code_means(client: Any) -> None:
    found = said(await client.get("CodeSystem/$lookup", params={"system": REASONS, "code": "pat-fb"}))
    assert (found["name"], found["version"]) == ("AppointmentCancellationReason", "4.0.1")
    assert found["display"] == "Patient: Feeling Better"
    assert found["property"] == [{"code": "parent", "value": "pat"}]
    coding = body(("coding", "valueCoding", {"system": MODALITY, "code": "phone"}))
    found = said(await client.post("CodeSystem/$lookup", json=coding))
    assert [one["code"] for one in found["property"]] == ["definition"]
    query = {"system": REASONS, "code": "pat", "property": "child"}
    found = said(await client.get("CodeSystem/$lookup", params=query))
    assert {one["code"] for one in found["property"]} == {"child"}
    assert "pat-fb" in {one["value"] for one in found["property"]}


OURS = f"{CANONICAL}CodeSystem/cancellation-reason"
MAP = f"{CANONICAL}ConceptMap/cancellation-reason"


@pytest.mark.parametrize(
    "path",
    [f"ConceptMap/$translate?url={MAP}&", "ConceptMap/cancellation-reason/$translate?",
     "ConceptMap/$translate?target=http://hl7.org/fhir/ValueSet/appointment-cancellation-reason&",
     f"ConceptMap/$translate?targetsystem={REASONS}&"],
)  # fmt: skip
async def test_a_code_is_translated(client: Any, path: str) -> None:
    found = said(await client.get(f"{path}system={OURS}&code=weather"))
    assert found == {
        "result": True,
        "match": [{
            "equivalence": "equivalent", "source": MAP,
            "concept": {"system": REASONS, "code": "oth-weath", "display": "Other: Weather"},
        }],
    }  # fmt: skip


async def test_translation_backwards_and_without_a_match(client: Any) -> None:
    query = {"url": MAP, "system": REASONS, "code": "prov", "reverse": "true"}
    found = said(await client.get("ConceptMap/$translate", params=query))
    assert [(one["concept"]["code"], one["equivalence"]) for one in found["match"]] == [
        ("provider-unavailable", "narrower")
    ]
    nothing = said(await client.get("ConceptMap/$translate", params={"url": MAP, "system": OURS, "code": "none"}))
    assert (nothing["result"], "match" in nothing) == (False, False)
    status = {"system": "http://hl7.org/fhir/appointmentstatus", "code": "waitlist"}
    unmatched = said(await client.post("ConceptMap/$translate", json=body(("coding", "valueCoding", status))))
    assert unmatched["result"] is False
    assert [one["equivalence"] for one in unmatched["match"]] == ["unmatched"]


async def test_a_concept_map_that_is_sent_along(client: Any) -> None:
    mine = {
        "resourceType": "ConceptMap", "status": "draft",
        "group": [{"source": "urn:a", "target": "urn:b",
                   "element": [{"code": "1", "target": [{"code": "2", "equivalence": "equal"}]}]}],
    }  # fmt: skip
    sent = body(("conceptMap", "resource", mine), ("coding", "valueCoding", {"system": "urn:a", "code": "1"}))
    (match,) = said(await client.post("ConceptMap/$translate", json=sent))["match"]
    assert match == {"equivalence": "equal", "concept": {"system": "urn:b", "code": "2"}}
    del mine["status"]
    outcome = refused(await client.post("ConceptMap/$translate", json=sent), 400)
    assert expressions(outcome) == ["Parameters.parameter[0].resource.status"]
