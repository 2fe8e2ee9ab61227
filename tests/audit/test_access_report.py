"""``Patient/[id]/$access-report``: who saw what of a patient, for the patient, as JSON, XML and a page."""

from __future__ import annotations

import re
import uuid
from html.parser import HTMLParser
from typing import Any

import pytest

from fhir_server.access.caller import Caller
from fhir_server.access.record import Access, Accessed
from fhir_server.services.world import World
from tests.audit.callers import AUDITOR, BACKEND, asking, patient
from tests.audit.records import access
from tests.builders.answers import refused
from tests.scans import no_scans

__all__ = ["no_scans"]


def seen(who: str, **changes: Any) -> Access:
    return access(**{"objects": (Accessed("Appointment", f"a-{who}", 1, (f"Patient/{who}",)),), **changes})


@pytest.fixture
async def someone(client: Any, world: World) -> str:
    """A patient whose data two people used."""
    name = uuid.uuid4().hex[:12]
    person = {"prefix": ["Dr."], "given": ["Jo"], "family": "<b>"}
    await client.put(f"Practitioner/{name}", json={"resourceType": "Practitioner", "id": name, "name": [person]})
    await world.record.add(seen(name, fhir_user=f"Practitioner/{name}", client="ehr <i>"))
    refusal = {"outcome": 4, "reason": "forbidden", "purpose": "BTG", "fhir_user": "", "subject": ""}
    await world.record.add(seen(name, action="U", interaction="update", **refusal))
    both = (*seen(name).objects, *seen(f"{name}x").objects)
    query = f"GET /fhir/Patient?_id={name},{name}x".encode()
    await world.record.add(access(objects=both, action="E", interaction="search", query=query))
    return name


async def ask(client: Any, name: str, query: str = "", caller: Caller | None = None, **headers: str) -> Any:
    with asking(caller or patient(name)):
        answer = await client.get(f"Patient/{name}/$access-report{query}", headers=headers)
    assert answer.status_code == 200, answer.text
    return answer


def others(bundle: dict[str, Any]) -> list[dict[str, Any]]:
    """What is reported besides the asking for reports, which is recorded too."""
    found = [one["resource"] for one in bundle.get("entry", ())]
    return [one for one in found if one["subtype"][-1]["code"] != "$access-report"]


async def test_the_newest_first_with_names_and_nothing_of_others(client: Any, someone: str) -> None:
    bundle = (await ask(client, someone)).json()
    events = [one["resource"] for one in bundle["entry"]]
    assert [one["action"] for one in events] == ["E", "U", "R"]
    assert f"{someone}x" not in str(bundle)
    assert all("query" not in entity for one in events for entity in one["entity"])
    assert events[2]["agent"][2]["name"] == "Dr. Jo <b>"
    assert events[1]["purposeOfEvent"][0]["coding"][0]["code"] == "BTG"
    for caller in (AUDITOR, BACKEND):
        assert len(others((await ask(client, someone, caller=caller)).json())) == 3


async def test_pages_and_times(client: Any, someone: str) -> None:
    first = (await ask(client, someone, "?_count=2")).json()
    (following,) = [one["url"] for one in first["link"] if one["relation"] == "next"]
    with asking(patient(someone)):
        second = (await client.get(following)).json()
    assert [len(one["entry"]) for one in (first, second)] == [2, 1]
    assert second["entry"][0]["resource"]["action"] == "R"
    assert "entry" not in (await ask(client, someone, "?end=2020")).json()
    assert len(others((await ask(client, someone, "?start=2020-05&end=2099-01-01T00:00:00%2B01:00")).json())) == 3
    with asking(patient(someone)):
        refused(await client.get(f"Patient/{someone}/$access-report?start=soon"), 400)
        refused(await client.get(f"Patient/{someone}/$access-report?x=1", headers={"Prefer": "handling=strict"}), 400)


async def test_a_stranger_and_staff_do_not_get_it(client: Any, someone: str) -> None:
    with asking(patient("stranger")):
        refused(await client.get(f"Patient/{someone}/$access-report"), 404)
    with asking(Caller()):
        refused(await client.get(f"Patient/{someone}/$access-report"), 403)


async def test_by_post_and_in_xml(client: Any, someone: str) -> None:
    body = {"resourceType": "Parameters", "parameter": [{"name": "_count", "valueInteger": 1}]}
    with asking(patient(someone)):
        answer = await client.post(f"Patient/{someone}/$access-report", json=body)
    assert len(answer.json()["entry"]) == 1
    assert (await ask(client, someone, "?_format=xml")).content.startswith(b"<?xml")


class Outline(HTMLParser):
    """What of the page a reader that speaks needs."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


@pytest.mark.parametrize(
    ("query", "headers"),
    [("?_format=html", {}), ("?_format=text/html", {}), ("", {"Accept": "text/html"}),
     ("", {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"})],
)  # fmt: skip
async def test_the_page(client: Any, someone: str, query: str, headers: dict[str, str]) -> None:
    answer = await ask(client, someone, query, **headers)
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    outline = Outline()
    outline.feed(answer.text)
    tags = [tag for tag, _ in outline.tags]
    assert ("html", {"lang": "en"}) in outline.tags
    assert {"title", "main", "h1", "table", "caption"} <= set(tags)
    heads = [attributes.get("scope") for tag, attributes in outline.tags if tag == "th"]
    assert heads == ["col"] * 7 + ["row"] * 3
    assert not {"script", "img", "link", "b", "i", "iframe"} & set(tags)
    assert "Dr. Jo &lt;b&gt; (practitioner)" in answer.text
    assert "ehr &lt;i&gt;" in answer.text
    assert "@media print" in answer.text
    assert "emergency access" in answer.text
    assert f"{someone}x" not in answer.text


async def test_the_page_has_a_next_one(client: Any, someone: str) -> None:
    answer = await ask(client, someone, "?_format=html&_count=2")
    found = re.search(r'href="\?([^"]*)" rel="next"', answer.text)
    assert found
    following = found[1].replace("&amp;", "&")
    assert (await ask(client, someone, f"?{following}")).text.count("<tr>") == 2
    assert "No access is recorded" in (await ask(client, someone, "?_format=html&end=2020")).text


async def test_fhir_stays_fhir_for_programs(client: Any, someone: str) -> None:
    for accept in ("application/fhir+json", "application/fhir+json, text/html", "*/*"):
        answer = await ask(client, someone, Accept=accept)
        assert answer.headers["Content-Type"].startswith("application/fhir+json")
    with asking(patient(someone)):
        refused(await client.get("AuditEvent?_format=html"), 406)
