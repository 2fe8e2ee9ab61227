"""``/auth/login``: username and password; and ``/auth/logout``."""

from __future__ import annotations

import math

from fastapi.responses import Response

from fhir_server.log import get_logger
from fhir_server.remote import throttle
from fhir_server.services.authorization import accounts, pending, sessions
from fhir_server.services.authorization.pending import Pending
from fhir_server.services.authorization.sessions import Opened
from fhir_server.smart.pages.flow import address, onward, request_of
from fhir_server.smart.pages.rendering import LANGUAGE
from fhir_server.smart.pages.texts import TEXTS
from fhir_server.smart.pages.visit import Visit, give_cookie, go
from fhir_server.store.accounts import folded

log = get_logger("pages")

LIMITS = {"person": "10/5 minutes", "address": "200/5 minutes", "failures": "100/hour"}
"""Attempts of one address: for one username, so that few are locked out by somebody elsewhere, and for all; and failed
attempts for one username from all addresses, so that many addresses do not guess faster."""


async def show_login(visit: Visit) -> Response:
    asked = await request_of(visit)
    if asked is not None:
        step = await onward(visit, asked)
        if not step.headers["location"].startswith(address("login")):
            return step
    elif visit.person is not None:
        return go(address("apps"))
    elif visit.session is not None:
        return go(address("second-factor"))
    return await _form(visit, asked)


async def log_in(visit: Visit) -> Response:
    asked = await request_of(visit)
    world, t = visit.world, TEXTS[LANGUAGE]
    if "cancel" in visit.form and asked is not None:
        return go(await pending.deny(world, asked))
    username, password = visit.form.get("username", ""), visit.form.get("password", "")
    if not username or not password:
        return await _form(visit, asked, t["login_empty"], 400)
    wait = await throttle.allow(world.settings, f"login-address:{visit.address}", LIMITS["address"])
    if not wait:
        key = f"login:{folded(username)}:{visit.address}"
        wait = await throttle.allow(world.settings, key, LIMITS["person"])
    failures = f"login-failures:{folded(username)}"
    wait = wait or await throttle.allow(world.settings, failures, LIMITS["failures"], count=False)
    if wait:
        log.warning("logins limited")
        return await too_many(await _form(visit, asked, waiting(wait), 429), wait)
    account = await accounts.authenticate(world, username, password)
    if account is None:
        await throttle.allow(world.settings, failures, LIMITS["failures"])
        log.info("login refused")
        await visit.tell("login-failed", reason="password")
        return await _form(visit, asked, t["login_wrong"], 400)
    if visit.session is not None:
        await sessions.close(world, visit.session)
    more = accounts.needs_second_factor(world, account)
    log.info("logged in", account=account.id, complete=not more)
    if not more:
        await visit.tell("login", account)
    opened = await sessions.open_session(world, account.id, complete=not more, request=asked.id if asked else "")
    return entered(visit, opened, asked)


async def show_logout(visit: Visit) -> Response:
    if visit.session is None:
        return go(address("login", visit.asked))
    return await visit.page("logout.html")


async def log_out(visit: Visit) -> Response:
    """End the session; with an authorize request, somebody else can go on with it."""
    if visit.session is not None:
        await sessions.close(visit.world, visit.session)
        await visit.tell("logout", visit.account)
    if visit.asked:
        answer: Response = go(address("login", visit.asked))
    else:
        t = TEXTS[LANGUAGE]
        gone = Visit(visit.world, visit.request, "", {}, ())
        return await gone.page("logged_out.html", title=t["logged_out_title"])
    give_cookie(answer, "", secure=visit.secure)
    return answer


def entered(visit: Visit, opened: Opened, asked: Pending | None) -> Response:
    """Send somebody on who proved something, with the cookie of the new session."""
    answer = go(address("login", asked.id if asked else ""))
    give_cookie(answer, f"s.{opened.cookie}", secure=visit.secure)
    return answer


def waiting(seconds: float, text: str = "too_many") -> str:
    """How long to wait, in words of a text."""
    t = TEXTS[LANGUAGE]
    minutes = math.ceil(seconds / 60)
    return t[text].format(minutes=t["one_minute"] if minutes == 1 else t["minutes"].format(count=minutes))


async def too_many(answer: Response, seconds: float) -> Response:
    answer.headers["Retry-After"] = str(math.ceil(seconds))
    return answer


async def _form(visit: Visit, asked: Pending | None, fault: str = "", status: int = 200) -> Response:
    t = TEXTS[LANGUAGE]
    note = ""
    if visit.was_logged_in:
        note = t["logged_off"]
    elif asked is not None and visit.session is not None:
        note = t["log_in_again"].format(client=asked.client.name)
    return await visit.page(
        "login.html",
        status,
        redirect_uri=asked.redirect_uri if asked else "",
        client=asked.client.name if asked else "",
        username=visit.form.get("username", ""),
        note=note,
        fault=fault,
    )
