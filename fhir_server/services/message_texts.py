"""A clinic's own words for messages: the extension ``message-template`` on its Organization, checked when written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, get_args

from fhir_server.errors import Category, Issue
from fhir_server.messages.checking import check_template
from fhir_server.messages.templates import Kind, Part, check_key
from fhir_server.services.shapes import OWN, value_of

TEMPLATE_URL = f"{OWN}message-template"


def overrides_of(organization: Mapping[str, Any]) -> dict[str, str]:
    """The clinic's texts by ``<kind>/<language>/<part>``; of two for the same the last."""
    return {key: text for _, key, text in _stated(organization)}


def problems(organization: Mapping[str, Any]) -> list[Issue]:
    """What is wrong with the texts of an Organization whose extensions have their shape."""
    found: list[Issue] = []
    for place, key, text in _stated(organization):
        wrong = check_key(key)
        if wrong:
            found.append(Issue(wrong, place, category=Category.INVALID))
            continue
        kind, language, part = key.split("/")
        faults = check_template(text, _one(get_args(Part), part), kind=_one(get_args(Kind), kind), language=language)
        found += (Issue(one, place, category=Category.RULE) for one in faults)
    return found


def _one(known: tuple[Any, ...], name: str) -> Any:
    return next(one for one in known if one == name)


def _stated(organization: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Place, key and text of each."""
    for index, extension in enumerate(organization.get("extension", ())):
        if extension.get("url") == TEMPLATE_URL:
            parts = {one.get("url"): value_of(one)[1] for one in extension.get("extension", ())}
            key = "/".join(str(parts.get(name, "")) for name in ("message", "language", "part"))
            yield f"Organization.extension[{index}]", key, str(parts.get("text", ""))
