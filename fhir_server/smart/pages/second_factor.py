"""``/auth/second-factor``: a one-time code after the password, and setting one up."""

from __future__ import annotations

from fastapi.responses import Response

from fhir_server.access.account import Account
from fhir_server.log import get_logger
from fhir_server.remote import throttle
from fhir_server.services.authorization import second_factor, sessions
from fhir_server.smart.pages.flow import address, request_of
from fhir_server.smart.pages.login import entered, too_many, waiting
from fhir_server.smart.pages.rendering import LANGUAGE
from fhir_server.smart.pages.texts import TEXTS
from fhir_server.smart.pages.visit import Visit, give_cookie, go
from fhir_server.store.sessions import Session

log = get_logger("pages")

LIMIT = "10/15 minutes"
"""Codes of one account: only who knows its password gets so far."""


async def show_second_factor(visit: Visit) -> Response:
    if visit.session is None or visit.account is None or _has_proved(visit.session, visit.account):
        return go(address("login", visit.asked))
    return await _form(visit, visit.account)


async def prove_second_factor(visit: Visit) -> Response:
    world, session, account = visit.world, visit.session, visit.account
    if session is None or account is None or _has_proved(session, account):
        return go(address("login", visit.asked))
    wait = await throttle.allow(world.settings, f"second-factor:{account.id}", LIMIT)
    if wait:
        return await too_many(await _form(visit, account, waiting(wait), 429), wait)
    codes: tuple[str, ...] = ()
    code = visit.form.get("code", "")[:100]
    if account.second_factor:
        right = await second_factor.prove(world, account, code)
    else:
        codes = await second_factor.enroll(world, account, code)
        right = bool(codes)
    if not right:
        log.info("code refused", account=account.id)
        await visit.tell("login-failed", account, reason="code")
        return await _form(visit, account, TEXTS[LANGUAGE]["code_wrong"], 400)
    opened = await sessions.complete(world, session)
    if opened is None:
        return go(address("login", visit.asked))
    await visit.tell("login", account)
    if not codes:
        return entered(visit, opened, await request_of(visit))
    answer = await visit.page("recovery.html", codes=codes, onward=address("login", visit.asked))
    give_cookie(answer, f"s.{opened.cookie}", secure=visit.secure)
    return answer


def _has_proved(session: Session, account: Account) -> bool:
    """Whether nothing can be done here: a complete login comes only to set a second factor up."""
    return session.complete and account.second_factor


async def _form(visit: Visit, account: Account, fault: str = "", status: int = 200) -> Response:
    asked = await request_of(visit)
    redirect_uri = asked.redirect_uri if asked else ""
    if account.second_factor:
        return await visit.page("second_factor.html", status, redirect_uri=redirect_uri, fault=fault)
    secret = await second_factor.offer(visit.world, account)
    grouped = " ".join(secret[place : place + 4] for place in range(0, len(secret), 4))
    return await visit.page(
        "enrol.html",
        status,
        redirect_uri=redirect_uri,
        fault=fault,
        secret=grouped,
        uri=second_factor.otpauth(secret, account.username),
        needed=visit.session is not None and not visit.session.complete,
    )
