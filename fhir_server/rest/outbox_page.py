"""Development's outbox: the messages that would have gone to people, newest first."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from typing import Any

REFRESH_SECONDS = 3
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
}
_LINK = re.compile(r"https?://[^\s<>\"]+")
_STYLE = """
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem; color: #1a1a1a; }
article { border: 1px solid #bbb; border-radius: .4rem; padding: .6rem 1rem; margin: 1rem 0; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; font: inherit; margin: .4rem 0; }
h2 { font-size: 1rem; margin: 0; } details pre { font-family: monospace; }
"""


def outbox_page(messages: Sequence[Mapping[str, Any]]) -> str:
    """The page; it looks again by itself."""
    items = "".join(_item(one) for one in messages) or "<p>Nothing was sent yet. Book an appointment and wait.</p>"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Outbox</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="refresh" content="{REFRESH_SECONDS}"><style>{_STYLE}</style></head><body>'
        f"<main><h1>Outbox</h1><p>What would have been sent, newest first.</p>{items}</main></body></html>\n"
    )


def _item(message: Mapping[str, Any]) -> str:
    at = f"{datetime.fromtimestamp(message['at'] / 1000, UTC):%Y-%m-%d %H:%M:%S}"
    to = message.get("to") or message.get("device") or ""
    title = message.get("subject") or message.get("title") or ""
    text = message.get("text") or message.get("body") or ""
    calendar = str(message.get("calendar") or "")
    attached = f"<details><summary>Calendar</summary><pre>{escape(calendar)}</pre></details>" if calendar else ""
    return (
        f"<article><h2>{escape(message['channel'])} to {escape(str(to))}</h2><p><time>{at} UTC</time></p>"
        f"<p><strong>{escape(str(title))}</strong></p><pre>{_linked(str(text))}</pre>{attached}</article>"
    )


def _linked(text: str) -> str:
    """The text with its links to click on."""
    found, last = [], 0
    for link in _LINK.finditer(text):
        url = escape(link[0])
        found += [escape(text[last : link.start()]), f'<a href="{url}">{url}</a>']
        last = link.end()
    return "".join([*found, escape(text[last:])])
