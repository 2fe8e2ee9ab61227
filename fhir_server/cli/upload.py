"""Send resources to a FHIR server over HTTP so that a second run changes nothing, https://hl7.org/fhir/R4/http.html.

id in the resource                        PUT Type/id
no id, but a full URL urn:uuid:…          PUT Type/… with that id
no id, but an identifier                  POST Type with If-None-Exist
neither                                   PUT Type/… with an id made from the content
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import orjson

from fhir_server.cli.delivery import LANES, Answer, lane_of
from fhir_server.embedded.refused import Refused
from fhir_server.fhir.json import dump
from fhir_server.remote.http import httpx

ATTEMPTS = 6
"""How often one request is sent while the server says 429 or 503, or does not answer."""

LONGEST_WAIT = 30.0
"""Most seconds to wait before another attempt, whatever Retry-After says."""

_JSON = "application/fhir+json"
_URN = re.compile(rb'("reference"\s*:\s*")(urn:[^"\\]+)(")')
_SPECIAL = re.compile(r"([\\$,|])")


@dataclass(frozen=True, slots=True)
class Request:
    """One write: method, path below the base, body and the lane it waits in."""

    method: str
    path: str
    body: bytes
    lane: str
    headers: Mapping[str, str] = field(default_factory=dict)


def update(resource: dict[str, Any]) -> Request:
    """The update-as-create of a resource with an id."""
    return Request("PUT", f"{resource['resourceType']}/{resource['id']}", dump(resource), lane_of(resource))


def request_for(raw: bytes, given_id: str = "", urns: Mapping[str, str] | None = None) -> Request:
    """The write for one resource as it lies in a file; its letters stay, but for an id and ``urn:`` references.

    ``urns`` tells what the ``urn:`` full URLs of Bundle entries stand for. Raises ``ValueError`` for an id that cannot
    be part of a URL.
    """
    if urns and b'"urn:' in raw:
        raw = _URN.sub(lambda found: found[1] + _target(found[2], urns) + found[3], raw)
    resource = orjson.loads(raw)
    type_ = quote(resource["resourceType"], safe="")
    id_ = resource.get("id", given_id)
    criteria = "" if id_ else _criteria(resource.get("identifier"))
    if criteria:
        lane = f"{type_}?{criteria}"
        return Request("POST", type_, raw, lane, {"If-None-Exist": criteria})
    if not id_:
        id_ = hashlib.sha256(raw.strip()).hexdigest()[:32]
    if not isinstance(id_, str) or id_ in {".", ".."}:
        msg = "the id cannot be part of a URL"
        raise ValueError(msg)
    if "id" not in resource:
        raw = b'{"id":' + orjson.dumps(id_) + b"," + raw.lstrip()[1:]
    return Request("PUT", f"{type_}/{quote(id_, safe='')}", raw, lane_of({**resource, "id": id_}))


def _target(urn: bytes, urns: Mapping[str, str]) -> bytes:
    return urns.get(urn.decode(), urn.decode()).encode()


def _criteria(identifiers: Any) -> str:
    """The conditional create's search by the first identifier that has system and value, else by one with a value."""
    found = identifiers if isinstance(identifiers, list) else [identifiers]
    named = [one for one in found if isinstance(one, dict) and isinstance(one.get("value"), str) and one["value"]]
    named.sort(key=lambda one: not isinstance(one.get("system"), str))
    if not named:
        return ""
    parts = [part for part in (named[0].get("system"), named[0]["value"]) if isinstance(part, str)]
    token = "|".join(_SPECIAL.sub(r"\\\1", part) for part in parts)
    return f"identifier={quote(token, safe='')}"


class Upload:
    """A FHIR server to write to; a context manager that keeps its connections."""

    def __init__(self, base: str, lanes: int = LANES) -> None:
        self.base = base.rstrip("/")
        headers = {"Accept": _JSON, "Content-Type": _JSON, "Prefer": "return=minimal"}
        self._client = httpx.AsyncClient(
            headers=headers, timeout=60.0, limits=httpx.Limits(max_connections=lanes, max_keepalive_connections=lanes)
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def check(self) -> None:
        """Raises ``Refused`` unless a FHIR server answers at the base."""
        try:
            answer = await self._client.get(f"{self.base}/metadata")
        except (httpx.HTTPError, httpx.InvalidURL) as fault:
            msg = f"No FHIR server answers at {self.base} ({type(fault).__name__})."
            raise Refused(msg) from None
        if answer.status_code == 404 or _resource(answer.content).get("resourceType") is None:
            msg = f"{self.base} is not the base of a FHIR server: {self.base}/metadata answers {answer.status_code}."
            raise Refused(msg)

    def authorize(self, auth: Any) -> None:
        """What gives each request from now on its token, an ``httpx.Auth``."""
        self._client.auth = auth

    async def send(self, request: Request) -> Answer:
        """Write one resource: 201 is created, any other 2xx present, everything else refused.

        429, 503 and lost connections are tried again up to ``ATTEMPTS`` times; both forms of request may be repeated
        safely. Raises ``Refused`` when no answer comes at all, or the server does not take the token.
        """
        for attempt in range(1, ATTEMPTS + 1):
            pause = min(0.25 * 2**attempt, LONGEST_WAIT)
            try:
                answer = await self._client.request(
                    request.method, f"{self.base}/{request.path}", content=request.body, headers=dict(request.headers)
                )
            except httpx.HTTPError as fault:
                if attempt == ATTEMPTS:
                    msg = f"{self.base} no longer answers ({type(fault).__name__}); run the same command again later."
                    raise Refused(msg) from None
            else:
                if answer.status_code == 401:
                    msg = f"{self.base} does not take the token: it is over, or of another server."
                    raise Refused(msg, "of fhir-server dev: FHIR_TOKEN=$(fhir-server token --client demo-ehr)")
                if answer.status_code not in {429, 503} or attempt == ATTEMPTS:
                    return _answer(answer.status_code, answer.content)
                pause = _retry_after(answer.headers.get("Retry-After"), pause)
            await asyncio.sleep(pause)
        msg = "a request has at least one attempt"
        raise AssertionError(msg)


def _retry_after(stated: str | None, otherwise: float) -> float:
    """Seconds to wait; a date or nothing counts as ``otherwise``."""
    if stated is None or not stated.strip().isdecimal():
        return otherwise
    return min(float(stated), LONGEST_WAIT)


def _answer(status: int, body: bytes) -> Answer:
    if status == 201:
        return Answer("created")
    if 200 <= status < 300:
        return Answer("present")
    return Answer("refused", f"{status} {_reasons(_resource(body))}".rstrip())


def _resource(body: bytes) -> dict[str, Any]:
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def _reasons(outcome: dict[str, Any]) -> str:
    """Text and expression of every issue of an OperationOutcome."""
    found = []
    for issue in outcome.get("issue", ()) if outcome.get("resourceType") == "OperationOutcome" else ():
        text = issue.get("diagnostics") or (issue.get("details") or {}).get("text") or issue.get("code", "")
        places = ", ".join(issue.get("expression") or issue.get("location") or ())
        found.append(f"{text} ({places})" if places else text)
    return "; ".join(found)
