"""FHIR XML: what JSON says comes back from XML to the letter, and what XML must not say is refused with its place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fhir_server.errors import Category, Problem
from fhir_server.fhir.json import dump, number, parse
from fhir_server.fhir.models import Element, elements
from fhir_server.fhir.xml import from_xml, to_xml
from fhir_server.fhir.xml_reader import MOST_NODES

ROOT = Path(__file__).parents[3]
FILES = sorted([*ROOT.glob("profiles/*/*.json"), *ROOT.glob("terminology/*/*.json")])
HEAD = '<?xml version="1.0" encoding="UTF-8"?>'
DIV = '<div xmlns="http://www.w3.org/1999/xhtml">'
NS = 'xmlns="http://hl7.org/fhir"'

letters = st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\ufffe\uffff")
texts = st.text(letters | st.sampled_from("\t\n\r<&>\"' "), min_size=1, max_size=12)
NUMBERS = ["1.00", "0.0000001", "1e2", "-0", "-0.50", "3.141592653589793238462643383279", "100", "1E+2"]
DIVS = [
    f"{DIV}{one}</div>" for one in ("x", "<p>a <b>b</b></p>", "&lt;&amp; é<br/>", '<a href="#x" title="&quot;">y</a>')
]
TYPES = ["Patient", "Appointment", "Bundle", "Parameters", "OperationOutcome", "ValueSet", "Questionnaire", "Binary",
         "CapabilityStatement", "StructureDefinition", "PlanDefinition", "Schedule"]  # fmt: skip


def _bytes(body: str) -> bytes:
    return body.replace("{ns}", NS).replace("{h}", "xmlns:h='http://www.w3.org/1999/xhtml'").encode()


def primitive(element: Element) -> st.SearchStrategy[Any]:
    if element.type == "boolean":
        return st.booleans()
    if element.type in {"integer", "positiveInt", "unsignedInt"}:
        return st.integers(-(2**31), 2**31)
    if element.type == "decimal":
        return st.sampled_from(NUMBERS).map(number)
    return st.sampled_from(DIVS) if element.type == "xhtml" else texts


@st.composite
def objects(draw: Any, type_name: str, depth: int = 3, *, head: bool = False) -> dict[str, Any]:
    """A resource or an element with a few parts of every kind."""
    known = elements(type_name)
    if type_name == "Element" and draw(st.booleans()):
        return {"id": draw(texts)}
    usable = [one for one in known.values() if depth or (one.primitive and one.type != "xhtml")]
    chosen = draw(st.lists(st.sampled_from(usable), min_size=1, max_size=4, unique_by=lambda one: one.name))
    made: dict[str, Any] = {"resourceType": type_name} if head else {}
    for element in chosen:
        if not element.primitive:
            anything = element.type == "Resource"
            one = objects("Patient" if anything else element.type, depth - 1, head=anything)
            made[element.name] = draw(st.lists(one, min_size=1, max_size=2) if element.many else one)
            continue
        plain = element.type == "xhtml" or not depth or (element.name == "id" and not head)
        plain = plain or (element.name == "url" and type_name == "Extension")
        beside = None if plain else draw(st.none() | objects("Element", depth - 1))
        if not element.many:
            if beside is None or draw(st.booleans()):
                made[element.name] = draw(primitive(element))
            if beside is not None:
                made[f"_{element.name}"] = beside
        else:
            values = draw(st.lists(primitive(element), min_size=1, max_size=3))
            if beside is not None:
                made[f"_{element.name}"] = [*[None] * len(values), beside]
                values.append(draw(st.none() | primitive(element)))
            made[element.name] = values
    return made


@pytest.mark.parametrize("file", FILES, ids=[one.name for one in FILES])
def test_every_artifact_comes_back(file: Path) -> None:
    resource = parse(file.read_bytes())
    written = to_xml(resource)
    assert from_xml(written) == resource
    assert to_xml(from_xml(written)) == written
    assert from_xml(to_xml(resource, pretty=True)) == resource


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(TYPES).flatmap(lambda name: objects(name, head=True)))
def test_every_resource_comes_back(resource: dict[str, Any]) -> None:
    written = to_xml(resource)
    again = from_xml(written)
    assert again == resource
    # Equal numbers may be spelled in several ways; the spelling comes back too.
    assert dump(from_xml(to_xml(again))) == dump(again)
    assert to_xml(again) == written
    assert from_xml(to_xml(resource, pretty=True)) == resource


def test_what_the_formats_say_differently() -> None:
    resource = parse(
        b'{"resourceType":"Patient","id":"p","birthDate":"1980-05-11","_birthDate":{"id":"b","extension":[{"url":"urn:t",'
        b'"valueDateTime":"1980-05-11T10:00:00Z"}]},"active":true,"multipleBirthInteger":2,"text":{"status":"generated",'
        b'"div":"<div xmlns=\\"http://www.w3.org/1999/xhtml\\">a<br/></div>"},"name":[{"id":"n","given":["A",null,"C"],'
        b'"_given":[null,{"extension":[{"url":"urn:x","valueDecimal":1.00}]},null]}],'
        b'"contained":[{"resourceType":"Location","id":"l"}]}'
    )
    assert to_xml(resource).decode() == (
        f'{HEAD}<Patient {NS}><id value="p"/><text><status value="generated"/>{DIV}a<br/></div></text>'
        '<contained><Location><id value="l"/></Location></contained><active value="true"/>'
        '<name id="n"><given value="A"/><given><extension url="urn:x"><valueDecimal value="1.00"/></extension></given>'
        '<given value="C"/></name><birthDate value="1980-05-11" id="b"><extension url="urn:t">'
        '<valueDateTime value="1980-05-11T10:00:00Z"/></extension></birthDate><multipleBirthInteger value="2"/>'
        "</Patient>"
    )
    assert dump(from_xml(to_xml(resource))).count(b'"valueDecimal":1.00') == 1


def test_what_xml_has_no_place_for_is_left_out() -> None:
    """Attributes and narratives have no extensions, and lists no gaps."""
    beside = {"extension": [{"url": "urn:x", "_url": {"id": "u"}, "valueCode": "x"}]}
    name = {"_id": beside, "text": "a", "given": ["A", None], "_given": [None, None]}
    resource = {"resourceType": "Patient", "text": {"status": "empty", "_div": beside}, "name": [name]}
    assert from_xml(to_xml(resource)) == {
        "resourceType": "Patient", "text": {"status": "empty"}, "name": [{"text": "a", "given": ["A"]}]
    }  # fmt: skip


def test_what_xml_cannot_say_is_replaced() -> None:
    raw = to_xml({"resourceType": "Patient", "name": [{"text": "a\ufffeb\x00c\ud800d\x0be"}]})
    assert from_xml(raw) == {"resourceType": "Patient", "name": [{"text": "a\ufffdb\ufffdc\ufffdd\ufffde"}]}


BROKEN = ["", "<p>", "<div>x</div>", f"<!DOCTYPE div>{DIV}x</div>", f"{DIV}&nbsp;</div>",
          f"{DIV}<svg xmlns='urn:x'/></div>", f"{DIV}</div><x/>", f"{DIV}<?x?></div>"]  # fmt: skip


@pytest.mark.parametrize("div", BROKEN)
def test_a_narrative_cannot_break_out(div: str) -> None:
    written = to_xml({"resourceType": "Patient", "text": {"status": "generated", "div": div}}).decode()
    read = from_xml(written.encode())
    assert read.keys() == {"resourceType", "text"}
    assert read["text"]["div"].startswith(DIV)
    assert written.count("<div") == written.count("</div>") == 1
    assert not any(mark in written for mark in ("<svg", "<!DOCTYPE", "<p>", "<x", "<?x?>"))


def test_pretty_leaves_narratives_alone() -> None:
    div = f"{DIV}<p>a</p> <p>b</p></div>"
    resource = {"resourceType": "Patient", "text": {"status": "generated", "div": div}}
    written = to_xml(resource, pretty=True).decode()
    assert f'\n    <status value="generated"/>\n    {div}\n  </text>' in written
    assert from_xml(written.encode()) == resource


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("<Patient {ns}/>", {}),
        ("\ufeff<Patient {ns}/>", {}),
        ("<?xml version='1.0'?><!-- hello --><Patient {ns}><!-- there --></Patient>", {}),
        ("<f:Patient xmlns:f='http://hl7.org/fhir'><f:active value='true'/></f:Patient>", {"active": True}),
        ("<Patient {ns}>\n <gender value='male'/>\r\n\t</Patient>", {"gender": "male"}),
        ("<Patient {ns}><gender value='x'/><active value='false'/></Patient>", {"active": False, "gender": "x"}),
        ("<Patient {ns}><name><text value='  a &#10;&lt;'/></name></Patient>", {"name": [{"text": "  a \n<"}]}),
        ("<Patient {ns}><multipleBirthInteger value='+5'/></Patient>", {"multipleBirthInteger": 5}),
        ("<Patient {ns} xmlns:xsi='http://www.w3.org/2001/XMLSchema-instance' xsi:schemaLocation='a b'/>", {}),
        ("<Patient {ns}><text><h:div {h} xml:lang='en'><![CDATA[<b>]]><h:p></h:p><!-- --></h:div></text></Patient>",
         {"text": {"div": f'{DIV[:-1]} xml:lang="en">&lt;b&gt;<p></p><!-- --></div>'}}),
    ],
)  # fmt: skip
def test_what_is_read(body: str, expected: dict[str, Any]) -> None:
    assert from_xml(_bytes(body)) == {"resourceType": "Patient"} | expected


REFUSED = [
    ("", ""),
    ("{}", ""),
    ("<Patient {ns}>", ""),
    ("<Patient {ns}/><Patient {ns}/>", ""),
    ("<Patient/>", ""),
    ("<Patient xmlns='urn:other'/>", ""),
    ("<Nonsense {ns}/>", ""),
    ("<Resource {ns}/>", ""),
    ("<Patient {ns} id='x'/>", "Patient.id"),
    ("<Patient {ns}><bogus value='1'/></Patient>", "Patient.bogus"),
    ("<Patient {ns}><resourceType value='x'/></Patient>", "Patient.resourceType"),
    ("<Patient {ns}><gender xmlns='urn:x' value='male'/></Patient>", "Patient.gender"),
    ("<Patient {ns}><gender xmlns='' value='male'/></Patient>", "Patient.gender"),
    ("<Patient {ns}><gender value='male'/><gender value='male'/></Patient>", "Patient.gender"),
    ("<Patient {ns}><gender><extension url='a'/></gender><gender value='x'/></Patient>", "Patient.gender"),
    ("<Patient {ns}><gender/></Patient>", "Patient.gender"),
    ("<Patient {ns}><gender value=''/></Patient>", "Patient.gender"),
    ("<Patient {ns}><gender value='male' bogus='x'/></Patient>", "Patient.gender.bogus"),
    ("<Patient {ns}><gender value='male'>x</gender></Patient>", "Patient.gender"),
    ("<Patient {ns}><gender value='male'><coding/></gender></Patient>", "Patient.gender.coding"),
    ("<Patient {ns}><active value='1'/></Patient>", "Patient.active"),
    ("<Patient {ns}><multipleBirthInteger value='1.0'/></Patient>", "Patient.multipleBirthInteger"),
    ("<Patient {ns}><multipleBirthInteger value='\u0661'/></Patient>", "Patient.multipleBirthInteger"),
    ("<Location {ns}><position><latitude value='NaN'/></position></Location>", "Location.position.latitude"),
    ("<Location {ns}><position><latitude value='1e999'/></position></Location>", "Location.position.latitude"),
    ("<Patient {ns}>text</Patient>", "Patient"),
    ("<Patient {ns}><name/></Patient>", "Patient.name[0]"),
    ("<Patient {ns}><name value='x'/></Patient>", "Patient.name[0].value"),
    ("<Patient {ns}><name><text value='x'/></name><name><id value='x'/></name></Patient>", "Patient.name[1].id"),
    ("<Patient {ns}><name id=''><text value='x'/></name></Patient>", "Patient.name[0].id"),
    ("<Patient {ns}><extension url='x'><url value='x'/></extension></Patient>", "Patient.extension[0].url"),
    ("<Patient {ns}><contained/></Patient>", "Patient.contained[0]"),
    ("<Patient {ns}><contained id='x'/></Patient>", "Patient.contained[0].id"),
    ("<Patient {ns}><contained><name/></contained></Patient>", "Patient.contained[0]"),
    ("<Patient {ns}><contained><Location/><Location/></contained></Patient>", "Patient.contained[0]"),
    ("<Bundle {ns}><entry><resource><Slot><x/></Slot></resource></entry></Bundle>", "Bundle.entry[0].resource.x"),
    ("<Group {ns}><member id='a'/><member>" + "<inactive value='true'/>" * 2 + "</member></Group>",
     "Group.member[1].inactive"),
    ("<Patient {ns}><text><div>x</div></text></Patient>", "Patient.text.div"),
    ("<Patient {ns}><text><h:div {h}><x xmlns='urn:x'/></h:div></text></Patient>",
     "Patient.text.div"),
    ("<Patient {ns}><text><h:div {h}><?x?></h:div></text></Patient>", "Patient.text"),
    ("<?xml-stylesheet href='http://x.example/'?><Patient {ns}/>", ""),
    ("<Patient {ns}><?php echo ?></Patient>", "Patient"),
    ("<!DOCTYPE Patient><Patient {ns}/>", ""),
    ("<!DOCTYPE Patient SYSTEM 'http://x.example/x.dtd'><Patient {ns}/>", ""),
    ("<!DOCTYPE x [<!ENTITY a 'b'>]><Patient {ns}><gender value='&a;'/></Patient>", ""),
    ("<!DOCTYPE x [<!ENTITY a SYSTEM 'file:///etc/passwd'>]><Patient {ns}><gender value='&a;'/></Patient>", ""),
    ("<!DOCTYPE x [<!ENTITY % a SYSTEM 'http://x.example/'> %a;]><Patient {ns}/>", ""),
    ("<Patient {ns}><text><h:div {h}>&nbsp;</h:div></text></Patient>", ""),
    ("<Patient {ns}><gender value='&#0;'/></Patient>", ""),
    ("<Patient {ns}><gender value='&#xD800;'/></Patient>", ""),
    ("<Patient {ns}><gender value='a' value='b'/></Patient>", ""),
    ("<?xml version='1.0' encoding='ISO-8859-1'?><Patient {ns}/>", ""),
    ("<?xml version='1.1'?><Patient {ns}/>", ""),
    ("<Patient {ns}>" + "<extension url='x'>" * 70 + "</extension>" * 70 + "</Patient>", ""),
    ("<Patient {ns}>" + "<extension url='x'>" * 40 + "<valueCode value='x'/>" + "</extension>" * 40 + "</Patient>", ""),
    ("<Patient {ns}><text><h:div {h}>" + "<h:b>" * 70 + "</h:b>" * 70 + "</h:div></text></Patient>",
     ""),
    ("<Patient {ns} " + " ".join(f"a{number}='x'" for number in range(5000)) + "/>", "Patient.a0"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "place"), REFUSED, ids=[one[0][:70] for one in REFUSED])
def test_what_is_refused(body: str, place: str) -> None:
    with pytest.raises(Problem) as refused:
        from_xml(_bytes(body))
    assert refused.value.category is Category.STRUCTURE
    assert refused.value.issues[0].expression == place
    assert "passwd" not in str(refused.value)


def test_a_document_has_only_so_many_elements_and_attributes() -> None:
    count = MOST_NODES // 2 - 1
    many = _bytes("<Patient {ns}><name>" + "<given value='a'/>" * count + "</name></Patient>")
    assert len(from_xml(many)["name"][0]["given"]) == count
    wide = " ".join(f"a{number}='x'" for number in range(150_000))
    bold = f"<h:b {wide[:90_000].rpartition(' ')[0]}/>" * 50
    for large in (many.replace(b"</name>", b"<given value='a'/></name>"), _bytes("<Patient {ns} " + wide + "/>"),
                  _bytes("<Patient {ns}><text><h:div {h}>" + bold + "</h:div></text></Patient>")):  # fmt: skip
        with pytest.raises(Problem) as refused:
            from_xml(large)
        assert refused.value.category is Category.TOO_LARGE


@pytest.mark.parametrize(
    "raw", [b"\xff\xfe<\x00P\x00", f"<Patient {NS}><gender value='\xe9'/></Patient>".encode("latin-1")]
)
def test_other_encodings_are_refused(raw: bytes) -> None:
    with pytest.raises(Problem, match="not UTF-8"):
        from_xml(raw)


@pytest.mark.parametrize("resource", [{}, {"resourceType": "Nonsense"}, {"resourceType": "Patient", "bogus": 1},
                                      {"resourceType": "Patient", "name": [5]},
                                      {"resourceType": "Patient", "gender": {}}])  # fmt: skip
def test_what_is_no_resource_is_not_written(resource: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="not a FHIR resource"):
        to_xml(resource)
