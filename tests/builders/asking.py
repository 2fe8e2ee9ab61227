"""What an app asks and hears: requests that wait, answers at its address, and what was granted."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from fhir_server.access.account import Account
from fhir_server.services.authorization.pending import Pending
from fhir_server.services.world import World
from fhir_server.store.authorization.grants import Grant
from tests.builders.smart import REDIRECT

Ask = Callable[..., Awaitable[Pending]]


def sent_back(answer: Any) -> dict[str, str]:
    """What the app hears: the members of the redirect that leads out of this site."""
    assert answer.status_code == 303, answer.text
    place = urlsplit(answer.headers["location"])
    assert f"{place.scheme}://{place.netloc}{place.path}" in {REDIRECT, "http://127.0.0.1:7777/callback"}
    return dict(parse_qsl(place.query))


async def granted(world: World, account: Account) -> Grant:
    """The newest grant of an account, used or not."""
    rows = world.store.connection.collection("grants").find({"account": account.id}, sort=[("created", -1)])
    found = await world.store.authorization.grants.get((await rows.to_list(1))[0]["_id"])
    assert found is not None
    return found
