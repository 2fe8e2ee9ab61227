"""A practice of a test's own, with channels that keep what they are given."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest_asyncio
from pydantic import SecretStr

from fhir_server.app import Server
from fhir_server.remote.http import httpx
from tests.builders import providers_calls
from tests.builders.messages import Practice
from tests.builders.quiet import quiet
from tests.scans import no_scans

__all__ = ["no_scans"]


@pytest_asyncio.fixture(loop_scope="session")
async def http(app: Server) -> AsyncIterator[Any]:
    """Somebody without a token, at an address of their own."""
    address = ".".join(["10", *(str(secrets.randbelow(256)) for _ in range(3))])
    transport = httpx.ASGITransport(app=app, client=(address, 50000))
    async with httpx.AsyncClient(transport=transport, base_url="http://fhir.test") as made:
        yield made


@pytest_asyncio.fixture(loop_scope="session")
async def practice(client: Any, app: Server) -> AsyncIterator[Practice]:
    """Not opened yet; the server has its own clock and channels again afterwards."""
    before = app.door.world
    assert before is not None
    made = Practice(client, app=app)
    settings = before.settings.model_copy(
        update={"twilio_token": SecretStr(providers_calls.TOKEN), "sendgrid_webhook_key": providers_calls.PUBLIC}
    )
    made.channels.sms.name = made.channels.voice.name = "twilio"
    # Ids of providers are never the same twice.
    made.channels.sms._number = made.channels.email._number = secrets.randbelow(10**9)
    made.channels.email.name = "sendgrid"
    app.door.world = replace(before, channels=made.channels, settings=settings)
    await quiet(before.own())
    yield made
    await quiet(before.own())
    app.door.world = before
