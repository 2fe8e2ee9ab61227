"""A request to a page: whose it is, what its form says, and whether it comes from a page of ours.

One cookie holds either ``s.`` and the secret of a session, or ``p.`` and random text of somebody who has none yet. A
form carries a digest of the cookie that only we can make; a POST without it, or with another's, is refused.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol
from urllib.parse import parse_qsl

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from fhir_server.access.account import Account
from fhir_server.access.caller import STAFF
from fhir_server.access.record import MINOR, SUCCESS, Access
from fhir_server.errors import Problem
from fhir_server.log import get_logger
from fhir_server.services.authorization import accounts, sessions
from fhir_server.services.authorization.redirects import Unredirectable
from fhir_server.services.world import World
from fhir_server.smart import requests
from fhir_server.smart.pages.error import error_page
from fhir_server.smart.pages.rendering import LANGUAGE, render
from fhir_server.smart.pages.texts import TEXTS
from fhir_server.store.driver import PyMongoError
from fhir_server.store.sessions import Session

COOKIE = "fhir-login"
SECRET = "page-forms"  # noqa: S105  its name
BODY_LIMIT = 64 * 1024

log = get_logger("pages")


class Door(Protocol):
    """What has the world once the server has started."""

    world: World | None


class Shown(Exception):  # noqa: N818  an answer, not a fault
    """Ends a request early with an answer."""

    def __init__(self, answer: Response) -> None:
        super().__init__()
        self.answer = answer


@dataclass(frozen=True, slots=True)
class Visit:
    """One request. ``session`` and ``account`` are there when somebody proved a password and is not disabled.

    ``cookie`` is what the browser holds or is to hold, ``form`` the first value of each field.
    """

    world: World
    request: Request
    cookie: str
    form: Mapping[str, str]
    fields: Sequence[tuple[str, str]]
    session: Session | None = None
    account: Account | None = None

    @property
    def secure(self) -> bool:
        return is_secure(self.world)

    @property
    def asked(self) -> str:
        """The id of the authorize request, or empty."""
        return self.form.get("request", "") or self.request.query_params.get("request", "")

    @property
    def address(self) -> str:
        return self.request.client.host if self.request.client else ""

    @property
    def was_logged_in(self) -> bool:
        """Whether the browser holds a session that is over."""
        return self.session is None and self.cookie.startswith("s.")

    @property
    def person(self) -> Account | None:
        """Who is logged in, with nothing left to prove."""
        return self.account if self.session and self.session.complete else None

    async def tell(
        self,
        interaction: str,
        account: Account | None = None,
        *,
        reason: str = "",
        client: str = "",
        patients: tuple[str, ...] = (),
        query: bytes = b"",
    ) -> None:
        """Record what somebody did on a page; what it shows is recorded before it leaves.

        :raises Problem: UNAVAILABLE when it could not be recorded.
        """
        opened: set[str] = set()
        if account and account.role in STAFF and patients:
            opened = await self.world.store.emergencies.of(account.id, self.world.now())
        await self.world.record.add(
            Access(
                at=self.world.clock(),
                action="E",
                interaction=interaction,
                outcome=MINOR if reason else SUCCESS,
                client=client,
                subject=account.id if account else "",
                issuer=self.world.settings.issuer,
                fhir_user=account.fhir_user if account else "",
                role=account.role.value if account else "",
                purpose="" if opened.isdisjoint(patients) else "BTG",
                network=self.address,
                patients=patients,
                query=query,
                reason=reason,
            )
        )

    async def page(self, template: str, status: int = 200, *, redirect_uri: str = "", **values: Any) -> HTMLResponse:
        """A page with forms of this visitor."""
        fresh = not self.session and not self.cookie.startswith("p.")
        visit = replace(self, cookie=f"p.{secrets.token_urlsafe(32)}") if fresh else self
        token = await form_token(self.world, visit.cookie)
        values = {"csrf": token, "asked": self.asked, "account": self.account, **values}
        answer = render(template, status, secure=self.secure, redirect_uri=redirect_uri, **values)
        if fresh:
            give_cookie(answer, visit.cookie, secure=self.secure)
        return answer


async def form_token(world: World, cookie: str) -> str:
    """What a form of a page carries, for the browser that holds a cookie."""
    return hmac.new(await world.store.secrets.get(SECRET, 32), cookie.encode(), "sha256").hexdigest()


def give_cookie(answer: Response, value: str, *, secure: bool) -> None:
    """Set the cookie, for as long as the browser runs; by https under a name that no other host can set.

    https://datatracker.ietf.org/doc/html/draft-ietf-httpbis-rfc6265bis#name-the-__host-prefix
    """
    name = cookie_name(secure=secure)
    answer.set_cookie(name, value, path="/", secure=secure, httponly=True, samesite="lax")


def cookie_name(*, secure: bool) -> str:
    return f"__Host-{COOKIE}" if secure else COOKIE


def is_secure(world: World) -> bool:
    return world.settings.issuer.startswith("https:")


def go(url: str) -> RedirectResponse:
    """Send the browser on, with GET."""
    answer = RedirectResponse(url, 303)
    answer.headers.update({"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"})
    return answer


Handler = Callable[[Visit], Awaitable[Response]]


def visited(door: Door, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    """A route's endpoint: what goes wrong is a page too."""
    t = TEXTS[LANGUAGE]

    async def endpoint(request: Request) -> Response:
        world = door.world
        if world is None:
            return error_page(t["starting_title"], t["starting"], 503, Retry_After="5")
        world = world.unmoved()
        secure = is_secure(world)
        try:
            return await handler(await _visit(world, request))
        except Shown as shown:
            return shown.answer
        except Unredirectable as over:
            return error_page(over.title, over.text, secure=secure)
        except Problem as refused:
            return error_page(t["refused_title"], str(refused.issues[0].text), refused.category.status, secure=secure)
        except PyMongoError as failed:
            log.warning("database did not answer", fault=type(failed).__name__)
            return error_page(t["away_title"], t["away"], 503, secure=secure, Retry_After="5")
        except Exception:
            # The route, not the path: a path may hold a link that is somebody's key.
            log.exception("page failed", path=getattr(request.scope.get("route"), "path", ""))
            return error_page(t["defect_title"], t["defect"], 500, secure=secure)

    return endpoint


async def _visit(world: World, request: Request) -> Visit:
    cookie = request.cookies.get(cookie_name(secure=is_secure(world)), "")[:200]
    fields: list[tuple[str, str]] = []
    if request.method == "POST":
        fields = await _fields(request)
    form: dict[str, str] = {}
    for name, text in fields:
        form.setdefault(name, text)
    if request.method == "POST":
        await _check_origin(world, cookie, form.get("csrf", ""))
    visit = Visit(world, request, cookie, form, fields)
    if not cookie.startswith("s."):
        return visit
    session = await sessions.use(world, cookie[2:])
    account = await accounts.account(world, session.account) if session else None
    if session is None or account is None or account.disabled:
        return visit
    return replace(visit, session=session, account=account)


async def _fields(request: Request) -> list[tuple[str, str]]:
    t = TEXTS[LANGUAGE]
    if not request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        raise Shown(error_page(t["refused_title"], t["no_form"], 415))
    body = await requests.body_of(request, BODY_LIMIT)
    if body is None:
        raise Shown(error_page(t["refused_title"], t["large_form"], 413))
    try:
        return parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=500, errors="strict")
    except ValueError:
        raise Shown(error_page(t["refused_title"], t["no_form"], 400)) from None


async def _check_origin(world: World, cookie: str, token: str) -> None:
    """:raises Shown: 403 for a form that is not of a page that this browser got from us."""
    wanted = await form_token(world, cookie)
    if not cookie or not hmac.compare_digest(wanted.encode(), token.encode()):
        t = TEXTS[LANGUAGE]
        raise Shown(error_page(t["foreign_title"], t["foreign"], 403, secure=is_secure(world)))
