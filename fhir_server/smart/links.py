"""``/a/[text]``: the page of a link in a message. GET shows, POST does; nobody logs in for that one act.

Nothing of the patient stands in the URL, the page sends no referrer, and whoever opens many links waits.
"""

from __future__ import annotations

from collections.abc import Mapping
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import HTTP
from typing import Any
from urllib.parse import parse_qsl

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from fhir_server.errors import Problem
from fhir_server.log import get_logger
from fhir_server.remote import throttle
from fhir_server.services.reminders import use_link
from fhir_server.services.reminders.use_link import Choice, Opened
from fhir_server.services.world import World
from fhir_server.smart import requests
from fhir_server.smart.answers import Entrance
from fhir_server.smart.pages.link_texts import TEXTS
from fhir_server.smart.pages.rendering import LANGUAGE, render
from fhir_server.store.driver import PyMongoError

LIMIT = "60/minute"
BODY_LIMIT = 16 * 1024
FIELDS = 20
ONE_CLICK = "List-Unsubscribe"

log = get_logger("links")


def router(door: Entrance) -> APIRouter:
    """The route of links."""

    async def link(request: Request) -> Response:
        world = door.world
        if world is None:
            return _plain("away", 503, LANGUAGE, secure=False, retry="5")
        try:
            return await _served(world, request)
        except PyMongoError as failed:
            log.warning("database did not answer", fault=type(failed).__name__)
            return _plain("away", 503, LANGUAGE, secure=_secure(world), retry="5")
        except Exception:
            log.exception("link failed")  # without the path, which is a key
            return _plain("away", 500, LANGUAGE, secure=_secure(world))

    api = APIRouter(include_in_schema=False)
    api.add_route("/a/{text}", link, ["GET", "POST"])
    return api


def _secure(world: World) -> bool:
    return world.settings.issuer.startswith("https:")


async def _served(world: World, request: Request) -> Response:
    address = requests.address(request)
    wait = await throttle.allow(world.settings, f"link:address:{address}", LIMIT)
    if wait:
        return _plain("many", 429, LANGUAGE, secure=_secure(world), retry=str(int(wait) + 1))
    text, day = request.path_params["text"], request.query_params.get("from", "")
    if request.method == "POST":
        return await _use(world, text, await _form(request), day, address)
    opened = await use_link.look(world, text, day=day, network=address)
    return _unknown(world) if opened is None else _page(world, opened)


async def _use(world: World, text: str, form: Mapping[str, str], day: str, address: str) -> Response:
    try:
        opened = await use_link.use(world, text, _act(form), form.get("time", ""), day=day, network=address)
    except Problem as refused:
        if refused.category.status == 503:
            return _plain("away", 503, LANGUAGE, secure=_secure(world), retry="5")
        again = await use_link.look(world, text, day=day, network=address)
        return _unknown(world) if again is None else _refused(world, again, refused)
    return _unknown(world) if opened is None else _page(world, opened)


async def _form(request: Request) -> dict[str, str]:
    """The fields of the form; empty for a body that is none."""
    body = await requests.body_of(request, BODY_LIMIT) or b""
    type_ = request.headers.get("content-type", "")
    try:
        if type_.lower().startswith("multipart/form-data"):
            return _parts(type_, body)
        return dict(parse_qsl(body.decode(), max_num_fields=FIELDS))
    except ValueError:
        return {}


def _parts(type_: str, body: bytes) -> dict[str, str]:
    """The text fields of a multipart form, as mail programs send it. https://www.rfc-editor.org/rfc/rfc7578"""
    form = message_from_bytes(b"Content-Type: " + type_.encode("latin-1") + b"\r\n\r\n" + body, policy=HTTP)
    parts = form.get_payload()
    found = {}
    for part in parts[:FIELDS] if isinstance(parts, list) else ():
        if isinstance(part, EmailMessage) and not part.is_multipart():
            name = part.get_param("name", "", "content-disposition")
            found[str(name)] = part.get_content().strip() if part.get_content_maintype() == "text" else ""
    return found


def _act(form: Mapping[str, str]) -> str:
    """What is wanted: what the page's button says, or a mail program's one click (RFC 8058, section 3.2)."""
    if form.get(ONE_CLICK) == "One-Click":
        return "unsubscribe"
    return form.get("act", "")


def _page(world: World, opened: Opened, fault: str = "", status: int = 200) -> Response:
    t, act = TEXTS[opened.language], opened.link.act
    note = button = ""
    title = t["over_title"]
    if opened.state == "open":
        title, button = t[f"{act}_title"], t[f"{act}_button"]
        note = t.get(f"{act}_hint", "")
        if act == "accept" and opened.said.get("was"):
            note = t["accept_instead"].format(was=opened.said["was"])
        if opened.late:
            button, note, fault = "", "", t["late"]
        elif act == "reschedule" and not opened.choice.times:
            button, note = "", t["reschedule_none_then" if _elsewhere(opened) else "reschedule_none"]
    elif opened.state == "used":
        title, note = t[f"{opened.link.outcome}_title"], t[opened.link.outcome]
    else:
        note, status = t[opened.state], 410
    return _rendered(
        world, opened, status, title=title, note=note, button=button, fault=fault, choice=opened.choice
    )  # fmt: skip


def _elsewhere(opened: Opened) -> bool:
    return bool(opened.choice.earlier or opened.choice.later)


def _refused(world: World, opened: Opened, refused: Problem) -> Response:
    t = TEXTS[opened.language]
    if opened.state != "open":
        return _page(world, opened)
    reason = use_link.reason(refused)
    if opened.link.act == "reschedule" and reason in {"taken", "choose", "not_offered"}:
        return _page(world, opened, t[f"reschedule_{reason}"], refused.category.status)
    fault = t["late" if reason == "late" else "failed"]
    title = t[f"{opened.link.act}_title"]
    return _rendered(
        world, opened, refused.category.status, title=title, note="", button="", fault=fault, choice=Choice()
    )  # fmt: skip


def _rendered(world: World, opened: Opened, status: int, **values: Any) -> Response:
    return render(
        "link.html", status, secure=_secure(world), language=opened.language, texts=TEXTS[opened.language],
        said=opened.said, act=opened.link.act, phone=opened.clinic.phone, **values,
    )  # fmt: skip


def _unknown(world: World) -> Response:
    return _plain("unknown", 404, LANGUAGE, secure=_secure(world), title="over_title")


def _plain(name: str, status: int, language: str, *, secure: bool, retry: str = "", title: str = "") -> Response:
    t = TEXTS[language]
    answer = render(
        "link.html", status, secure=secure, language=language, texts=t, title=t[title or f"{name}_title"],
        note=t[name], button="", fault="", said={}, choice=Choice(), act="", phone="",
    )  # fmt: skip
    if retry:
        answer.headers["Retry-After"] = retry
    return answer
