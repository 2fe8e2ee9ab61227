"""The artifacts are valid, named after their ids, and agree with each other and with the code."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import fhir_server
from fhir_server.conformance.artifacts import Artifacts
from fhir_server.conformance.validator import Validator
from fhir_server.fhir.json import parse
from fhir_server.fhir.models import is_resource_type
from fhir_server.fhir.types import HELD, is_id
from fhir_server.services.shapes import OWN, Part, value_of
from fhir_server.services.term_shapes import EXTENSIONS
from fhir_server.services.terms import problems
from fhir_server.settings import CANONICAL

ARTIFACTS = Artifacts.load()
PACKAGE = Path(fhir_server.__file__).parent
ROOT = PACKAGE.parent
CANONICALS = {
    **ARTIFACTS.structure_definitions,
    **{one["url"]: one for one in ARTIFACTS.operation_definitions.values()},
    **ARTIFACTS.code_systems,
    **ARTIFACTS.value_sets,
    **ARTIFACTS.concept_maps,
}
FOLDERS = (
    "profiles/topics",
    "profiles/structure_definitions",
    "profiles/operation_definitions",
    "profiles/examples",
    "terminology/code_systems",
    "terminology/value_sets",
    "terminology/concept_maps",
)
HL7 = ("http://hl7.org/fhir/", "http://terminology.hl7.org/")
VALIDATOR = Validator(dict.fromkeys(HELD, problems))
EXAMPLES = ARTIFACTS.examples


@pytest.mark.parametrize(
    "resource", [*CANONICALS.values(), *EXAMPLES.values()], ids=lambda one: f"{one['resourceType']}-{one['id']}"
)
def test_every_artifact_is_valid(resource):
    assert VALIDATOR.issues(resource, resource["resourceType"]) == []


def test_files_are_named_after_their_ids_and_urls_after_types_and_ids():
    for folder in FOLDERS:
        for path in (ROOT / folder).glob("*.json"):
            assert parse(path.read_bytes())["id"] == path.stem
    for url, resource in CANONICALS.items():
        assert url == f"{CANONICAL}{resource['resourceType']}/{resource['id']}" or (
            url.startswith(HL7) and url.endswith(f"/{resource['id']}") and resource["publisher"] == "HL7 International"
        )
        assert is_id(resource["id"])
        assert resource["status"] == "active"
        assert isinstance(resource["experimental"], bool)
        for name in ("version", "name", "title", "date", "publisher", "description"):
            assert resource[name], (url, name)
        assert re.fullmatch(r"[A-Z][A-Za-z0-9_]{0,254}", resource["name"])


def test_a_broken_artifact_is_named(tmp_path):
    with pytest.raises(FileNotFoundError):
        Artifacts.load(tmp_path)
    for folder in FOLDERS:
        (tmp_path / folder).mkdir(parents=True)
    assert Artifacts.load(tmp_path).examples == {}
    (tmp_path / "profiles/examples/x.json").write_text('{"id":1,"id":2}')
    with pytest.raises(ValueError, match=r"x\.json"):
        Artifacts.load(tmp_path)


def test_codes_of_a_code_system():
    assert ARTIFACTS.codes(f"{CANONICAL}CodeSystem/modality") == {"in-person", "video", "phone"}
    with pytest.raises(KeyError):
        ARTIFACTS.codes("http://example.org")


def test_every_value_set_and_target_that_is_ours_exists():
    for definition in ARTIFACTS.structure_definitions.values():
        ids = [element["id"] for element in definition["differential"]["element"]]
        assert len(ids) == len(set(ids))
        assert definition["fhirVersion"] == "4.0.1"
        for element in definition["differential"]["element"]:
            assert element["path"].startswith(definition["type"])
            bound = element.get("binding", {}).get("valueSet", "")
            assert not bound or bound in ARTIFACTS.value_sets
            for one in element.get("type", ()):
                for profile in one.get("profile", ()):
                    assert profile in ARTIFACTS.structure_definitions or not profile.startswith(CANONICAL)
                for target in one.get("targetProfile", ()):
                    assert is_resource_type(target.rsplit("/", 1)[1])


def test_operations_are_declared_as_r4_says():
    for definition in ARTIFACTS.operation_definitions.values():
        assert definition["id"] == f"{definition['resource'][0]}-{definition['code']}"
        outs = [one for one in definition["parameter"] if one["use"] == "out"]
        # One resource is "return"; several values come as Parameters.
        names = [one["name"] for one in outs]
        assert names == ["return"] or (len(names) > 1 and "return" not in names and len(set(names)) == len(names))
        ins = [one["name"] for one in definition["parameter"] if one["use"] == "in"]
        assert len(ins) == len(set(ins))
        for parameter in definition["parameter"]:
            assert parameter["type"] == "string" or "searchType" not in parameter  # opd-2
            assert parameter["type"] == "Reference" or "targetProfile" not in parameter  # opd-3
    assert not ARTIFACTS.operation_definitions["Appointment-find"]["affectsState"]


def _declared(definition, prefix="Extension"):
    """Parts of an extension as its StructureDefinition says: name → (min, max, kinds, bound codes, parts)."""
    elements = {element["id"]: element for element in definition["differential"]["element"]}
    found = {}
    for name, element in elements.items():
        head, _, part = name.rpartition(".extension:")
        if head != prefix or "." in part:
            continue
        value = elements[f"{name}.value[x]"]
        kinds = tuple(one["code"][0].upper() + one["code"][1:] for one in value.get("type", ()))
        found[part] = (element["min"], element["max"], kinds, _bound(value), _declared(definition, name))
    return found


def _bound(element):
    binding = element.get("binding", {})
    return binding.get("valueSet") if binding.get("strength") == "required" else None


def _shaped(parts, declared):
    assert parts.keys() == declared.keys()
    for name, part in parts.items():
        low, high, kinds, bound, inner = declared[name]
        assert (int(part.required), "*" if part.many else "1") == (low, high), name
        assert part.kinds == (() if part.parts else kinds), name
        if bound in ARTIFACTS.value_sets:
            _same_codes(part, bound)
        _shaped(part.parts, inner)


def _same_codes(part, value_set):
    (include,) = ARTIFACTS.value_sets[value_set]["compose"]["include"]
    for code in ARTIFACTS.codes(include["system"]):
        part.check(code)
    with pytest.raises(ValueError, match="not one of") as fault:
        part.check("no such code")
    assert set(str(fault.value).removeprefix("not one of ").split(", ")) == ARTIFACTS.codes(include["system"])


@pytest.mark.parametrize(
    ("kind", "url", "part"),
    [(kind, url, part) for kind, known in EXTENSIONS.items() for url, part in known.items() if url.startswith(OWN)],
)
def test_definitions_and_the_table_in_the_code_agree(kind: str, url: str, part: Part):
    definition = ARTIFACTS.structure_definitions[url]
    assert kind in {context["expression"] for context in definition["context"]}
    root = definition["differential"]["element"][0]
    assert root["max"] == ("*" if part.many else "1")
    _shaped(part.parts, _declared(definition))
    if not part.parts:
        value = next(one for one in definition["differential"]["element"] if one["id"] == "Extension.value[x]")
        assert part.kinds == tuple(one["code"][0].upper() + one["code"][1:] for one in value["type"])
        if _bound(value):
            _same_codes(part, _bound(value))


def test_every_extension_on_a_held_type_is_in_the_table():
    for url, definition in ARTIFACTS.structure_definitions.items():
        for context in definition.get("context", ()):
            if context["expression"] in HELD:
                assert url in EXTENSIONS[context["expression"]]


def _used(node, found):
    if isinstance(node, dict):
        if str(node.get("url", "")).startswith(OWN):
            found.add(node["url"])
        found |= {(one.get("url"), value_of(one)[0]) for one in node.get("extension", ()) if "url" in one}
        for value in node.values():
            _used(value, found)
    elif isinstance(node, list):
        for value in node:
            _used(value, found)
    return found


def test_every_extension_part_and_profile_has_an_example():
    used, profiles = set(), set()
    for example in EXAMPLES.values():
        _used(example, used)
        profiles |= set(example.get("meta", {}).get("profile", ()))
    for url, definition in ARTIFACTS.structure_definitions.items():
        if definition["type"] == "Extension":
            assert url in used
            for name, (_, _, kinds, _, _) in _declared(definition).items():
                assert all((name, kind) in used for kind in (kinds or ("",))), name
        else:
            assert url in profiles


def _codes_in(path):
    """Codes of our CodeSystem that a module writes into issues."""
    for call in ast.walk(ast.parse(path.read_text())):
        if isinstance(call, ast.Call):
            place = {"Issue": 2, "problem": 3, "Refusal": 0}.get(getattr(call.func, "id", ""))
            said = (
                []
                if place is None
                else [*call.args[place : place + 1], *(one.value for one in call.keywords if one.arg == "code")]
            )
            for node in said:
                if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value:
                    yield node.value


def test_every_code_that_the_server_says_is_in_the_code_system():
    known = ARTIFACTS.codes(f"{CANONICAL}CodeSystem/scheduling-issue")
    said = {code for path in PACKAGE.rglob("*.py") for code in _codes_in(path)}
    assert said <= known


def test_every_canonical_that_the_code_names_is_there():
    kinds = "CodeSystem|ConceptMap|OperationDefinition|StructureDefinition|ValueSet"
    own = re.compile(rf"\{{OWN\}}([a-z-]+)|\{{CANONICAL\}}((?:{kinds})/[A-Za-z-]+)")
    named = {
        f"{OWN}{short}" if short else f"{CANONICAL}{long}"
        for path in PACKAGE.rglob("*.py")
        for short, long in own.findall(path.read_text())
    }
    assert {f"{OWN}alternative", f"{CANONICAL}CodeSystem/scheduling-issue"} <= named
    assert named <= CANONICALS.keys()
