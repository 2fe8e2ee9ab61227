"""What tests read from searchsets: links, ids by mode, and all pages of one search."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlsplit


def link(bundle: dict[str, Any], relation: str) -> str:
    """The URL of a link, empty where there is none."""
    return next((one["url"] for one in bundle.get("link", ()) if one["relation"] == relation), "")


def link_pairs(bundle: dict[str, Any], relation: str) -> list[tuple[str, str]]:
    """The decoded parameters of a link."""
    return parse_qsl(urlsplit(link(bundle, relation)).query)


def refs(bundle: dict[str, Any], mode: str = "match") -> list[str]:
    """``Type/id`` of the entries of one mode, in order."""
    return [
        f"{one['resource']['resourceType']}/{one['resource']['id']}"
        for one in bundle.get("entry", ())
        if one["search"]["mode"] == mode
    ]


async def found(client: Any, url: str, **query: Any) -> dict[str, Any]:
    """The searchset of a GET that succeeds; ``__`` in a name is ``:``."""
    pairs = {name.replace("__", ":"): value for name, value in query.items()}
    answer = await client.get(url, params=pairs or None)
    assert answer.status_code == 200, answer.text
    bundle: dict[str, Any] = answer.json()
    assert bundle["type"] == "searchset"
    return bundle


async def pages(client: Any, first: dict[str, Any]) -> list[dict[str, Any]]:
    """This page and all that follow."""
    every = [first]
    while url := link(every[-1], "next"):
        every.append(await found(client, url))
        assert len(every) < 100, "the pages have no end"
    return every
