"""The entries of a batch or transaction, each as a request of its own. https://hl7.org/fhir/R4/http.html#transaction"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any
from urllib.parse import quote, unquote

from fhir_server.errors import Category, Issue, Problem, problem
from fhir_server.fhir.json import dump
from fhir_server.fhir.temporal import instant_ms
from fhir_server.rest.context import Context
from fhir_server.rest.interactions import create, update
from fhir_server.rest.patches import change_of
from fhir_server.services.bundles.entries import Entry

FHIR_JSON = "application/fhir+json"
WRITES = frozenset({"create", "update", "patch", "delete"})
"""Routes of the router that write one resource."""

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:", re.ASCII)
_AS_SENT = "%!$&'()*+,;=:@/?|[]{}^~\"<>\\`-._"
_HEADERS = {"ifMatch": "if-match", "ifNoneMatch": "if-none-match", "ifNoneExist": "if-none-exist"}


@dataclass
class EntryRequest(Context):
    """One entry as a request; its resource was read with the Bundle."""

    place: int = 0
    given: dict[str, Any] | None = None
    full_url: str = ""

    async def body(self, limit: int | None = None) -> bytes:  # noqa: ARG002  the Bundle was measured
        if self._body is None:
            self._body = dump(self.given) if self.given is not None else b""
        return self._body

    async def resource(self) -> dict[str, Any]:
        if self.given is None:
            raise problem(Category.REQUIRED, "this entry needs a resource")
        return self.given


def entries_of(context: Context, bundle: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The entries of a Bundle whose own elements are as they should be; what is in the resources is not looked at.

    :raises Problem: 400 with every fault, 413 for too many entries.
    """
    if bundle.get("resourceType") != "Bundle":
        raise problem(Category.INVALID, "the body is not a Bundle", "resourceType")
    if bundle.get("type") not in ("batch", "transaction"):
        raise problem(Category.INVALID, "a Bundle that is sent here is a batch or a transaction", "Bundle.type")
    entries = bundle.get("entry", [])
    limit = context.world.settings.bundle_limit
    if isinstance(entries, list) and len(entries) > limit:
        raise problem(Category.TOO_LARGE, f"a Bundle has at most {limit} entries", "Bundle.entry")
    if entries == []:
        return []
    own = {**bundle, "entry": [_without_resource(one) for one in entries] if isinstance(entries, list) else entries}
    context.world.validator.check(own, "Bundle")
    issues = list(_faults(entries))
    if issues:
        raise Problem(Category.INVALID, tuple(issues))
    found: list[dict[str, Any]] = entries
    return found


def _without_resource(entry: Any) -> Any:
    if not isinstance(entry, dict) or set(entry) <= {"resource"}:
        return entry if entry != {} else {"id": "empty"}
    return {name: value for name, value in entry.items() if name != "resource"}


def _faults(entries: Iterable[dict[str, Any]]) -> Iterable[Issue]:
    seen: set[str] = set()
    for place, entry in enumerate(entries):
        expression = f"Bundle.entry[{place}]"
        if not {"method", "url"} <= entry.get("request", {}).keys():
            text = "bdl-3: an entry needs a request with method and url"
            yield Issue(text, f"{expression}.request", category=Category.REQUIRED)
        resource = entry.get("resource", {"resourceType": ""})
        if not isinstance(resource, dict) or not isinstance(resource.get("resourceType"), str):
            yield Issue("this is not a FHIR resource", f"{expression}.resource", category=Category.STRUCTURE)
        full_url = entry.get("fullUrl")
        if full_url in seen:
            yield Issue("bdl-7: two entries have the same full URL", f"{expression}.fullUrl")
        elif full_url:
            seen.add(full_url)


async def request_of(context: Context, place: int, entry: Mapping[str, Any]) -> EntryRequest:
    """An entry as a request; the caller and the preferences are those of the whole.

    :raises Problem: 400 for an address outside of this server, and for a condition that is none; 413.
    """
    said, resource = entry["request"], entry.get("resource")
    segments, query = _address(said["url"], (f"{context.base}/", *context.world.bases))
    if resource is not None and len(await context.body()) > context.world.settings.body_limit:
        _check_size(resource, context.world.settings.body_limit)
    headers = {header: said[name] for name, header in _HEADERS.items() if name in said}
    headers |= {name: context.headers[name] for name in ("prefer",) if name in context.headers}
    if "ifModifiedSince" in said:
        headers["if-modified-since"] = _http_date(said["ifModifiedSince"])
    body = None
    if resource is not None:
        headers["content-type"] = FHIR_JSON
        if said["method"] == "PATCH" and resource["resourceType"] != "Parameters":
            headers["content-type"], body = _binary(resource)
    return EntryRequest(
        context.world, said["method"], segments, query, headers, context.base, context.caller, context.request_id,
        context.receive, context.network, context.purpose, body, place=place, given=resource,
        full_url=entry.get("fullUrl", ""),
    )  # fmt: skip


def _check_size(resource: Mapping[str, Any], limit: int) -> None:
    """:raises Problem: 413 for a resource that is larger than it may be outside of a Bundle."""
    if len(dump(resource)) > limit:
        raise problem(Category.TOO_LARGE, f"the resource is larger than {limit} bytes", str(resource["resourceType"]))


def _address(url: str, bases: Iterable[str]) -> tuple[list[str], bytes]:
    """Path segments and query of a URL below our base."""
    for base in bases:
        if f"{url}/"[: len(base)].lower() == base.lower():
            url = url[len(base) :]
            break
    path, _, query = url.partition("?")
    segments = [unquote(one) for one in path.split("/") if one]
    outside = _SCHEME.match(path) or path.startswith("//") or "#" in url
    if outside or any(one in {".", ".."} or "/" in one or "\\" in one for one in segments):
        raise problem(Category.INVALID, "the URL of an entry lies below the base of this server", "url")
    return segments, quote(query, safe=_AS_SENT).encode()


def _http_date(text: str) -> str:
    """An instant as the header says it."""
    try:
        return formatdate(instant_ms(text) / 1000, usegmt=True)
    except ValueError:
        raise problem(Category.INVALID, "ifModifiedSince is not an instant", "ifModifiedSince") from None


def _binary(resource: Mapping[str, Any]) -> tuple[str, bytes]:
    """Media type and content of a patch that is sent as a Binary."""
    kind, data = resource.get("contentType"), resource.get("data")
    if resource["resourceType"] != "Binary" or not isinstance(kind, str) or not isinstance(data, str):
        text = "a patch is a Binary with contentType and data, or Parameters"
        raise problem(Category.INVALID, text, "resourceType")
    try:
        return kind, base64.b64decode("".join(data.split()), validate=True)
    except (binascii.Error, ValueError):
        raise problem(Category.INVALID, "the data of the Binary is not base64", "Binary.data") from None


async def write_of(request: EntryRequest, route: str) -> Entry:
    """The write that a request asks for; its content is looked at later.

    :raises Problem: 400 and 415 for what cannot be read.
    """
    type_ = request.segments[0]
    id_ = request.segments[1] if len(request.segments) > 1 else ""
    pairs = None if id_ else request.query
    resource, change = None, None
    if route == "create":
        resource = await request.resource()
        create.check_type(type_, resource)
        pairs = create.criteria(request)
    elif route == "update":
        resource = await update.content(request)
    elif route == "patch":
        change = change_of(request.content_type, await request.body())
    return Entry(
        request.place, request.method, type_, id_, pairs, resource, change, request.condition, request.full_url
    )
