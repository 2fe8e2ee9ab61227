"""The door: plain ASGI below ``/fhir``, so that a read costs little more than its query.

It reads the request line and headers, lets the router find the handler, turns every problem into an OperationOutcome,
and adds what every answer carries. https://hl7.org/fhir/R4/http.html
"""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import Any
from urllib.parse import unquote

from fhir_server.access.record import ACTIONS, stamp
from fhir_server.errors import Category, Problem, problem
from fhir_server.fhir.json import dump
from fhir_server.fhir.outcome import outcome
from fhir_server.log import get_logger
from fhir_server.rest import metrics, negotiation, permissions, router
from fhir_server.rest.answer import Answer
from fhir_server.rest.context import Context
from fhir_server.rest.recording import access_of
from fhir_server.services.access.policy import NOBODY, AccessPolicy
from fhir_server.services.authorization.invalid_token import InvalidToken
from fhir_server.services.authorization.tokens import caller_of
from fhir_server.services.keyed import Replayed
from fhir_server.services.world import World
from fhir_server.store.driver import PyMongoError
from fhir_server.store.unit import unavailable

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]

PREFIX = "/fhir"
LARGE = 200_000
"""Bytes of an answer from which on it is written in another format beside the event loop."""

CROSS_ORIGIN = (
    (b"access-control-allow-origin", b"*"),
    (
        b"access-control-expose-headers",
        b"Location, Content-Location, ETag, Last-Modified, X-Request-Id, Retry-After, WWW-Authenticate",
    ),
)
"""Apps in browsers may come from anywhere: a bearer token, never a cookie, says who asks."""

PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, Accept, Prefer, If-Match, If-None-Match, "
    "If-None-Exist, If-Modified-Since, Idempotency-Key, X-Request-Id",
    "Access-Control-Max-Age": "600",
}

_HOST = re.compile(r"(?:\[(?P<six>[0-9a-f:.]+)\]|(?P<name>[a-z0-9.\-]+))(?::\d{1,5})?")
_REQUEST_ID = re.compile(r"[A-Za-z0-9\-_.:]{1,64}")
POLICIES = 4096
"""Callers whose policies are kept from request to request."""

log = get_logger("rest")


class Door:
    """The FHIR base as an ASGI application; ``world`` is set when the server has started."""

    def __init__(self) -> None:
        self.world: World | None = None
        self._policies: dict[str, AccessPolicy] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        headers = read_headers(scope["headers"])
        request_id = headers.get("x-request-id", "")
        if not _REQUEST_ID.fullmatch(request_id):
            request_id = secrets.token_hex(8)
        route = "unmatched"
        try:
            route, answer = await self._recorded(scope, receive, headers, request_id)
            wished = (headers, scope.get("query_string", b""), answer)
            if len(answer.body) < LARGE:
                answer = negotiation.presented(*wished)
            else:
                # Writing much takes long; the others shall not wait for all of it.
                answer = await asyncio.to_thread(negotiation.presented, *wished)
        except Exception:
            # The last resort: nothing of the fault reaches the client, everything reaches the log.
            log.exception("request failed", request_id=request_id, method=scope["method"], route=route)
            answer = _refusal(problem(Category.EXCEPTION, f"the server has a defect; request {request_id}"))
        await _send(send, answer, request_id, head=scope["method"] == "HEAD")
        metrics.observe(scope["method"], route, answer.status, time.perf_counter() - started)
        log.debug("request", request_id=request_id, method=scope["method"], route=route, status=answer.status)

    async def _recorded(
        self, scope: Scope, receive: Receive, headers: Mapping[str, str], request_id: str
    ) -> tuple[str, Answer]:
        """The answer, which leaves only when its access is durably recorded."""
        if self.world is None:
            return "starting", _refusal(unavailable("the server is starting"))
        context = self._context(scope, receive, headers, request_id, self.world)
        route, answer, refused = await self._answer(context)
        access = None if answer.parts else access_of(context, route, answer, refused)
        try:
            if access is not None:
                await self.world.record.add(access)
            elif answer.parts:
                await asyncio.gather(*(self.world.record.add(one) for one in answer.parts))
        except Problem as failed:
            return route, _refusal(failed)
        return route, answer

    async def _answer(self, context: Context) -> tuple[str, Answer, Problem | None]:
        route, world, headers = "unmatched", context.world, context.headers
        try:
            check_host(headers, world.hosts)
            world.catalogue.begin()
            if context.method == "OPTIONS" and "access-control-request-method" in headers:
                return "preflight", Answer(204, b"", PREFLIGHT), None
            policy = await self._policy(world, headers)
            context.caller = policy.caller
            context.world = world.under(policy, stamp_of(context))
            negotiation.check(context)
            route, handler = router.find(context)
            return route, await handler(context), None
        except Problem as refused:
            return route, _refusal(refused), refused
        except Replayed as replayed:
            known = replayed.answer
            again = Answer(known.status, known.body, {**known.headers, "Idempotent-Replayed": "true"})
            return route, again, None
        except PyMongoError as failed:
            log.warning("database did not answer", request_id=context.request_id, fault=type(failed).__name__)
            fault = unavailable("the database does not answer")
            return route, _refusal(fault), fault

    def _context(
        self, scope: Scope, receive: Receive, headers: Mapping[str, str], request_id: str, world: World
    ) -> Context:
        raw = (scope.get("raw_path") or scope["path"].encode()).decode("latin-1")[len(PREFIX) :]
        segments = [unquote(one) for one in raw.split("/") if one]
        base = world.settings.base_url.rstrip("/") or _own_base(scope, headers)
        query, peer = scope.get("query_string", b""), scope.get("client")
        return Context(
            world, scope["method"], segments, query, headers, base, world.policy.caller, request_id, receive,
            str(peer[0]) if peer else "",
        )  # fmt: skip

    async def _policy(self, world: World, headers: Mapping[str, str]) -> AccessPolicy:
        """The policy of the caller whom the bearer token names; without a token nothing is seen.

        :raises Problem: 401 for a token that opens nothing.
        """
        kind, _, token = headers.get("authorization", "").partition(" ")
        if not kind:
            return NOBODY
        try:
            caller = await caller_of(world.unmoved(), token.strip() if kind.lower() == "bearer" else "")
        except InvalidToken as invalid:
            log.info("token refused", reason=invalid.reason)
            raise permissions.unauthenticated("invalid_token") from None
        known = self._policies.get(caller.token)
        if known is None or known.caller is not caller:
            if len(self._policies) >= POLICIES:
                self._policies.clear()
            known = self._policies[caller.token] = AccessPolicy(caller)
        await known.begin(world)
        return known


def stamp_of(context: Context) -> dict[str, str]:
    """What stands beside the versions that a request writes, so that none is without its entry in the record."""
    if context.method in {"GET", "HEAD"}:
        return {}
    segments = context.segments
    operation = segments[-1] if segments and segments[-1].startswith("$") else ""
    route = operation or {"PUT": "update", "PATCH": "patch", "DELETE": "delete"}.get(context.method, "create")
    return stamp(
        context.caller, route, ACTIONS.get(route, "U"), context.request_id, process=context.world.record.process,
        network=context.network,
    )  # fmt: skip


def read_headers(raw: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Headers by name; one that is repeated is a list (RFC 9110), which no Host can be."""
    found: dict[str, str] = {}
    for key, text in raw:
        name, value = key.decode("latin-1"), text.decode("latin-1")
        found[name] = f"{found[name]}, {value}" if name in found else value
    return found


def is_ours(host: str, hosts: frozenset[str]) -> bool:
    """Whether a Host header is one of our names, with any port, or is not there."""
    found = _HOST.fullmatch(host.lower())
    return not host or (found is not None and (found["six"] or found["name"]) in hosts)


def check_host(headers: Mapping[str, str], hosts: frozenset[str]) -> None:
    """:raises Problem: 400 for a name that is none of ours: a page elsewhere may have pointed its own name here."""
    if not is_ours(headers.get("host", ""), hosts):
        raise problem(Category.INVALID, "this server is not known by that Host; FHIR_BASE_URL names it", "Host")


def _own_base(scope: Scope, headers: Mapping[str, str]) -> str:
    """The base as this server knows it; forwarded headers are not believed, a Host header only as a name."""
    host = headers.get("host", "")
    if not re.fullmatch(r"[A-Za-z0-9\-.\[\]:]{1,255}", host):
        server = scope.get("server") or ("127.0.0.1", 80)
        host = f"{server[0]}:{server[1]}"
    return f"{scope.get('scheme', 'http')}://{host}{PREFIX}"


def _refusal(refused: Problem) -> Answer:
    return Answer(refused.category.status, dump(outcome(refused)), refused.headers)


async def _send(send: Send, answer: Answer, request_id: str, *, head: bool) -> None:
    headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers.items()]
    headers += [
        (b"x-request-id", request_id.encode()),
        (b"cache-control", b"no-store"),
        (b"vary", b"Authorization, Accept, Origin"),
        *CROSS_ORIGIN,
        (b"x-content-type-options", b"nosniff"),
    ]
    if answer.status not in {204, 304}:
        headers += [
            (b"content-type", answer.content_type.encode()),
            (b"content-length", str(len(answer.body)).encode()),
        ]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if head else answer.body})
