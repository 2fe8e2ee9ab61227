"""From a composed message to the port of its channel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fhir_server.remote.email import Email
from fhir_server.remote.push import Push
from fhir_server.remote.sending import Channel, NotSent, Sent
from fhir_server.remote.sms import Text
from fhir_server.remote.voice import Call
from fhir_server.services.world import World


@dataclass(frozen=True, slots=True)
class Composed:
    """What goes out: one message, or for push one a device, of which one that arrives is enough.

    ``said`` are the words that the record keeps: without links.
    """

    messages: tuple[Email | Text | Call | Push, ...]
    kinds: tuple[str, ...]
    said: str


def is_on(world: World, medium: str) -> bool:
    """Whether the settings turn a channel on."""
    known = world.channels
    on = {"email": known.email, "sms": known.sms, "voice": known.voice, "push": known.push or None}
    return on[medium] is not None


async def hand_over(world: World, made: Composed) -> Sent:
    """Give a message to its channel; to devices one after the other until one is reached.

    :raises NotSent: nobody took it; not permanent if one of several may take it later.
    """
    refusals: list[NotSent] = []
    for message, kind in zip(made.messages, made.kinds, strict=True):
        channel = _channel(world, message, kind)
        if channel is None:
            continue
        try:
            return await channel.send(message)
        except NotSent as refused:
            refusals.append(refused)
    waiting = [one for one in refusals if not one.permanent]
    raise next(iter([*waiting, *refusals]), NotSent("invalid-address", permanent=True))


def _channel(world: World, message: Email | Text | Call | Push, kind: str) -> Channel[Any] | None:
    known = world.channels
    if isinstance(message, Email):
        return known.email
    if isinstance(message, Text):
        return known.sms
    if isinstance(message, Call):
        return known.voice
    return next((channel for name, channel in known.push.items() if name == kind), None)
