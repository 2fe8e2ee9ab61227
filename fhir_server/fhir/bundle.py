"""Bundles written from bodies that are bytes already, https://hl7.org/fhir/R4/bundle.html; no body is parsed again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fhir_server.fhir.json import dump

if TYPE_CHECKING:
    from collections.abc import Iterable
    from decimal import Decimal

MATCH_GRADE = "http://hl7.org/fhir/StructureDefinition/match-grade"


@dataclass(frozen=True, slots=True)
class Response:
    """``Bundle.entry.response``: ``status`` such as ``201 Created``, the rest where it applies."""

    status: str
    location: str = ""
    etag: str = ""
    last_modified: str = ""
    outcome: bytes | None = None


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One version in a history; ``body`` is None for a delete."""

    full_url: str
    body: bytes | None
    method: str
    url: str
    response: Response


def searchset_bytes(
    entries: Iterable[tuple[str, bytes, str]], total: int | None, links: list[tuple[str, str]], bundle_id: str = ""
) -> bytes:
    """A searchset of ``(fullUrl, body, mode)``; mode is ``match``, ``include`` or ``outcome``.

    ``links`` are ``(relation, url)``. An empty fullUrl is left out. ``total`` None says nothing about the total.
    """
    parts = [
        b'{%b"resource":%b,"search":{"mode":"%b"}}' % (_full_url(full_url), body, mode.encode())
        for full_url, body, mode in entries
    ]
    return _bundle("searchset", parts, total, links, bundle_id)


def searched_bytes(
    entries: Iterable[tuple[str, bytes, dict[str, Any]]], total: int | None, links: list[tuple[str, str]]
) -> bytes:
    """A searchset of ``(fullUrl, body, search)``: what ``Bundle.entry.search`` says of an entry, its mode included."""
    parts = [b'{%b"resource":%b,"search":%b}' % (_full_url(url), body, dump(search)) for url, body, search in entries]
    return _bundle("searchset", parts, total, links, "")


def graded_bytes(
    entries: Iterable[tuple[str, bytes, Decimal, str]],
    outcome: bytes | None,
    total: int,
    links: list[tuple[str, str]],
) -> bytes:
    """A searchset of ``(fullUrl, body, score, match-grade)``, then an OperationOutcome if there is something to say.

    https://hl7.org/fhir/R4/extension-match-grade.html
    """
    parts = [
        b'{%b"resource":%b,"search":%b}'
        % (
            _full_url(full_url),
            body,
            dump({"extension": [{"url": MATCH_GRADE, "valueCode": grade}], "mode": "match", "score": score}),
        )
        for full_url, body, score, grade in entries
    ]
    if outcome is not None:
        parts.append(b'{"resource":%b,"search":{"mode":"outcome"}}' % outcome)
    return _bundle("searchset", parts, total, links, "")


def history_bytes(
    entries: Iterable[HistoryEntry], total: int | None, links: list[tuple[str, str]], last_updated: str = ""
) -> bytes:
    """A history, newest version first as the caller orders it; ``last_updated`` is an instant."""
    parts = [
        b'{%b%b"request":%b,"response":%b}'
        % (
            _full_url(entry.full_url),
            b'"resource":%b,' % entry.body if entry.body is not None else b"",
            dump({"method": entry.method, "url": entry.url}),
            _response(entry.response),
        )
        for entry in entries
    ]
    return _bundle("history", parts, total, links, "", last_updated)


def response_bytes(kind: str, entries: Iterable[tuple[str, bytes | None, Response]]) -> bytes:
    """A ``batch-response`` or ``transaction-response`` of ``(fullUrl, body, response)`` in the requests' order."""
    parts = [
        b'{%b%b"response":%b}'
        % (_full_url(full_url), b'"resource":%b,' % body if body is not None else b"", _response(response))
        for full_url, body, response in entries
    ]
    return _bundle(kind, parts, None, [], "")


def _bundle(
    kind: str,
    parts: list[bytes],
    total: int | None,
    links: list[tuple[str, str]],
    bundle_id: str,
    last_updated: str = "",
) -> bytes:
    head: dict[str, Any] = {"resourceType": "Bundle"}
    if bundle_id:
        head["id"] = bundle_id
    if last_updated:
        head["meta"] = {"lastUpdated": last_updated}
    head["type"] = kind
    if total is not None:
        head["total"] = total
    if links:
        head["link"] = [{"relation": relation, "url": url} for relation, url in links]
    opening = dump(head)
    # FHIR JSON has no empty arrays.
    return b'%b,"entry":[%b]}' % (opening[:-1], b",".join(parts)) if parts else opening


def _full_url(full_url: str) -> bytes:
    return b'"fullUrl":%b,' % dump(full_url) if full_url else b""


def _response(response: Response) -> bytes:
    said = {
        "status": response.status,
        "location": response.location,
        "etag": response.etag,
        "lastModified": response.last_modified,
    }
    head = dump({name: value for name, value in said.items() if value})
    return head if response.outcome is None else b'%b,"outcome":%b}' % (head[:-1], response.outcome)
