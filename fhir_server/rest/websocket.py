"""The websocket of Subscriptions: ``bind-with-token`` and a token of ``$get-ws-binding-token``, then notifications.

No header says who asks: browsers send none of their own. The token does, once and within a minute; a page elsewhere has
none. https://hl7.org/fhir/uv/subscriptions-backport/STU1.1/channels.html#websockets
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from starlette.websockets import WebSocket, WebSocketDisconnect

from fhir_server.log import get_logger
from fhir_server.rest.door import Door, is_ours
from fhir_server.services.subscriptions.asking import bind
from fhir_server.services.subscriptions.sockets import Talk
from fhir_server.tasks import end

PATH = "/subscriptions/websocket"
COMMAND = "bind-with-token"
BIND_SECONDS = 10.0
LONGEST = 200
POLICY, TRY_LATER = 1008, 1013

log = get_logger("websocket")


async def notifications(door: Door, socket: WebSocket) -> None:
    """Serve one websocket until the client goes or its access ends (close code 1008)."""
    world = door.world
    if world is None or not is_ours(socket.headers.get("host", ""), world.hosts):
        await socket.close(TRY_LATER if world is None else POLICY)
        return
    await socket.accept()
    token = await _token(socket)
    bound = await bind(world, token) if token else None
    if bound is None:
        await _close(socket)
        return
    talk = Talk(world.own(), bound, str(socket.client.host) if socket.client else "")
    gone = asyncio.create_task(_gone(socket))
    telling = asyncio.create_task(_tell(socket, talk))
    try:
        await asyncio.wait({gone, telling}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        faults = await end(gone, telling)
    for one in faults:
        if isinstance(one, Exception) and not isinstance(one, WebSocketDisconnect | RuntimeError):
            log.warning("websocket ended", fault=type(one).__name__)
    await _close(socket)


async def _token(socket: WebSocket) -> str:
    """What the client binds with; empty where it says anything else, or nothing."""
    with suppress(TimeoutError, WebSocketDisconnect, KeyError):
        async with asyncio.timeout(BIND_SECONDS):
            said = await socket.receive_text()
        command, _, token = said[:LONGEST].strip().partition(" ")
        return token.strip() if command.rstrip(":") == COMMAND else ""
    return ""


async def _tell(socket: WebSocket, talk: Talk) -> None:
    async for message in talk.messages():
        await socket.send_text(message)


async def _gone(socket: WebSocket) -> None:
    """Returns when the client has gone; what it says meanwhile means nothing."""
    while (await socket.receive())["type"] != "websocket.disconnect":
        pass


async def _close(socket: WebSocket) -> None:
    with suppress(RuntimeError, WebSocketDisconnect):
        await socket.close(POLICY)
