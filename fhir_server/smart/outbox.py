"""Development's outbox: ``/dev/outbox`` shows what would have gone to people, newest first.

``/dev/outbox/answer?message=[id]`` answers a text message or presses a key in a call, as the person who got it would.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from html import escape, unescape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import HTMLResponse

from fhir_server.remote.kept import kept, kept_as
from fhir_server.remote.reports import InboundText, Keypress
from fhir_server.services.reminders import answers, calls
from fhir_server.services.world import World
from fhir_server.smart import requests
from fhir_server.smart.answers import Entrance

REFRESH_SECONDS = 3
BODY_LIMIT = 16 * 1024
ANSWER = "/dev/outbox/answer"
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
}
OURS = frozenset({"", "same-origin", "none"})
"""Whence a browser may send the form (``Sec-Fetch-Site``): no other site answers for a developer."""

_ASKED = {"sms": "Answer by text message", "voice": "Key that is pressed (none: leave it empty)"}
_SPOKEN = re.compile(r"<Say[^>]*>(.*?)</Say>", re.DOTALL)
_LINK = re.compile(r"https?://[^\s<>\"]+")
_STYLE = """
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem; color: #1a1a1a; }
article { border: 1px solid #bbb; border-radius: .4rem; padding: .6rem 1rem; margin: 1rem 0; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; font: inherit; margin: .4rem 0; }
h2 { font-size: 1rem; margin: 0; } details pre { font-family: monospace; }
"""


def router(door: Entrance, folder: str) -> APIRouter:
    """The pages of what lies in this folder."""

    async def outbox(_: Request) -> HTMLResponse:
        return HTMLResponse(_outbox(await asyncio.to_thread(kept, Path(folder))), headers=HEADERS)

    async def answer(request: Request) -> HTMLResponse:
        wanted = request.query_params.get("message", "")
        message = await asyncio.to_thread(kept_as, Path(folder), wanted)
        if message is None or message["channel"] not in _ASKED or door.world is None:
            return _page("Not found", "<p>There is no such message to answer.</p>", status=404)
        if request.method != "POST":
            return _answering(message)
        if request.headers.get("Sec-Fetch-Site", "") not in OURS:
            return _page("Not answered", "<p>Another site has sent this.</p>", status=403)
        form = await _form(request)
        return _answering(message, await _answered(door.world, message, form.get("said", "").strip(), form))

    api = APIRouter(include_in_schema=False)
    api.add_route("/dev/outbox", outbox, ["GET"])
    api.add_route(ANSWER, answer, ["GET", "POST"])
    return api


async def _form(request: Request) -> dict[str, str]:
    body = await requests.body_of(request, BODY_LIMIT) or b""
    return dict(parse_qsl(body.decode(errors="replace")))


async def _answered(world: World, message: Mapping[str, Any], said: str, form: Mapping[str, str]) -> str:
    """Do what the provider would have us do; what comes back: a text, or what the call says next (TwiML)."""
    if message["channel"] == "sms":
        return await answers.hear(world, InboundText(message["to"], "", said, f"dev-{secrets.token_hex(8)}"))
    return await calls.pressed(world, Keypress("", said), message["id"], again=form.get("again") == "1")


def _outbox(messages: Sequence[Mapping[str, Any]]) -> str:
    """The list; it looks again by itself."""
    items = "".join(_item(one) for one in messages) or "<p>Nothing was sent yet. Book an appointment and wait.</p>"
    refresh = f'<meta http-equiv="refresh" content="{REFRESH_SECONDS}">'
    return _html("Outbox", f"<p>What would have been sent, newest first.</p>{items}", refresh)


def _answering(message: Mapping[str, Any], back: str | None = None) -> HTMLResponse:
    """The message, the form for an answer, and what came back for the last one."""
    call = message["channel"] == "voice"
    spoken = " ".join(unescape(one) for one in _SPOKEN.findall(back or "")) if call else back
    said = "" if back is None else f"<h2>What comes back</h2><pre>{_linked(spoken or 'Nothing.')}</pre>"
    again = '<input type="hidden" name="again" value="1">' if call and "again=1" in (back or "") else ""
    form = (
        f'<form method="post"><label for="said">{_ASKED[message["channel"]]}</label>'
        f'<p><input id="said" name="said" autocomplete="off" autofocus>{again} <button>Send</button></p></form>'
    )
    return _page("Answer", f'{_item(message, answered=True)}{said}{form}<p><a href="/dev/outbox">Outbox</a></p>')


def _page(title: str, inner: str, *, status: int = 200) -> HTMLResponse:
    return HTMLResponse(_html(title, inner), status, HEADERS)


def _html(title: str, inner: str, head: str = "") -> str:
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">{head}<style>{_STYLE}</style></head>'
        f"<body><main><h1>{title}</h1>{inner}</main></body></html>\n"
    )


def _item(message: Mapping[str, Any], *, answered: bool = False) -> str:
    at = f"{datetime.fromtimestamp(message['at'] / 1000, UTC):%Y-%m-%d %H:%M:%S}"
    to = message.get("to") or message.get("device") or ""
    title = message.get("subject") or message.get("title") or ""
    text = message.get("text") or message.get("body") or ""
    calendar = str(message.get("calendar") or "")
    attached = f"<details><summary>Calendar</summary><pre>{escape(calendar)}</pre></details>" if calendar else ""
    ask = not answered and message["channel"] in _ASKED
    answer = f'<p><a href="{ANSWER}?message={quote(str(message["id"]), safe="")}">Answer</a></p>' if ask else ""
    return (
        f"<article><h2>{escape(message['channel'])} to {escape(str(to))}</h2><p><time>{at} UTC</time></p>"
        f"<p><strong>{escape(str(title))}</strong></p><pre>{_linked(str(text))}</pre>{attached}{answer}</article>"
    )


def _linked(text: str) -> str:
    """The text with its links to click on."""
    found, last = [], 0
    for link in _LINK.finditer(text):
        url = escape(link[0])
        found += [escape(text[last : link.start()]), f'<a href="{url}">{url}</a>']
        last = link.end()
    return "".join([*found, escape(text[last:])])
