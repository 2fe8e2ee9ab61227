"""What a handler receives: the request as it was read, the caller, the world, and the client's preferences."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import parse_qsl

from fhir_server.errors import Category, problem
from fhir_server.fhir.json import parse
from fhir_server.fhir.xml import from_xml
from fhir_server.services.conditions import Condition
from fhir_server.services.world import Caller, World

_FHIR_VERSION = re.compile(r"fhirversion\s*=\s*\"?([^\s;\",]*)", re.IGNORECASE)
_ETAG = re.compile(r'W/"([^"]*)"|"([^"]*)"|(\*)')
JSON_TYPES = frozenset({"application/fhir+json", "application/json", "text/json", "application/json+fhir"})
XML_TYPES = frozenset({"application/fhir+xml", "application/xml", "text/xml", "application/xml+fhir"})
PATCH_JSON = "application/json-patch+json"
RETURNS = frozenset({"minimal", "representation", "OperationOutcome"})
"""What ``Prefer: return`` may ask for. https://hl7.org/fhir/R4/http.html#ops"""
MOST_PARAMETERS = 1000


@dataclass
class Context:
    """One request below the FHIR base. ``segments`` is the path behind the base, decoded, without empty parts.

    ``network`` is the caller's address, ``purpose`` a code of v3-ActReason for which they ask.
    """

    world: World
    method: str
    segments: Sequence[str]
    query_string: bytes
    headers: Mapping[str, str]
    base: str
    caller: Caller
    request_id: str
    receive: Callable[[], Awaitable[Any]]
    network: str = ""
    purpose: str = ""
    _body: bytes | None = field(default=None)

    @cached_property
    def query(self) -> list[tuple[str, str]]:
        """Decoded query pairs in their order."""
        try:
            return parse_qsl(
                self.query_string.decode("ascii"), keep_blank_values=True, errors="strict",
                max_num_fields=MOST_PARAMETERS,
            )  # fmt: skip
        except (UnicodeDecodeError, ValueError):
            raise problem(Category.INVALID, "the query is not URL-encoded UTF-8, or too long") from None

    async def body(self, limit: int | None = None) -> bytes:
        """The whole body; ``limit`` in bytes is that of a resource unless the first who asks says another.

        :raises Problem: 413 when it is over the limit.
        """
        if self._body is not None:
            return self._body
        limit = limit or self.world.settings.body_limit
        stated = self.headers.get("content-length", "")
        if stated.isdecimal() and int(stated) > limit:
            raise problem(Category.TOO_LARGE, f"the body is larger than {limit} bytes")
        parts, size = [], 0
        while True:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise problem(Category.INVALID, "the client went away before the body ended")
            part = message.get("body", b"")
            size += len(part)
            if size > limit:
                raise problem(Category.TOO_LARGE, f"the body is larger than {limit} bytes")
            parts.append(part)
            if not message.get("more_body"):
                self._body = b"".join(parts)
                return self._body

    @property
    def content_type(self) -> str:
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    async def resource(self) -> dict[str, Any]:
        """The body as a FHIR resource in the shape of JSON, whichever format it came in.

        :raises Problem: 415 for another format, 400 for what is no resource.
        """
        if self.content_type in XML_TYPES:
            return from_xml(await self.body())
        if self.content_type not in JSON_TYPES:
            text = "the body must be application/fhir+json or application/fhir+xml"
            raise problem(Category.MEDIA_TYPE, text)
        resource = parse(await self.body())
        if not isinstance(resource, dict) or not isinstance(resource.get("resourceType"), str):
            raise problem(Category.STRUCTURE, "the body is not a FHIR resource", "resourceType")
        return resource

    async def form(self) -> list[tuple[str, str]]:
        """Decoded pairs of a form body (POST ``_search``)."""
        if not self.content_type and not await self.body():
            return []
        if self.content_type != "application/x-www-form-urlencoded":
            raise problem(Category.MEDIA_TYPE, "the body must be application/x-www-form-urlencoded")
        try:
            text = (await self.body()).decode()
            return parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=MOST_PARAMETERS)
        except ValueError:
            raise problem(Category.INVALID, "the form is not URL-encoded UTF-8, or too long") from None

    @cached_property
    def condition(self) -> Condition:
        """If-Match and If-None-Match of a write.

        :raises Problem: 400 for a malformed one.
        """
        none_match = self.headers.get("if-none-match")
        if none_match is not None and none_match.strip() != "*":
            raise problem(Category.INVALID, "If-None-Match of a write must be *", "If-None-Match")
        match = self.headers.get("if-match")
        versions = () if match is None else etags(match, "If-Match")
        if match is not None and not versions:
            raise problem(Category.INVALID, "If-Match is empty: it would protect nothing", "If-Match")
        return Condition(versions, none_match is not None)

    def prefers(self, name: str) -> str:
        """The value of one preference: ``prefers("return")`` is ``minimal``, ``representation`` …"""
        for part in self.headers.get("prefer", "").replace(";", ",").split(","):
            key, _, value = part.strip().partition("=")
            if key.lower() == name:
                return value.strip().strip('"')
        return ""

    @cached_property
    def strict(self) -> bool:
        """``Prefer: handling=strict``.

        :raises Problem: 400 for another value than strict and lenient.
        """
        handling = self.prefers("handling")
        if handling not in {"", "strict", "lenient"}:
            raise problem(Category.INVALID, "Prefer: handling is strict or lenient", "Prefer")
        return handling == "strict"


def speaks_r4(media_type: str) -> bool:
    """Whether a media type names no ``fhirVersion`` or that of R4."""
    found = _FHIR_VERSION.search(media_type)
    return found is None or found[1].startswith("4.0")


def etags(text: str, name: str) -> tuple[str, ...]:
    """Versions in an If-Match or If-None-Match header: ``W/"3", W/"4"`` or ``*``.

    :raises Problem: 400 for anything else.
    """
    found = []
    for part in filter(None, (one.strip() for one in text.split(","))):
        match = _ETAG.fullmatch(part)
        if match is None or not (match[3] or (match[1] or match[2] or "").isdecimal()):
            raise problem(Category.INVALID, f'{name} is not an entity tag such as W/"3"', name)
        found.append(match[3] or match[1] or match[2])
    return tuple(found)
