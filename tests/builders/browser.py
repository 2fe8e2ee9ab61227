"""A browser without a screen: keeps cookies, reads the forms of a page, sends them as a person would."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

from fhir_server.remote.http import httpx

SITE = "http://fhir.test"
_addresses = (f"10.{one}.{two}.{three}" for one, two, three in itertools.product(range(256), repeat=3))


@dataclass
class Form:
    action: str
    fields: list[tuple[str, str]] = field(default_factory=list)
    buttons: list[tuple[str, str]] = field(default_factory=list)


class _Forms(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.forms.append(Form(given["action"]))
        elif tag == "input" and (given.get("type") != "checkbox" or "checked" in given):
            self.forms[-1].fields.append((given["name"], given.get("value", "")))
        elif tag == "button" and "name" in given:
            self.forms[-1].buttons.append((given["name"], given["value"]))


def forms(page: Any) -> list[Form]:
    reader = _Forms()
    reader.feed(page.text)
    return reader.forms


class Browser:
    """One browser at an address of its own, so that limits of other tests do not reach it."""

    def __init__(self, app: Any, site: str = SITE) -> None:
        transport = httpx.ASGITransport(app=app, client=(next(_addresses), 1))
        self.http = httpx.AsyncClient(transport=transport, base_url=site, timeout=30)

    async def get(self, path: str) -> Any:
        """A page, and where it leads to inside this site."""
        return await self.follow(await self.http.get(path))

    async def follow(self, answer: Any) -> Any:
        """Redirects inside this site; the answer that leads out of it is the last."""
        for _ in range(10):
            place = answer.headers.get("location", "")
            if not place.startswith("/"):
                return answer
            answer = await self.http.get(place)
        msg = "redirects without end"
        raise AssertionError(msg)

    async def post(self, path: str, fields: Iterable[tuple[str, str]]) -> Any:
        """A form as it is given, without following."""
        given: dict[str, list[str]] = {}
        for name, value in fields:
            given.setdefault(name, []).append(value)
        return await self.http.post(path, data=given)

    async def submit(self, page: Any, action: str, without: Iterable[str] = (), **said: str) -> Any:
        """Send the first form of a page that leads to ``/auth/<action>``; ``without`` are values taken away."""
        form = next(one for one in forms(page) if one.action == f"/auth/{action}")
        fields = [(name, value) for name, value in form.fields if name not in said and value not in without]
        return await self.follow(await self.post(form.action, [*fields, *said.items()]))

    async def log_in(self, page: Any, username: str, password: str) -> Any:
        return await self.submit(page, "login", username=username, password=password)
