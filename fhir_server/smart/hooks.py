"""What providers call: delivery reports, text messages, keys of the telephone. Each call proves where it comes from.

path                   from      what                                    answer
---------------------  --------  --------------------------------------  ---------------
/hooks/twilio/status   Twilio    what became of a text or a call         204
/hooks/twilio/sms      Twilio    a text message                          TwiML
/hooks/twilio/voice    Twilio    a key that was pressed in a call        TwiML
/hooks/sendgrid        SendGrid  what became of e-mails                  204

A report about nothing of ours is no fault; a signature that does not hold is 403, and nothing is done.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from fhir_server.errors import Category, Problem, problem
from fhir_server.log import get_logger
from fhir_server.remote import reports as proofs
from fhir_server.services.reminders import answers, calls, reports
from fhir_server.services.world import World
from fhir_server.smart import requests
from fhir_server.smart.answers import Entrance
from fhir_server.store.driver import PyMongoError

BODY_LIMIT = 1024 * 1024
XML = "text/xml; charset=utf-8"

log = get_logger("hooks")
Hook = Callable[[World, Request, bytes], Awaitable[Response]]


def router(door: Entrance) -> APIRouter:
    """The routes of providers."""
    api = APIRouter(include_in_schema=False)
    for path, hook in (
        ("/hooks/twilio/status", _status), ("/hooks/twilio/sms", _text), ("/hooks/twilio/voice", _key),
        ("/hooks/sendgrid", _events),
    ):  # fmt: skip
        api.add_route(path, _served(door, hook), ["POST"])
    return api


def _served(door: Entrance, hook: Hook) -> Callable[[Request], Awaitable[Response]]:
    async def serve(request: Request) -> Response:
        world = door.world
        if world is None:
            return PlainTextResponse("The server is starting.\n", 503, {"Retry-After": "5"})
        try:
            return await hook(world, request, await _body(request))
        except Problem as refused:
            status = refused.category.status
            log.info("a provider's call was refused", path=request.url.path, status=status)
            return PlainTextResponse(f"{refused.issues[0].text}\n", status)
        except PyMongoError as failed:
            log.warning("database did not answer", fault=type(failed).__name__)
            return PlainTextResponse("The database does not answer.\n", 503, {"Retry-After": "5"})

    return serve


async def _body(request: Request) -> bytes:
    body = await requests.body_of(request, BODY_LIMIT)
    if body is None:
        raise problem(Category.TOO_LARGE, "the body is too large")
    return body


def _twilio(world: World, request: Request, body: bytes) -> Mapping[str, str]:
    """The form that Twilio signed.

    :raises Problem: 403.
    """
    try:
        form = dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=200))
    except ValueError:
        raise problem(Category.INVALID, "the body is no form") from None
    query = f"?{request.url.query}" if request.url.query else ""
    url = f"{world.settings.issuer}{request.url.path}{query}"
    token = world.settings.twilio_token.get_secret_value()
    if not proofs.twilio_signature_ok(token, url, form, request.headers.get(proofs.TWILIO_SIGNATURE, "")):
        raise problem(Category.FORBIDDEN, "the signature does not hold")
    return form


async def _status(world: World, request: Request, body: bytes) -> Response:
    form = _twilio(world, request, body)
    found = proofs.twilio_report(form, datetime.fromtimestamp(world.now(), UTC))
    if found is not None:
        await reports.note(world, found, "twilio", id_=request.query_params.get("id", ""))
    return Response(status_code=204)


async def _text(world: World, request: Request, body: bytes) -> Response:
    said = await answers.hear(world, proofs.twilio_text(_twilio(world, request, body)))
    message = f"<Message>{escape(said)}</Message>" if said else ""
    return Response(f"<Response>{message}</Response>", media_type=XML)


async def _key(world: World, request: Request, body: bytes) -> Response:
    key, query = proofs.twilio_keypress(_twilio(world, request, body)), request.query_params
    said = await calls.pressed(world, key, query.get("id", ""), again=query.get("again") == "1")
    return Response(said, media_type=XML)


async def _events(world: World, request: Request, body: bytes) -> Response:
    known = world.settings.sendgrid_webhook_key
    signature = request.headers.get(proofs.SENDGRID_SIGNATURE, "")
    stamp = request.headers.get(proofs.SENDGRID_TIMESTAMP, "")
    now = world.unmoved().clock() / 1000
    if not known or not proofs.sendgrid_signature_ok(known, signature, stamp, body, now):
        raise problem(Category.FORBIDDEN, "the signature does not hold")
    for found in proofs.sendgrid_reports(body):
        await reports.note(world, found, "sendgrid")
    return Response(status_code=204)
