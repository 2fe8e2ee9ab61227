"""From an app's question to its answer: log in, choose, decide."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from fhir_server.access.caller import Role
from fhir_server.access.client import Kind
from fhir_server.access.record import Access
from fhir_server.services.authorization import grants, patients, sessions
from fhir_server.services.authorization.patients import Sought
from fhir_server.services.world import World
from fhir_server.smart.pages import patient
from fhir_server.store.emergencies import Emergency
from tests.builders.asking import Ask, granted, sent_back
from tests.builders.browser import Browser, forms
from tests.builders.people import PASSWORD, People
from tests.builders.smart import app as registered


async def test_a_patient_logs_in_and_decides(world: World, clinic: People, browser: Browser, ask: Ask) -> None:
    account = await clinic.account()
    asked = await ask("openid fhirUser launch/patient patient/Appointment.rs patient/Patient.r offline_access")
    page = await browser.get(f"/auth/login?request={asked.id}")
    assert "An app" in page.text
    page = await browser.log_in(page, account.username, PASSWORD)
    assert page.url.path == "/auth/consent", "the only patient is not asked for"
    for words in (
        "See your appointments",
        "Open your personal details",
        "when you are not logged in",
    ):
        assert words in page.text
    answer = sent_back(await browser.submit(page, "consent", decision="allow"))
    assert answer["state"] == "st4te"
    assert answer["iss"] == world.settings.issuer
    grant = await granted(world, account)
    assert str(grant.scopes) == str(asked.scopes)
    assert grant.patient == account.fhir_user
    assert await sessions.alive(world, grant.session)


async def test_parts_can_be_taken_away(world: World, clinic: People, browser: Browser, ask: Ask) -> None:
    account = await clinic.account()
    asked = await ask("openid fhirUser launch/patient patient/Appointment.rs patient/Patient.r offline_access")
    page = await browser.log_in(await browser.get(f"/auth/login?request={asked.id}"), account.username, PASSWORD)
    sent_back(
        await browser.submit(
            page, "consent", decision="allow", without=["patient/Patient.r", "offline_access", "fhirUser"]
        )
    )
    assert str((await granted(world, account)).scopes) == "launch/patient openid patient/Appointment.rs"


async def test_nothing_can_be_added(world: World, clinic: People, browser: Browser, ask: Ask) -> None:
    account = await clinic.account()
    asked = await ask()
    page = await browser.log_in(await browser.get(f"/auth/login?request={asked.id}"), account.username, PASSWORD)
    form = forms(page)[0]
    assert (await browser.submit(page, "consent", decision="allow", scope="patient/*.cruds")).status_code == 400
    more = [("scope", "patient/*.cruds"), ("scope", "offline_access"), ("decision", "allow")]
    sent_back(await browser.post(form.action, [*form.fields, *more]))
    assert str((await granted(world, account)).scopes) == "launch/patient openid patient/Appointment.rs"


async def test_nothing_left_is_asked_about_again(clinic: People, browser: Browser, ask: Ask) -> None:
    account, asked = await clinic.account(), await ask()
    page = await browser.log_in(await browser.get(f"/auth/login?request={asked.id}"), account.username, PASSWORD)
    again = await browser.submit(page, "consent", decision="allow", without=["openid", "patient/Appointment.rs"])
    assert again.status_code == 400
    assert "choose Deny" in again.text
    assert "checked" not in again.text, "what was taken away stays away"


async def test_deny_and_cancel_send_back(clinic: People, browser: Browser, ask: Ask) -> None:
    account, asked = await clinic.account(), await ask()
    page = await browser.get(f"/auth/login?request={asked.id}")
    assert sent_back(await browser.submit(page, "login", cancel="yes"))["error"] == "access_denied"
    asked = await ask()
    page = await browser.log_in(await browser.get(f"/auth/login?request={asked.id}"), account.username, PASSWORD)
    assert sent_back(await browser.submit(page, "consent", decision="deny"))["error"] == "access_denied"
    over = await browser.submit(page, "consent", decision="allow")
    assert over.status_code == 400
    assert "This request has ended" in over.text


async def test_granular_scopes_are_explained(clinic: People, browser: Browser, ask: Ask) -> None:
    account = await clinic.account()
    asked = await ask("launch/patient patient/Appointment.cud?status=proposed,pending patient/Slot.rs")
    page = await browser.log_in(await browser.get(f"/auth/login?request={asked.id}"), account.username, PASSWORD)
    assert "Make, change and delete your appointments, only those whose status is proposed or pending" in page.text
    assert "See free and busy times of the clinic" in page.text


async def test_whoever_is_logged_in_is_not_asked_again_for_what_they_allowed(
    world: World, clinic: People, browser: Browser, ask: Ask
) -> None:
    account = await clinic.account()
    client, _ = await registered(world, Kind.SYMMETRIC)
    asked = await ask(client=client)
    page = await browser.log_in(await browser.get(f"/auth/login?request={asked.id}"), account.username, PASSWORD)
    sent_back(await browser.submit(page, "consent", decision="allow"))
    await world.store.authorization.grants.used((await granted(world, account)).id, world.now(), 0)
    again = await ask("launch/patient patient/Appointment.rs", client=client)
    assert sent_back(await browser.get(f"/auth/login?request={again.id}"))["code"]
    for more, page_name in (
        ({"scope": "launch/patient patient/Appointment.crs"}, "consent"),
        ({"prompt": "consent"}, "consent"),
        ({"prompt": "login"}, "login"),
        ({"prompt": "select_account"}, "login"),
    ):
        asked = await ask(client=client, **more)
        page = await browser.get(f"/auth/login?request={asked.id}")
        assert page.url.path == f"/auth/{page_name}", more


async def test_an_app_that_anybody_can_pretend_to_be_asks_each_time(
    world: World, clinic: People, browser: Browser, ask: Ask
) -> None:
    account = await clinic.account()
    local = "http://127.0.0.1:7777/callback"
    client, _ = await registered(world, redirect_uris=(local,))
    asked = await ask(client=client, redirect_uri=local)
    page = await browser.log_in(await browser.get(f"/auth/login?request={asked.id}"), account.username, PASSWORD)
    assert "form-action 'self' http://127.0.0.1:7777;" in page.headers["content-security-policy"]
    await browser.submit(page, "consent", decision="allow")
    await world.store.authorization.grants.used((await granted(world, account)).id, world.now(), 0)
    again = await ask(client=client, redirect_uri=local)
    assert (await browser.get(f"/auth/login?request={again.id}")).url.path == "/auth/consent"


async def test_an_app_of_the_clinic_needs_no_consent(world: World, clinic: People, browser: Browser, ask: Ask) -> None:
    account = await clinic.account()
    client, _ = await registered(world, trusted=True)
    asked = await ask(client=client)
    page = await browser.get(f"/auth/login?request={asked.id}")
    assert sent_back(await browser.log_in(page, account.username, PASSWORD))["code"]


async def test_prompt_none_shows_nothing(world: World, clinic: People, browser: Browser, ask: Ask) -> None:
    asked = await ask(prompt="none")
    assert sent_back(await browser.get(f"/auth/login?request={asked.id}"))["error"] == "login_required"
    child, other = await clinic.patient("child"), await clinic.patient("other")
    parent = await clinic.account(Role.PATIENT, await clinic.parent("parent", child), persons=[other])
    await browser.log_in(await browser.get("/auth/login"), parent.username, PASSWORD)
    asked = await ask(prompt="none")
    assert sent_back(await browser.get(f"/auth/login?request={asked.id}"))["error"] == "interaction_required"
    asked = await ask("openid user/Appointment.rs", prompt="none")
    assert sent_back(await browser.get(f"/auth/login?request={asked.id}"))["error"] == "consent_required"


async def test_max_age_asks_for_a_login_that_is_recent(
    world: World, clinic: People, browser: Browser, ask: Ask
) -> None:
    account = await clinic.account()
    await browser.log_in(await browser.get("/auth/login"), account.username, PASSWORD)
    asked = await ask(max_age="3600")
    assert (await browser.get(f"/auth/login?request={asked.id}")).url.path == "/auth/consent"
    await world.store.connection.collection("sessions").update_one(
        {"account": account.id}, {"$inc": {"authenticated": -7200}}
    )
    page = await browser.get(f"/auth/login?request={asked.id}")
    assert page.url.path == "/auth/login"
    assert "asks you to log in again" in page.text
    page = await browser.log_in(page, account.username, PASSWORD)
    assert page.url.path == "/auth/consent"
    asked = await ask(max_age="0")
    assert (await browser.get(f"/auth/login?request={asked.id}")).url.path == "/auth/login"


async def test_a_parent_chooses_and_nobody_else_can_be_chosen(
    world: World, clinic: People, browser: Browser, ask: Ask
) -> None:
    child, own, stranger = [await clinic.patient(name) for name in ("child", "own", "stranger")]
    account = await clinic.account(Role.PATIENT, own, persons=[await clinic.parent("parent", child)])
    asked = await ask()
    page = await browser.log_in(await browser.get(f"/auth/login?request={asked.id}"), account.username, PASSWORD)
    assert page.url.path == "/auth/patient"
    assert clinic.id("child") in page.text
    assert clinic.id("stranger") not in page.text
    for foreign in (stranger, "Patient/absent", "", "Practitioner/1", f"{child}/../x", "Patient/"):
        refused = await browser.submit(page, "patient", patient=foreign)
        assert refused.status_code == 403, foreign
    page = await browser.submit(page, "patient", patient=child)
    assert page.url.path == "/auth/consent"
    assert clinic.id("child") in page.text
    sent_back(await browser.submit(page, "consent", decision="allow"))
    assert (await granted(world, account)).patient == child


async def test_who_loses_a_child_between_choosing_and_deciding_does_not_get_it(
    world: World, clinic: People, browser: Browser, ask: Ask
) -> None:
    child, own, other = [await clinic.patient(name) for name in ("child", "own", "other")]
    parent = await clinic.parent("parent", child)
    account = await clinic.account(Role.PATIENT, own, persons=[parent, other])
    asked = await ask()
    page = await browser.log_in(await browser.get(f"/auth/login?request={asked.id}"), account.username, PASSWORD)
    page = await browser.submit(page, "patient", patient=child)
    await clinic.parent("parent", child, active=False)
    page = await browser.submit(page, "consent", decision="allow")
    assert page.url.path == "/auth/patient"
    assert await grants.apps_of(world, account.id) == []


async def test_an_ehr_launch_brings_its_patient_if_the_person_may_see_it(
    world: World, clinic: People, browser: Browser, ask: Ask
) -> None:
    mine = await clinic.patient("mine", managingOrganization={"reference": clinic.clinic})
    stranger = await clinic.patient("stranger")
    account = await clinic.account(Role.FRONT_DESK)
    for launched, answer in ((mine, "code"), (stranger, "access_denied")):
        asked = await ask("launch openid patient/Appointment.rs", launched=launched)
        page = await browser.get(f"/auth/login?request={asked.id}")
        if page.status_code == 200 and page.url.path == "/auth/login":
            page = await browser.log_in(page, account.username, PASSWORD)
            page = await clinic.second_factor(browser, page)
        if answer == "code":
            assert page.url.path == "/auth/consent"
            assert clinic.id("mine") in page.text
            page = await browser.submit(page, "consent", decision="allow")
        assert answer in {*sent_back(page), *sent_back(page).values()}


async def test_staff_find_patients_of_their_clinic_by_name_and_birth_date_or_number(
    world: World, clinic: People
) -> None:
    desk = await clinic.account(Role.FRONT_DESK)
    doctor = await clinic.account(Role.PRACTITIONER)
    managed = await clinic.patient("managed", managingOrganization={"reference": clinic.clinic})
    inside = {"managingOrganization": {"reference": clinic.clinic}}
    own = await clinic.patient("own", generalPractitioner=[{"reference": doctor.fhir_user}], **inside)
    visitor = await clinic.patient("visitor", **inside)
    await clinic.patient("stranger")
    await clinic.appointment(visitor, doctor.fhir_user, status="arrived")
    other = await clinic.put("Organization", "other", name="Other")
    foreign = await clinic.patient("foreign", managingOrganization={"reference": other})
    await clinic.put(
        "PractitionerRole", "both", practitioner={"reference": doctor.fhir_user}, organization={"reference": other}
    )
    await clinic.put(
        "PractitionerRole", "here", practitioner={"reference": doctor.fhir_user},
        organization={"reference": clinic.clinic},
    )  # fmt: skip
    room = await clinic.put("Location", "elsewhere", managingOrganization={"reference": other})
    await clinic.appointment(foreign, doctor.fhir_user, room, status="arrived")

    async def found(account: object, name: str) -> list[str]:
        assert account in {desk, doctor}
        by_name = Sought(name=f"ana {clinic.id(name)}", birth_date="1980-02-03")
        by_number = Sought(identifier=clinic.id(f"mrn-{name}"))
        one = await patients.choices(world, account, by_name)  # type: ignore[arg-type]
        assert one == await patients.choices(world, account, by_number)  # type: ignore[arg-type]
        return [each.reference for each in one]

    assert await found(desk, "managed") == [managed]
    assert await found(desk, "visitor") == [visitor]
    assert await found(desk, "own") == [own]
    assert await found(doctor, "own") == [own]
    assert await found(doctor, "visitor") == [visitor]
    for name in ("stranger", "managed", "foreign"):
        assert await found(doctor, name) == [], "without care relation, or outside the walls"
    for name in ("stranger", "foreign"):
        assert await found(desk, name) == [], "a doctor who works in both clinics makes no patient of this one"
    assert not await patients.may_choose(world, desk, foreign)
    assert await patients.label(world, desk, foreign) == ""
    assert await patients.choices(world, desk, Sought(name="ana")) == [], "a name alone is too little"
    auditor = await clinic.account(Role.AUDITOR)
    assert not await patients.may_choose(world, auditor, managed)
    assert await patients.choices(world, auditor, Sought(identifier=clinic.id("mrn-managed"))) == []


async def test_no_more_than_twenty_are_shown(world: World, clinic: People) -> None:
    desk = await clinic.account(Role.FRONT_DESK)
    for number in range(23):
        await clinic.patient(f"many{number}", managingOrganization={"reference": clinic.clinic})
    found = await patients.choices(world, desk, Sought(name=clinic.tag, birth_date="1980-02-03"))
    assert len(found) == patients.MOST


async def test_the_picker_seeks_by_form_and_never_by_url(
    world: World, clinic: People, browser: Browser, ask: Ask
) -> None:
    desk = await clinic.account(Role.FRONT_DESK)
    managed = await clinic.patient("managed", managingOrganization={"reference": clinic.clinic})
    asked = await ask()
    page = await browser.log_in(await browser.get(f"/auth/login?request={asked.id}"), desk.username, PASSWORD)
    page = await clinic.second_factor(browser, page)
    assert page.url.path == "/auth/patient"
    little = await browser.submit(page, "patient", find="yes", name="Ana")
    assert little.status_code == 400
    wrong = await browser.submit(page, "patient", find="yes", name="Ana", birth_date="1980-02-31")
    assert wrong.status_code == 400
    nobody = await browser.submit(page, "patient", find="yes", identifier="a,b|c$\\")
    assert "Nobody of your patients was found" in nobody.text
    hits = await browser.submit(page, "patient", find="yes", identifier=clinic.id("mrn-managed"))
    assert f'value="{managed}"' in hits.text
    assert not urlsplit(str(hits.url)).query
    assert sent_back(await browser.submit(hits, "patient", cancel="yes"))["error"] == "access_denied"


async def test_whoever_is_sought_or_shown_is_in_the_access_record(
    clinic: People, browser: Browser, ask: Ask, told: list[Access]
) -> None:
    desk = await clinic.account(Role.FRONT_DESK)
    managed = await clinic.patient("managed", managingOrganization={"reference": clinic.clinic})
    stranger = await clinic.patient("stranger")
    asked = await ask()
    page = await browser.log_in(await browser.get(f"/auth/login?request={asked.id}"), desk.username, PASSWORD)
    page = await clinic.second_factor(browser, page)
    told.clear()
    await browser.submit(page, "patient", find="yes", identifier=clinic.id("mrn-managed"))
    await browser.submit(page, "patient", find="yes", identifier=clinic.id("mrn-stranger"))
    await browser.submit(page, "patient", patient=stranger)
    await browser.submit(page, "patient", patient=managed)
    number = clinic.id("mrn-")
    assert [(one.interaction, one.patients, one.query, one.reason) for one in told] == [
        ("search-type", (managed,), f"GET /Patient?identifier={number}managed".encode(), ""),
        ("search-type", (), f"GET /Patient?identifier={number}stranger".encode(), ""),
        ("read", (stranger,), b"", "forbidden"),
        ("read", (managed,), b"", ""),
    ]
    assert {(one.subject, one.fhir_user, one.client) for one in told} == {(desk.id, desk.fhir_user, asked.client.id)}


async def test_who_is_found_by_breaking_the_glass_is_recorded_so(
    world: World, clinic: People, browser: Browser, ask: Ask, told: list[Access]
) -> None:
    doctor = await clinic.account(Role.PRACTITIONER)
    patient_ = await clinic.patient("unknown", managingOrganization={"reference": clinic.clinic})
    now = world.now()
    await world.store.emergencies.add(Emergency(doctor.id, doctor.fhir_user, patient_, now, now + 600, "no pulse"))
    asked = await ask()
    page = await browser.log_in(await browser.get(f"/auth/login?request={asked.id}"), doctor.username, PASSWORD)
    page = await clinic.second_factor(browser, page)
    await browser.submit(page, "patient", find="yes", identifier=clinic.id("mrn-unknown"))
    assert [(one.patients, one.purpose) for one in told[-1:]] == [((patient_,), "BTG")]


async def test_a_parents_list_is_in_the_access_record(
    clinic: People, browser: Browser, ask: Ask, told: list[Access]
) -> None:
    child, own = await clinic.patient("child"), await clinic.patient("own")
    account = await clinic.account(Role.PATIENT, own, persons=[await clinic.parent("parent", child)])
    asked = await ask()
    await browser.log_in(await browser.get(f"/auth/login?request={asked.id}"), account.username, PASSWORD)
    assert [(one.interaction, one.patients) for one in told] == [("login", ()), ("search-type", (child, own))]


async def test_finds_of_an_account_are_limited(
    clinic: People, browser: Browser, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patient, "FINDS", "2/hour")
    desk, asked = await clinic.account(Role.FRONT_DESK), await ask()
    page = await browser.log_in(await browser.get(f"/auth/login?request={asked.id}"), desk.username, PASSWORD)
    page = await clinic.second_factor(browser, page)
    answers = [await browser.submit(page, "patient", find="yes", identifier="x") for _ in range(3)]
    assert [one.status_code for one in answers] == [200, 200, 429]
    assert "many patients within one hour" in answers[-1].text
    assert int(answers[-1].headers["retry-after"]) > 0


async def test_a_request_of_yesterday_or_of_nobody_is_over(browser: Browser) -> None:
    for page in ("login", "consent", "patient", "second-factor"):
        answer = await browser.get(f"/auth/{page}?request=nothing")
        if page != "second-factor":
            assert answer.status_code == 400, page
        assert "This request has ended" in answer.text


async def test_a_session_of_half_a_login_opens_nothing(
    world: World, clinic: People, browser: Browser, ask: Ask
) -> None:
    desk = await clinic.account(Role.FRONT_DESK)
    asked = await ask()
    page = await browser.log_in(await browser.get(f"/auth/login?request={asked.id}"), desk.username, PASSWORD)
    assert page.url.path == "/auth/second-factor"
    for path in (f"patient?request={asked.id}", f"consent?request={asked.id}", "apps"):
        assert (await browser.get(f"/auth/{path}")).url.path == "/auth/second-factor"
