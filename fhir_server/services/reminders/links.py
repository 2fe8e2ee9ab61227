"""Links in messages: each is for one act on one appointment by one patient, needs no login, and ends.

The text of a link is an HMAC of the message and the act under a secret of this database: a message that is written
again after a crash has the same links. What is stored is its digest, so the database alone opens none.
"""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass

from fhir_server.services.world import World
from fhir_server.store.links import Link, digest

SECRET = "message-links"  # noqa: S105  its name
PATH = "/a/"
BOOKED_ACTS = ("confirm", "reschedule", "cancel")
OFFER_ACTS = ("accept", "decline")
"""What can be done about an appointment, and about a time that is offered; besides *unsubscribe*."""

_TEXT = re.compile(r"[A-Za-z0-9_-]{24}", re.ASCII)


@dataclass(frozen=True, slots=True)
class About:
    """What links are about: an appointment of a patient at its start (epoch seconds), and the message they go out with.

    When the appointment moves, they are over.
    """

    message: str
    appointment: str
    patient: str
    start: int


async def make(world: World, about: About, act: str, expires: int) -> str:
    """The URL of a link.

    :param expires: epoch seconds.
    """
    return (await make_all(world, about, {act: expires}))[act]


async def make_all(world: World, about: About, acts: Mapping[str, int]) -> dict[str, str]:
    """:func:`make` for several acts: act → URL.

    :param acts: act → when its link ends.
    """
    key = await world.store.secrets.get(SECRET, 32)
    made, urls = [], {}
    for act, expires in acts.items():
        said = f"{about.message}|{about.appointment}|{about.patient}|{about.start}|{act}"
        text = base64.urlsafe_b64encode(hmac.digest(key, said.encode(), "sha256"))[:24].decode()
        made.append(Link(digest(text), act, about.appointment, about.patient, about.start, about.message, expires))
        urls[act] = f"{world.settings.issuer}{PATH}{text}"
    await world.store.links.put(*made)
    return urls


async def find(world: World, text: str) -> Link | None:
    """The link of a text, also one that was used or is over."""
    return await world.store.links.get(text) if _TEXT.fullmatch(text) else None
