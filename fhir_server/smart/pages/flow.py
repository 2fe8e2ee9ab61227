"""Where an authorize request goes next: log in, choose a patient, decide; or straight back to the app.

asked with       and                                        leads to
---------------  -----------------------------------------  ---------------------------------------
prompt=none      somebody has to act                        back with login_required and the like
prompt=login     not logged in for this request             login; so select_account
max_age          the login is older                         login
an EHR launch    its patient may be seen / may not          consent / back with access_denied
launch/patient   one patient can be chosen / several        consent / patient picker
prompt=consent                                              consent
a trusted app    or the same was allowed before             back with a code

What was allowed before is not assumed of an app that anybody can pretend to be: a public client that is reached by a
scheme of its own or on the machine itself asks each time. https://www.rfc-editor.org/rfc/rfc8252#section-8.6
"""

from __future__ import annotations

from urllib.parse import urlencode, urlsplit

from fastapi.responses import Response

from fhir_server.access.account import Account
from fhir_server.access.caller import STAFF
from fhir_server.access.client import Kind
from fhir_server.access.scopes import within
from fhir_server.services.authorization import grants, patients, pending, sessions
from fhir_server.services.authorization.patients import Sought
from fhir_server.services.authorization.pending import Pending
from fhir_server.smart.pages.error import error_page
from fhir_server.smart.pages.rendering import LANGUAGE
from fhir_server.smart.pages.texts import TEXTS
from fhir_server.smart.pages.visit import Shown, Visit, go
from fhir_server.store.sessions import Session

_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


def address(page: str, request: str = "") -> str:
    """The URL of a page, for an authorize request if there is one."""
    return f"/auth/{page}" + (f"?{urlencode({'request': request})}" if request else "")


async def request_of(visit: Visit) -> Pending | None:
    """The authorize request that the visit is for; None if it names none.

    :raises Shown: a page that says that it has ended.
    """
    if not visit.asked:
        return None
    found = await pending.get(visit.world, visit.asked)
    if found is None:
        t = TEXTS[LANGUAGE]
        raise Shown(error_page(t["ended_title"], t["ended"], secure=visit.secure))
    return found


async def required_request(visit: Visit) -> Pending:
    """The authorize request that the visit is for.

    :raises Shown: a page that says that it has ended.
    """
    found = await request_of(visit)
    if found is None:
        t = TEXTS[LANGUAGE]
        raise Shown(error_page(t["ended_title"], t["ended"], secure=visit.secure))
    return found


def is_fresh(visit: Visit, asked: Pending) -> bool:
    """Whether somebody is logged in as recently as the request wants."""
    session = visit.session
    if session is None or not session.complete:
        return False
    if session.request == asked.id:
        return True
    age = visit.world.now() - session.authenticated
    again = {"login", "select_account"} & set(asked.prompt.split())
    return not again and (asked.max_age is None or age < asked.max_age)


async def onward(visit: Visit, asked: Pending) -> Response:
    """The next step of a request."""
    silent = "none" in asked.prompt.split()
    session, account = visit.session, visit.person
    if session is None or account is None or not is_fresh(visit, asked):
        if silent:
            return go(await pending.deny(visit.world, asked, "login_required"))
        half = session is not None and not session.complete
        return go(address("second-factor" if half else "login", asked.id))
    patient = await patient_of(visit, asked, account, session)
    if patient is None:
        if silent:
            return go(await pending.deny(visit.world, asked, "interaction_required"))
        return go(address("patient", asked.id))
    if await needs_consent(visit, asked, account, patient):
        if silent:
            return go(await pending.deny(visit.world, asked, "consent_required"))
        return go(address("consent", asked.id))
    return go(
        await pending.approve(
            visit.world,
            asked,
            account,
            scopes=asked.scopes,
            patient=patient,
            session=session.id,
            authenticated=session.authenticated,
        )
    )


async def patient_of(visit: Visit, asked: Pending, account: Account, session: Session) -> str | None:
    """The patient of a request, empty where it needs none; None: somebody has to choose.

    :raises Shown: the way back to the app when the EHR's patient is none whom the person may see.
    """
    world = visit.world
    if asked.launch and asked.launch.patient:
        if await patients.may_choose(world, account, asked.launch.patient):
            return asked.launch.patient
        raise Shown(go(await pending.deny(world, asked)))
    if not asked.needs_patient:
        return ""
    chosen = sessions.chosen(session, asked.id)
    if chosen:
        return chosen if await patients.may_choose(world, account, chosen) else None
    if account.role in STAFF:
        return None
    found = await patients.choices(world, account, Sought())
    return found[0].reference if len(found) == 1 else None


async def needs_consent(visit: Visit, asked: Pending, account: Account, patient: str) -> bool:
    """Whether the person has to decide."""
    if "consent" in asked.prompt.split():
        return True
    if asked.client.trusted:
        return False
    target = urlsplit(asked.redirect_uri)
    if asked.client.kind is Kind.PUBLIC and (target.scheme != "https" or target.hostname in _LOOPBACK):
        return True
    return not any(
        one.client == asked.client.id and one.patient == patient and within(asked.scopes, one.scopes) == asked.scopes
        for one in await grants.apps_of(visit.world, account.id)
    )
