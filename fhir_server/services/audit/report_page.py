"""The access report as a page to read and to print: one table, no outside assets, no script."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from fhir_server.access.record import Access
from fhir_server.services.audit.events import Event

HTML = "text/html; charset=utf-8"
STYLE = """
body { font: 1rem/1.5 system-ui, sans-serif; margin: 2rem; color: #1a1a1a; background: #fff; }
table { border-collapse: collapse; width: 100%; }
caption { text-align: left; padding-bottom: .5rem; }
th, td { border: 1px solid #767676; padding: .3rem .5rem; text-align: left; vertical-align: top; }
thead th { background: #eee; }
a { color: #0645ad; }
@media print {
  body { margin: 0; font-size: 9pt; }
  nav { display: none; }
  thead { display: table-header-group; }
  tr { break-inside: avoid; }
}
"""
POLICY = (
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; style-src 'sha256-"
    + base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    + "'"
)
"""What the page may load: its own style and nothing else."""

ACTIONS = {"C": "created", "R": "viewed", "U": "changed", "D": "deleted", "E": "searched or carried out"}
PURPOSES = {
    "BTG": "emergency access (break the glass)", "ETREAT": "emergency treatment", "TREAT": "treatment",
    "HPAYMT": "payment", "HOPERAT": "healthcare operations", "PATRQT": "patient request",
}  # fmt: skip
COLUMNS = ("When", "Who", "Through", "What was done", "What", "Why", "Allowed")


def page_of(
    patient: str,
    events: Sequence[Event],
    names: Mapping[str, str],
    used: Sequence[tuple[str, str]],
    following: str,
    zone: ZoneInfo,
) -> str:
    """The page.

    :param used: the parameters in effect.
    :param following: token of the next page, empty on the last one.
    """
    head = "".join(f'<th scope="col">{name}</th>' for name in COLUMNS)
    rows = "".join(_row(event, names, zone) for event in events)
    body = rows or f'<tr><td colspan="{len(COLUMNS)}">No access is recorded in this time.</td></tr>'
    more = urlencode([*used, ("_page", following), ("_format", "html")])
    nav = f'<nav><p><a href="?{escape(more)}" rel="next">Older entries</a></p></nav>' if following else ""
    when = "".join(f" {escape(name)} {escape(text)}." for name, text in used if name in {"start", "end"})
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Access report</title>
<style>{STYLE}</style>
</head>
<body>
<main>
<h1>Access report</h1>
<table>
<caption>Who used the data of {escape(patient)}, the newest first.
Times are those of {escape(str(zone))}.{when}</caption>
<thead><tr>{head}</tr></thead>
<tbody>{body}</tbody>
</table>
{nav}
</main>
</body>
</html>
"""


def _row(event: Event, names: Mapping[str, str], zone: ZoneInfo) -> str:
    access = event.access
    moment = datetime.fromtimestamp(access.at / 1000, UTC).astimezone(zone)
    what = ", ".join(f"{one.type}/{one.id}" for one in event.objects) or "patient data found by a search"
    cells = (
        _who(access, names),
        access.client or "not identified",
        _done(access),
        what,
        PURPOSES.get(access.purpose, access.purpose),
        "yes" if access.outcome == 0 else f"no: {access.reason or 'failed'}",
    )
    shown = f'<th scope="row"><time datetime="{moment.isoformat()}">{moment:%Y-%m-%d %H:%M:%S}</time></th>'
    return f"<tr>{shown}{''.join(_cells(cells))}</tr>"


def _cells(texts: Iterable[str]) -> Iterable[str]:
    return (f"<td>{escape(text)}</td>" for text in texts)


def _who(access: Access, names: Mapping[str, str]) -> str:
    role = f" ({access.role})" if access.role else ""
    return (names.get(access.fhir_user) or access.fhir_user or access.subject or "a program by itself") + role


def _done(access: Access) -> str:
    return f"{ACTIONS.get(access.action, access.action)} ({access.interaction})"
