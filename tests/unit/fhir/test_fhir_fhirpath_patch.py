"""FHIRPath Patch: what each operation does, where a path leads, and what is refused at which part."""

from __future__ import annotations

import contextlib
import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.errors import Category, Problem
from fhir_server.fhir.fhirpath_patch import MOST_OPERATIONS, apply, operations_of
from fhir_server.fhir.json import parse

BASE = parse(b"""{"resourceType":"Patient","id":"p","active":true,"gender":"male","birthDate":"1980-05-11",
 "_birthDate":{"extension":[{"url":"urn:time","valueDateTime":"1980-05-11T10:00:00Z"}]},
 "identifier":[{"use":"official","system":"urn:a","value":"1"},{"use":"usual","system":"urn:a","value":"2"},
  {"system":"urn:b","value":"3"}],
 "name":[{"use":"official","family":"Pat","given":["A","B","C"],"_given":[null,{"id":"b"},null]},{"text":"Patty"}],
 "contact":[{"name":{"text":"Mum"},"gender":"female"}],"maritalStatus":{"text":"married"},
 "extension":[{"url":"urn:x","valueString":"x"},{"url":"urn:y","valueQuantity":{"value":1.00}},
  {"url":"urn:n","extension":[{"url":"part","valueCode":"c"}]}],
 "deceasedBoolean":false,"multipleBirthInteger":2,"contained":[{"resourceType":"Location","id":"l","name":"L"}]}""")

Part = dict[str, Any]


def _part(name: str, value: Any) -> Part:
    """A part: a number is an integer, text a string, a tuple ``(kind, value)``, a list nested parts."""
    if isinstance(value, tuple):
        return {"name": name, value[0]: value[1]}
    if isinstance(value, list):
        return {"name": name, "part": value}
    return {"name": name, "valueInteger" if isinstance(value, int) else "valueString": value}


def op(type_: str, path: str, /, **parts: Any) -> Part:
    inner = [{"name": "type", "valueCode": type_}, _part("path", path)]
    return {"name": "operation", "part": inner + [_part(name, value) for name, value in parts.items()]}


def patched(*operations: Part, base: dict[str, Any] = BASE) -> dict[str, Any]:
    kept = copy.deepcopy(base)
    read = operations_of({"resourceType": "Parameters", "parameter": list(operations)})
    found = apply(read, base)
    assert base == kept
    # A change may be made again when somebody was faster.
    assert apply(read, base) == found
    return found


def changes(after: dict[str, Any]) -> dict[str, Any]:
    """What differs from the base; None for what is gone."""
    return {name: after.get(name) for name in {*after, *BASE} if after.get(name) != BASE.get(name)}


NAME, IDENTIFIER, CONTACT = BASE["name"], BASE["identifier"], BASE["contact"]
X, Y, N = BASE["extension"]
HUMAN = ("valueHumanName", {"text": "N"})
PERIOD = ("valuePeriod", {"start": "2026"})

CASES: list[tuple[Part, dict[str, Any]]] = [
    # add
    (op("add", "Patient", name="language", value=("valueCode", "en")), {"language": "en"}),
    (op("add", "Patient", name="name", value=HUMAN), {"name": [*NAME, {"text": "N"}]}),
    (op("add", "Patient", name="photo", value=("valueAttachment", {"url": "urn:p"})), {"photo": [{"url": "urn:p"}]}),
    (op("add", "Patient.contact[0]", name="period", value=PERIOD),
     {"contact": [CONTACT[0] | {"period": {"start": "2026"}}]}),
    (op("add", "Patient.name[1]", name="given", value="Z"), {"name": [NAME[0], {"text": "Patty", "given": ["Z"]}]}),
    (op("add", "Patient.name.first()", name="given", value="Z"),
     {"name": [NAME[0] | {"given": ["A", "B", "C", "Z"], "_given": [None, {"id": "b"}, None, None]}, NAME[1]]}),
    (op("add", "Patient", name="contact", value=[_part("name", ("valueHumanName", {"text": "Dad"})),
                                                 _part("gender", ("valueCode", "male")),
                                                 _part("telecom", ("valueContactPoint", {"value": "1"})),
                                                 _part("telecom", ("valueContactPoint", {"value": "2"}))]),
     {"contact": [*CONTACT, {"name": {"text": "Dad"}, "gender": "male", "telecom": [{"value": "1"}, {"value": "2"}]}]}),
    (op("add", "Patient", name="communication", value=[
        _part("language", [_part("coding", [_part("code", ("valueCode", "en"))])]),
        _part("preferred", ("valueBoolean", True))]),
     {"communication": [{"language": {"coding": [{"code": "en"}]}, "preferred": True}]}),
    (op("add", "Patient", name="extension", value=[_part("url", "urn:z"), _part("value", ("valueDecimal", 5))]),
     {"extension": [X, Y, N, {"url": "urn:z", "valueDecimal": 5}]}),
    (op("add", "Patient.gender", name="extension", value=[_part("url", "urn:z"), _part("value", ("valueCode", "q"))]),
     {"_gender": {"extension": [{"url": "urn:z", "valueCode": "q"}]}}),
    (op("add", "Patient.birthDate", name="id", value="d"), {"_birthDate": BASE["_birthDate"] | {"id": "d"}}),
    (op("add", "Patient.name[0].given[0]", name="id", value="a"),
     {"name": [NAME[0] | {"_given": [{"id": "a"}, {"id": "b"}, None]}, NAME[1]]}),
    (op("add", "Patient", name="contained", value=("resource", {"resourceType": "Slot", "id": "s"})),
     {"contained": [*BASE["contained"], {"resourceType": "Slot", "id": "s"}]}),
    (op("add", "Patient.contained.ofType(Location)", name="description", value="d"),
     {"contained": [BASE["contained"][0] | {"description": "d"}]}),
    (op("add", "Patient.extension('urn:y').value", name="unit", value="kg"),
     {"extension": [X, {"url": "urn:y", "valueQuantity": {"value": 1, "unit": "kg"}}, N]}),
    # insert
    (op("insert", "Patient.name", index=0, value=HUMAN), {"name": [{"text": "N"}, *NAME]}),
    (op("insert", "Patient.name", index=2, value=HUMAN), {"name": [*NAME, {"text": "N"}]}),
    (op("insert", "name[0].given", index=1, value="Z"),
     {"name": [NAME[0] | {"given": ["A", "Z", "B", "C"], "_given": [None, None, {"id": "b"}, None]}, NAME[1]]}),
    (op("insert", "Patient.photo", index=0, value=("valueAttachment", {"url": "urn:p"})),
     {"photo": [{"url": "urn:p"}]}),
    (op("insert", "Patient.identifier.where(value = '3').extension", index=0,
        value=[_part("url", "urn:z"), _part("value", ("valueBoolean", False))]),
     {"identifier": [*IDENTIFIER[:2], IDENTIFIER[2] | {"extension": [{"url": "urn:z", "valueBoolean": False}]}]}),
    # delete
    (op("delete", "Patient.gender"), {"gender": None}),
    (op("delete", "Patient.birthDate"), {"birthDate": None, "_birthDate": None}),
    (op("delete", "Patient.birthDate.extension('urn:time')"), {"_birthDate": None}),
    (op("delete", "Patient.identifier[1]"), {"identifier": [IDENTIFIER[0], IDENTIFIER[2]]}),
    (op("delete", "Patient.identifier.where(use = 'usual')"), {"identifier": [IDENTIFIER[0], IDENTIFIER[2]]}),
    (op("delete", "Patient.contact[0]"), {"contact": None}),
    (op("delete", "Patient.contact"), {"contact": None}),
    (op("delete", "Patient.contact.name.text"), {"contact": [{"gender": "female"}]}),
    (op("delete", "Patient.name[1].text"), {"name": [NAME[0]]}),
    (op("delete", "Patient.name[0].given[1]"),
     {"name": [{"use": "official", "family": "Pat", "given": ["A", "C"]}, NAME[1]]}),
    (op("delete", "Patient.name[0].given[1].id"),
     {"name": [{k: v for k, v in NAME[0].items() if k != "_given"}, NAME[1]]}),
    (op("delete", "Patient.deceased"), {"deceasedBoolean": None}),
    (op("delete", "Patient.extension('urn:n').extension('part').value"),
     {"extension": [X, Y, {"url": "urn:n", "extension": [{"url": "part"}]}]}),
    (op("delete", "Patient.photo"), {}),
    (op("delete", "Patient.identifier[7]"), {}),
    (op("delete", "Patient.multipleBirth.ofType(boolean)"), {}),
    # replace
    (op("replace", "Patient.birthDate", value=("valueDate", "1930-01-01")),
     {"birthDate": "1930-01-01", "_birthDate": None}),
    (op("replace", "Patient.contact[0].name.text", value="Ma"),
     {"contact": [{"name": {"text": "Ma"}, "gender": "female"}]}),
    (op("replace", "Patient.maritalStatus", value=("valueCodeableConcept", {"text": "no"})),
     {"maritalStatus": {"text": "no"}}),
    (op("replace", "Patient.deceased", value=("valueDateTime", "2020")),
     {"deceasedBoolean": None, "deceasedDateTime": "2020"}),
    (op("replace", "Patient.deceased", value=("valueBoolean", True)), {"deceasedBoolean": True}),
    (op("replace", "Patient.extension('urn:x').value", value=("valueCode", "y")),
     {"extension": [{"url": "urn:x", "valueCode": "y"}, Y, N]}),
    (op("replace", "(Patient.multipleBirth as integer)", value=3), {"multipleBirthInteger": 3}),
    (op("replace", "Patient.name[0].given.last()", value="Z"),
     {"name": [NAME[0] | {"given": ["A", "B", "Z"]}, NAME[1]]}),
    (op("replace", "Patient.name[0].given[1]", value="Z"),
     {"name": [{"use": "official", "family": "Pat", "given": ["A", "Z", "C"]}, NAME[1]]}),
    (op("replace", "Patient.identifier.where(system = 'urn:b' and value = '3').value", value="4"),
     {"identifier": [*IDENTIFIER[:2], IDENTIFIER[2] | {"value": "4"}]}),
    (op("replace", "Patient.contact[0]", value=[_part("gender", "male")]), {"contact": [{"gender": "male"}]}),
    (op("replace", "gender", value=("valueCode", "other")), {"gender": "other"}),
    # move
    (op("move", "Patient.identifier", source=0, destination=2), {"identifier": [*IDENTIFIER[1:], IDENTIFIER[0]]}),
    (op("move", "Patient.identifier", source=2, destination=0), {"identifier": [IDENTIFIER[2], *IDENTIFIER[:2]]}),
    (op("move", "Patient.identifier", source=1, destination=1), {}),
    (op("move", "Patient.name[0].given", source=1, destination=0),
     {"name": [NAME[0] | {"given": ["B", "A", "C"], "_given": [{"id": "b"}, None, None]}, NAME[1]]}),
]  # fmt: skip


@pytest.mark.parametrize(("operation", "expected"), CASES, ids=range(len(CASES)))
def test_an_operation(operation: Part, expected: dict[str, Any]) -> None:
    assert changes(patched(operation)) == expected


PATHS = [
    ("Patient.identifier.where(use = 'official')", "1"),
    ("Patient.identifier.where(use != 'official')", "2"),
    ("Patient.identifier.where(use.exists().not())", "3"),
    ("Patient.identifier.where(use.empty())", "3"),
    ("Patient.identifier.where(use = 'usual' or value = '9')", "2"),
    ("Patient.identifier.where((use = 'usual' or value = '3') and system = 'urn:b')", "3"),
    ("Patient.identifier.where(system.startsWith('urn')).where(value.contains('2'))", "2"),
    ("Patient.identifier.where(system.endsWith(':b'))", "3"),
    ("Patient.identifier.where($this.value = '1')", "1"),
    ("Patient.identifier.where('1' = value)", "1"),
    ("Patient.identifier.where(`use` = 'usual')", "2"),
    ("Patient.identifier.where(value = '\\u0031')", "1"),
    ("Patient.identifier.where(system = 'urn:a')[1]", "2"),
    ("Patient.identifier.where(system = 'urn:b').single()", "3"),
    ("Resource.identifier.last()", "3"),
    ("identifier.first()", "1"),
    (" Patient . identifier [ 1 ] ", "2"),
]


@pytest.mark.parametrize(("path", "value"), PATHS)
def test_a_path_leads_to_its_element(path: str, value: str) -> None:
    after = patched(op("delete", path))
    assert after["identifier"] == [one for one in IDENTIFIER if one["value"] != value]


@pytest.mark.parametrize(
    "criteria",
    ["active", "active = true", "multipleBirth = 2", "multipleBirth = 2.0", "birthDate = @1980-05-11",
     "(multipleBirth as integer) = 2", "name.given = name.given", "name.exists() and true"],
)  # fmt: skip
def test_conditions_that_hold(criteria: str) -> None:
    assert changes(patched(op("delete", f"Patient.where({criteria}).gender"))) == {"gender": None}


@pytest.mark.parametrize("criteria", ["active = 1", "multipleBirth = true", "name.given = 'A'", "photo.url = 'x'",
                                      "photo.url != 'x'", "active.not()", "photo.url = 'x' or false"])  # fmt: skip
def test_conditions_that_do_not_hold(criteria: str) -> None:
    assert changes(patched(op("delete", f"Patient.where({criteria}).gender"))) == {}


def test_operations_follow_one_another() -> None:
    moves = [op("move", "Patient.identifier", source=2, destination=to) for to in (0, 1)]
    assert patched(*moves)["identifier"] == [IDENTIFIER[2], IDENTIFIER[1], IDENTIFIER[0]]
    added = op("add", "Patient", name="contact", value=[_part("gender", "male")])
    after = patched(
        added, op("add", "Patient.contact[1]", name="period", value=PERIOD), op("delete", "Patient.contact[0]")
    )
    assert after["contact"] == [{"gender": "male", "period": {"start": "2026"}}]
    assert patched(op("delete", "Patient.contact"), added)["contact"] == [{"gender": "male"}]


def test_no_operations_change_nothing() -> None:
    assert patched() == BASE
    assert apply(operations_of({"resourceType": "Parameters"}), BASE) == BASE


def test_values_may_have_extensions_only() -> None:
    beside = {"extension": [{"url": "urn:absent", "valueCode": "unknown"}]}
    after = patched(op("replace", "Patient.gender", value=("_valueCode", beside)))
    assert changes(after) == {"gender": None, "_gender": beside}
    assert changes(patched(op("delete", "Patient.gender.extension"), base=after)) == {"gender": None}
    given = patched(op("insert", "Patient.name[1].given", index=0, value=("_valueString", beside)))
    assert given["name"][1] == {"text": "Patty", "_given": [beside]}


UNFIT: list[tuple[Part, str]] = [
    (op("add", "Patient", name="gender", value="male"), "[2]"),
    (op("add", "Patient", name="deceased", value=("valueDateTime", "2020")), "[2]"),
    (op("add", "Patient", name="maritalStatus", value=("valueCodeableConcept", {"text": "x"})), "[2]"),
    (op("add", "Patient", name="bogus", value="x"), "[2]"),
    (op("add", "Patient", name="resourceType", value="x"), "[2]"),
    (op("add", "Patient", name="_gender", value="x"), "[2]"),
    (op("add", "Patient", name="language", value=("valueBoolean", True)), "[3]"),
    (op("add", "Patient", name="language", value=("valueCode", 5)), "[3]"),
    (op("add", "Patient", name="language", value=("valueCode", {})), "[3]"),
    (op("add", "Patient", name="language", value=("valueNonsense", "x")), "[3]"),
    (op("add", "Patient", name="language", value=[_part("x", "y")]), "[3]"),
    (op("add", "Patient", name="photo", value=PERIOD), "[3]"),
    (op("add", "Patient", name="photo", value=("valueAttachment", {})), "[3]"),
    (op("add", "Patient", name="photo", value="x"), "[3]"),
    (op("add", "Patient", name="contained", value="x"), "[3]"),
    (op("add", "Patient", name="contact", value=[]), "[3]"),
    (op("add", "Patient", name="contact", value=[_part("bogus", "x")]), "[3].part[0]"),
    (op("add", "Patient", name="contact", value=[_part("gender", "male"), _part("gender", "male")]), "[3].part[1]"),
    (op("add", "Patient", name="contact", value=[{"valueString": "x"}]), "[3].part[0]"),
    (
        op("add", "Patient", name="extension", value=[_part("url", "u"), _part("value", ("valueNone", 1))]),
        "[3].part[1]",
    ),
    (op("add", "Patient.photo", name="url", value="x"), "[1]"),
    (op("add", "Patient.identifier", name="value", value="x"), "[1]"),
    (op("add", "Patient.identifier.where(use = 'official').period", name="end", value="2021"), "[1]"),
    (op("insert", "Patient.name", index=3, value=HUMAN), "[2]"),
    (op("insert", "Patient.name", index=-1, value=HUMAN), "[2]"),
    (op("insert", "Patient.name", index="0", value=HUMAN), "[2]"),
    (op("insert", "Patient.gender", index=0, value="male"), "[1]"),
    (op("insert", "Patient.name[0]", index=0, value=HUMAN), "[1]"),
    (op("insert", "Patient.identifier.where(use = 'x').extension", index=0, value="x"), "[1]"),
    (op("insert", "Patient.name.given", index=0, value="x"), "[1]"),
    (op("insert", "Patient", index=0, value="x"), "[1]"),
    (op("delete", "Patient.identifier"), "[1]"),
    (op("delete", "Patient.name.given"), "[1]"),
    (op("delete", "Patient"), "[1]"),
    (op("delete", "Patient.bogus"), "[1]"),
    (op("delete", "Practitioner.gender"), "[1]"),
    (op("delete", "Patient.identifier.where(bogus = 'x')"), "[1]"),
    (op("delete", "Patient.identifier.single()"), "[1]"),
    (op("delete", "Patient.name.where(given)"), "[1]"),
    (op("replace", "Patient", value=("resource", {"resourceType": "Patient"})), "[1]"),
    (op("replace", "Patient.photo", value=("valueAttachment", {"url": "u"})), "[1]"),
    (op("replace", "Patient.name", value=HUMAN), "[1]"),
    (op("replace", "Patient.deceased", value=("valueCode", "x")), "[2]"),
    (op("replace", "Patient.multipleBirth", value=("valueInteger", 1.5)), "[2]"),
    (op("move", "Patient.identifier", source=3, destination=0), "[2]"),
    (op("move", "Patient.identifier", source=0, destination=3), "[3]"),
    (op("move", "Patient.photo", source=0, destination=0), "[2]"),
    (op("move", "Patient.gender", source=0, destination=0), "[1]"),
]


@pytest.mark.parametrize(("operation", "place"), UNFIT, ids=range(len(UNFIT)))
def test_an_operation_that_does_not_fit(operation: Part, place: str) -> None:
    with pytest.raises(Problem) as refused:
        patched(op("delete", "Patient.gender"), op("add", "Patient", name="gender", value="male"), operation)
    assert refused.value.category is Category.INVALID
    assert refused.value.issues[0].expression == f"Parameters.parameter[2].part{place}"


SYNTAX = [
    "", "Patient.", ".name", "Patient..name", "Patient.name[", "Patient.name[x]",
    "Patient.name[-1]", "Patient.name[1.5]", "Patient.name[0", "Patient.where(", "Patient.name.where()",
    "Patient.name.where(use=)", "Patient.name.bogus()",
    "Patient.name.resolve()", "Patient.name | Patient.photo", "Patient.name.where(use = 'x'", "Patient name", "'x'",
    "Patient.name.where(use ~ 'x')", "Patient.name.ofType(Nonsense)", "Patient.name.extension(urn)", "$this.",
    "Patient.name.exists()", "Patient.name.where(use = 'x)", "Patient.where(" + "(" * 20 + "true" + ")" * 20 + ")",
    "Patient." + "a" * 2000, "Patient.name.where(given.matches('.*'))", "%resource.name",
    'Patient.name.where(use = "x")',
]  # fmt: skip


@pytest.mark.parametrize("path", SYNTAX)
def test_what_is_no_path(path: str) -> None:
    with pytest.raises(Problem) as refused:
        patched(op("delete", path))
    assert refused.value.issues[0].expression == "Parameters.parameter[0].part[1]"


SHAPES: list[tuple[Any, str]] = [
    (5, ".parameter[0]"),
    ({"name": "op", "part": []}, ".parameter[0]"),
    ({"name": "operation"}, ".parameter[0]"),
    ({"name": "operation", "part": [5]}, ".parameter[0].part[0]"),
    ({"name": "operation", "part": []}, ".parameter[0]"),
    ({"name": "operation", "part": [{"name": "type", "valueInteger": 1}]}, ".parameter[0].part[0]"),
    (op("explode", "Patient.name"), ".parameter[0].part[0]"),
    (op("delete", "Patient.name", value="x"), ".parameter[0].part[2]"),
    (op("delete", "Patient.name", path="x"), ".parameter[0].part[2]"),
    (op("add", "Patient", name="gender"), ".parameter[0]"),
    (op("insert", "Patient.name", value="x"), ".parameter[0]"),
    (op("move", "Patient.name", source=0), ".parameter[0]"),
    (op("replace", "Patient.name"), ".parameter[0]"),
]


@pytest.mark.parametrize(("parameter", "place"), SHAPES, ids=range(len(SHAPES)))
def test_what_is_no_operation(parameter: Any, place: str) -> None:
    with pytest.raises(Problem) as refused:
        operations_of({"resourceType": "Parameters", "parameter": [parameter]})
    assert refused.value.category.status == 400
    assert refused.value.issues[0].expression == f"Parameters{place}"


def test_a_patch_costs_only_so_much() -> None:
    with pytest.raises(Problem) as refused:
        operations_of({"resourceType": "Parameters", "parameter": [op("delete", "a")] * (MOST_OPERATIONS + 1)})
    assert refused.value.category is Category.TOO_LARGE
    large = {"resourceType": "Patient", "identifier": [{"value": str(number)} for number in range(5000)]}
    searching = op("delete", "Patient.identifier.where(value.contains('x') or system = 'y')")
    with pytest.raises(Problem) as refused:
        patched(*[searching] * MOST_OPERATIONS, base=large)
    assert refused.value.category is Category.TOO_LARGE


@given(st.text(st.sampled_from("Patient.name[]()'=! where0first$this`as@orand\\"), max_size=30))
def test_any_text_is_a_path_or_is_refused(path: str) -> None:
    with contextlib.suppress(Problem):
        assert patched(op("delete", path)).keys() >= {"resourceType", "id", "birthDate"}
