"""Sessions of people who logged in: opened, used, and over after idle time or at the end of a working day.

What the cookie holds and what the database holds are different: :class:`Opened` carries the first, ``Session.id``, the
digest of it, is the name under which tokens and grants know the session. Every step of a login opens a new session, so
that nobody comes to know one beforehand.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, replace

from fhir_server.services.world import World
from fhir_server.store.sessions import Session

ABSOLUTE_HOURS = 12
WRITTEN_SECONDS = 60
"""A use within so long of the last one that was noted is not noted."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A new session and the secret of its cookie, which nobody sees again."""

    session: Session
    cookie: str


async def open_session(world: World, account: str, *, complete: bool, request: str = "") -> Opened:
    """A session of somebody who proved a password.

    :param complete: nothing is left to prove; else it serves the second factor alone.
    :param request: the authorize request for which they log in.
    """
    now = world.now()
    cookie = secrets.token_urlsafe(32)
    ends = now + ABSOLUTE_HOURS * 3600
    session = Session(digest(cookie), account, now, complete, request, now, _idle_end(world, now), ends)
    await world.store.sessions.insert(session)
    return Opened(session, cookie)


async def complete(world: World, before: Session) -> Opened | None:
    """The session of somebody who proved the second factor as well, in place of ``before``; None if that is gone."""
    if not await world.store.sessions.remove(before.id):
        return None
    cookie, now = secrets.token_urlsafe(32), world.now()
    authenticated = before.authenticated if before.complete else now
    after = replace(before, id=digest(cookie), complete=True, authenticated=authenticated, used=now)
    after = replace(after, idle=_idle_end(world, now))
    await world.store.sessions.insert(after)
    return Opened(after, cookie)


async def use(world: World, cookie: str) -> Session | None:
    """The session of a cookie, which then ends later; None if there is none or it is over."""
    return await _used(world, digest(cookie)) if cookie else None


async def _used(world: World, id_: str) -> Session | None:
    found = await world.store.sessions.get(id_)
    if found is None or not _lasts(world, found):
        return None
    now = world.now()
    if now - found.used < min(WRITTEN_SECONDS, world.settings.session_idle_minutes * 15):
        return found
    idle = _idle_end(world, now)
    await world.store.sessions.slide(found, now, idle)
    return replace(found, used=now, idle=idle)


async def close(world: World, session: Session) -> None:
    """End a session, and with it what is allowed online only."""
    await world.store.sessions.remove(session.id)
    await world.store.access_epoch.moved()


async def alive(world: World, session_id: str) -> bool:
    """Whether a login still lasts: ``session_id`` is ``Session.id``, as a grant keeps it.

    Asking is a use: whoever works in an app that depends on the login is not idle.
    """
    found = await _used(world, session_id)
    return found is not None and found.complete


async def lasts(world: World, session_id: str) -> bool:
    """As :func:`alive`, but asking is no use: what the server does by itself keeps nobody logged in."""
    found = await world.store.sessions.get(session_id)
    return found is not None and found.complete and _lasts(world, found)


async def choose(world: World, session: Session, request: str, patient: str) -> None:
    """Note which patient was picked for an authorize request."""
    await world.store.sessions.choose(session.id, digest(request), patient)


def chosen(session: Session, request: str) -> str:
    """The patient that was picked for an authorize request, or empty."""
    return session.chosen.get(digest(request), "")


def digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _lasts(world: World, session: Session) -> bool:
    return world.now() < min(session.idle, session.ends)


def _idle_end(world: World, now: int) -> int:
    return now + world.settings.session_idle_minutes * 60
