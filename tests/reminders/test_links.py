"""Links in messages: one act without a login, once, for one person, as long as it makes sense."""

from __future__ import annotations

import re
from typing import Any

import pytest

from fhir_server.store.links import LINKS, digest
from tests.builders.clinic import duration, part, proposals
from tests.builders.messages import Practice, rule

LINK = re.compile(r"http://fhir\.test(/a/[\w-]{24})")
LABELS = {
    "confirm": "Confirm",
    "reschedule": "Choose another time",
    "cancel": "Cancel",
    "unsubscribe": "No more e-mail",
}


async def _asked(practice: Practice, *policy: dict[str, Any], **person: Any) -> dict[str, Any]:
    """An appointment whose patient was asked by e-mail whether they come."""
    await practice.opened(rule("confirmation-request", 3, "d", "email"), part("notices", "Boolean", False), *policy)
    await practice.person(**person)
    booked = await practice.booked("14:00", day=10)
    await practice.until(practice.at("14:01", 7))
    return booked


def _links(practice: Practice) -> dict[str, str]:
    """Paths by act, from the last e-mail."""
    text = practice.sent("email")[-1].text
    found = {}
    for act, label in LABELS.items():
        line = next((one for one in text.split("\n") if one.startswith(label)), "")
        if match := LINK.search(line):
            found[act] = match[1]
    return found


async def _press(http: Any, path: str, act: str, **more: str) -> Any:
    """What the button of the page sends."""
    return await http.post(path, data={"act": act, **more})


async def _state(practice: Practice, booked: dict[str, Any]) -> tuple[str, str]:
    found = (await practice.client.get(f"Appointment/{booked['id']}")).json()
    mine = next(one for one in found["participant"] if one["actor"]["reference"].startswith("Patient/"))
    return found["status"], mine["status"]


async def test_an_email_has_a_link_for_each_act(practice: Practice, http: Any) -> None:
    booked = await _asked(practice)
    found = _links(practice)
    assert set(found) == set(LABELS)
    assert len(set(found.values())) == 4
    for path in found.values():
        page = await http.get(path)
        assert page.status_code == 200
        assert "default-src 'none'" in page.headers["content-security-policy"]
        assert page.headers["referrer-policy"] == "no-referrer"
        assert page.headers["cache-control"] == "no-store"
        assert "<script" not in page.text
        assert "Sample" not in page.text, "the page names nobody"
    assert await _state(practice, booked) == ("booked", "needs-action"), (
        "opening does nothing: mail scanners open links"
    )


async def test_confirm_and_open_it_again(practice: Practice, http: Any) -> None:
    booked = await _asked(practice)
    path = _links(practice)["confirm"]
    assert "Will you come?" in (await http.get(path)).text
    done = await _press(http, path, "confirm")
    assert (done.status_code, "is confirmed" in done.text) == (200, True)
    assert await _state(practice, booked) == ("booked", "accepted")
    version = (await practice.client.get(f"Appointment/{booked['id']}")).json()["meta"]["versionId"]
    for answer in (await _press(http, path, "confirm"), await http.post(path), await http.get(path)):
        assert "is confirmed" in answer.text
        assert "<button" not in answer.text
    assert (await practice.client.get(f"Appointment/{booked['id']}")).json()["meta"]["versionId"] == version


async def test_cancel(practice: Practice, http: Any) -> None:
    booked = await _asked(practice)
    found = _links(practice)
    done = await _press(http, found["cancel"], "cancel")
    assert (done.status_code, "is cancelled" in done.text) == (200, True)
    assert await _state(practice, booked) == ("cancelled", "declined")
    assert "is cancelled" in (await http.get(found["cancel"])).text
    for act in ("confirm", "reschedule"):
        for answer in (await http.get(found[act]), await _press(http, found[act], act)):
            assert (answer.status_code, "<button" in answer.text) == (410, False)


async def test_what_was_done_is_said_only_while_it_stands(practice: Practice, http: Any) -> None:
    booked = await _asked(practice)
    found = _links(practice)
    await _press(http, found["confirm"], "confirm")
    choices = re.findall(r'name="time" value="([^"]+)"', (await http.get(found["reschedule"])).text)
    assert "Moved" in (await _press(http, found["reschedule"], "reschedule", time=choices[0])).text
    assert await _state(practice, booked) == ("booked", "needs-action")
    for answer in (await http.get(found["confirm"]), await _press(http, found["confirm"], "confirm")):
        assert (answer.status_code, "is confirmed" in answer.text) == (410, False), "another time is not confirmed"
    assert "at this time now" in (await http.get(found["reschedule"])).text
    await practice.act(booked["id"], "$cancel")
    for act in ("confirm", "reschedule"):
        page = await http.get(found[act])
        assert (page.status_code, "<button" in page.text) == (410, False)


async def test_the_cut_off_is_obeyed_and_said(practice: Practice, http: Any) -> None:
    late = (part(f"{act}Cutoff", "Duration", duration(5 * 1440)) for act in ("cancel", "reschedule"))
    booked = await _asked(practice, *late)
    for act in ("cancel", "reschedule"):
        page = (await http.get(_links(practice)[act])).text
        assert "too late" in page
        assert "<button" not in page
        assert "no other times" not in page
    refused = await _press(http, _links(practice)["cancel"], "cancel")
    assert (refused.status_code, "too late" in refused.text) == (422, True)
    assert "+1 555 201 0199" in refused.text
    assert await _state(practice, booked) == ("booked", "needs-action")


async def test_another_time(practice: Practice, http: Any) -> None:
    booked = await _asked(practice)
    path = _links(practice)["reschedule"]
    page = await http.get(path)
    choices = re.findall(r'name="time" value="([^"]+)"', page.text)
    assert len(choices) == len(set(choices)) == 5, "14:30 to 16:30 of today"
    nothing = await _press(http, path, "reschedule")
    assert (nothing.status_code, "Choose one of the times" in nothing.text) == (422, True)
    strange = await _press(http, path, "reschedule", time="slot-nothing")
    assert (strange.status_code, "not offered" in strange.text) == (422, True)
    assert (await practice.client.get(f"Appointment/{booked['id']}")).json()["start"] == booked["start"]
    done = await _press(http, path, "reschedule", time=choices[3])
    assert (done.status_code, "at this time now" in done.text) == (200, True), done.text
    moved = (await practice.client.get(f"Appointment/{booked['id']}")).json()
    assert moved["start"] != booked["start"]
    assert (moved["status"], moved["id"]) == ("booked", booked["id"])
    again = await _press(http, path, "reschedule", time=choices[4])
    assert "at this time now" in again.text
    assert (await practice.client.get(f"Appointment/{booked['id']}")).json()["start"] == moved["start"]
    # The other links of the same message are about the time that it had.
    assert (await _press(http, _links(practice)["confirm"], "confirm")).status_code == 410


async def test_a_time_that_somebody_took_meanwhile(practice: Practice, http: Any) -> None:
    booked = await _asked(practice)
    other = await practice.person("other")
    path = _links(practice)["reschedule"]
    choices = re.findall(r'name="time" value="([^"]+)"', (await http.get(path)).text)
    found = await practice.find(
        start=practice.at("14:01", 7), end=practice.at("23:59", 8), schedule=f"Schedule/{practice.id('cal')}"
    )
    assert (await practice.book(proposals(found)[0]["id"], other)).status_code == 201
    refused = await _press(http, path, "reschedule", time=choices[0])
    assert (refused.status_code, "just taken" in refused.text) == (409, True)
    again = re.findall(r'name="time" value="([^"]+)"', refused.text)
    assert choices[0] not in again
    assert choices[1] in again
    assert (await practice.client.get(f"Appointment/{booked['id']}")).json()["start"] == booked["start"]


@pytest.mark.parametrize("multipart", [False, True])
async def test_no_more_mail_by_one_click(practice: Practice, http: Any, multipart: bool) -> None:
    """https://www.rfc-editor.org/rfc/rfc8058#section-3.1: in either encoding."""
    booked = await _asked(practice)
    path = _links(practice)["unsubscribe"]
    assert "No more e-mail" in (await http.get(path)).text
    click = {"List-Unsubscribe": "One-Click"}
    done = await (http.post(path, files={name: (None, value) for name, value in click.items()}) if multipart
                  else http.post(path, data=click))  # fmt: skip
    assert (done.status_code, "<button" in done.text) == (200, False)
    query = {"patient": f"Patient/{practice.id('pat')}", "status": "active"}
    (entry,) = (await practice.client.get("Consent", params=query)).json()["entry"]
    assert entry["resource"]["provision"]["type"] == "deny"
    assert await _state(practice, booked) == ("booked", "needs-action")


@pytest.mark.parametrize("act", sorted(LABELS))
async def test_only_what_the_link_is_for_is_done(practice: Practice, http: Any, act: str) -> None:
    """A form that says something else, or nothing: the page again, as it was, and the link is good afterwards."""
    booked = await _asked(practice)
    path = _links(practice)[act]
    shown = await http.get(path)
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    others = [{"act": one} for one in (*LABELS, "accept", "decline", "", act.upper()) if one != act]
    if act != "unsubscribe":
        others.append({"List-Unsubscribe": "One-Click"})
    tried = [await http.post(path, data=one) for one in others]
    tried += [await http.post(path, content=one, headers=form) for one in (b"", b"\xff\xfe", b"act", b"&" * 30)]
    tried += [
        await http.post(path, content=f'{{"act": "{act}"}}', headers={"Content-Type": "application/json"}),
        await http.post(path, content=b"--x", headers={"Content-Type": "multipart/form-data; boundary=x"}),
        await http.post(path, content=b"act", headers={"Content-Type": "multipart/form-data"}),
        await http.post(path, files={"act": (None, "other")}),
        await http.post(path),
    ]
    for answer in tried:
        assert (answer.status_code, answer.text) == (200, shown.text), answer.request.content
    assert await _state(practice, booked) == ("booked", "needs-action")
    assert "entry" not in (await practice.client.get(f"Consent?patient=Patient/{practice.id('pat')}")).json()
    time = re.findall(r'name="time" value="([^"]+)"', shown.text)
    done = await _press(http, path, act, **({"time": time[0]} if time else {}))
    assert (done.status_code, "<button" in done.text) == (200, False)


async def test_when_it_ends(practice: Practice, http: Any) -> None:
    booked = await _asked(practice)
    found = _links(practice)
    practice.go(practice.at("14:00", 10))
    for act in ("confirm", "reschedule", "cancel"):
        for answer in (await http.get(found[act]), await _press(http, found[act], act)):
            assert (answer.status_code, "<button" in answer.text) == (410, False), act
    assert await _state(practice, booked) == ("booked", "needs-action")
    assert "send you no more e-mail" in (await _press(http, found["unsubscribe"], "unsubscribe")).text


async def test_moved_by_others_it_is_over(practice: Practice, http: Any) -> None:
    booked = await _asked(practice)
    found = _links(practice)
    await practice.act(booked["id"], "$reschedule", start=("DateTime", practice.at("15:00", 10)))
    for act in ("confirm", "reschedule", "cancel"):
        answer = await _press(http, found[act], act)
        assert (answer.status_code, "newer message" in answer.text) == (410, True), act
    assert await _state(practice, booked) == ("booked", "needs-action")


async def test_tampered_ones_open_nothing(practice: Practice, http: Any) -> None:
    booked = await _asked(practice)
    path = _links(practice)["cancel"]
    swapped = "A" if path[-1] != "A" else "B"
    for wrong in (
        path[:-1],
        path + "x",
        path[:-1] + swapped,
        path.swapcase(),
        "/a/" + "A" * 24,
        "/a/%00",
        "/a/../admin",
    ):
        for answer in (await http.get(wrong), await _press(http, wrong, "cancel")):
            assert answer.status_code == 404, wrong
    for method in ("PUT", "DELETE", "PATCH"):
        assert (await http.request(method, path)).status_code == 405
    assert await _state(practice, booked) == ("booked", "needs-action")


async def test_another_patient_who_takes_their_place(practice: Practice, http: Any) -> None:
    """A link is for one patient: when somebody else has the appointment, it is over."""
    booked = await _asked(practice)
    path = _links(practice)["cancel"]
    other = await practice.person("other")
    people = [
        {**one, "actor": {"reference": other}} if one["actor"]["reference"].startswith("Patient/") else one
        for one in booked["participant"]
    ]
    await practice.put({**booked, "participant": people})
    for answer in (await http.get(path), await _press(http, path, "cancel")):
        assert answer.status_code == 410
        assert "Main Street" not in answer.text
    assert (await _state(practice, booked))[0] == "booked"


async def test_what_is_stored_opens_nothing(practice: Practice) -> None:
    await _asked(practice)
    text = _links(practice)["confirm"].removeprefix("/a/")
    collection = practice.world.store.connection.collection(LINKS)
    (found,) = await collection.find({"_id": digest(text)}).to_list(None)
    assert text not in str(found)
    assert set(found) <= {
        "_id",
        "act",
        "appointment",
        "patient",
        "start",
        "request",
        "expires",
        "until",
        "used",
        "outcome",
    }


@pytest.mark.parametrize(("code", "words"), [("es", "¿Va a venir?"), ("de", "Kommen Sie?")])
async def test_in_the_patients_language(practice: Practice, http: Any, code: str, words: str) -> None:
    await practice.opened(rule("confirmation-request", 3, "d", "email"), part("notices", "Boolean", False))
    await practice.person(communication=[{"language": {"coding": [{"code": code}]}}])
    await practice.booked("14:00", day=10)
    await practice.until(practice.at("14:01", 7))
    path = LINK.search(practice.sent("email")[-1].text)
    assert path
    page = await http.get(path[1])
    assert words in page.text
    assert f'<html lang="{code}">' in page.text


async def test_who_opens_many_waits(practice: Practice, http: Any) -> None:
    await practice.opened()
    codes = [(await http.get("/a/" + "B" * 24)).status_code for _ in range(75)]
    assert (codes[0], codes[-1]) == (404, 429)
    last = await http.get("/a/" + "B" * 24)
    assert int(last.headers["Retry-After"]) > 0


async def test_it_is_recorded_as_what_it_was(practice: Practice, http: Any) -> None:
    booked = await _asked(practice)
    assert (await _press(http, _links(practice)["confirm"], "confirm")).status_code == 200
    found = await practice.world.store.resources.get("Appointment", booked["id"])
    assert found is not None
    assert (found.extra["by"]["client"], found.extra["by"]["role"]) == ("message-link", "patient")
    key = f"Appointment/{booked['id']}/{found.version}"
    assert await practice.world.store.audit.has_written([key]) == {key}


async def test_where_others_come_too_only_the_patient_leaves(practice: Practice, http: Any) -> None:
    capacity = part("capacity", "PositiveInt", 5)
    await practice.opened(rule("confirmation-request", 3, "d", "email"), part("notices", "Boolean", False))
    await practice.service("visit", 30, capacity)
    await practice.person()
    other = await practice.person("other")
    booked = await practice.booked("14:00", day=10)
    both = [*booked["participant"], {"actor": {"reference": other}, "status": "accepted"}]
    await practice.put({**booked, "participant": both})
    await practice.until(practice.at("14:01", 7))
    mail = next(one for one in practice.sent("email") if one.to.startswith(practice.id("pat")))
    line = next(one for one in mail.text.split("\n") if one.startswith("Cancel"))
    found = LINK.search(line)
    assert found
    done = await _press(http, found[1], "cancel")
    assert (done.status_code, "is cancelled" in done.text) == (200, True), done.text
    after = (await practice.client.get(f"Appointment/{booked['id']}")).json()
    people = {one["actor"]["reference"]: one["status"] for one in after["participant"]}
    assert (after["status"], people[f"Patient/{practice.id('pat')}"], people[other]) == (
        "booked",
        "declined",
        "accepted",
    )
