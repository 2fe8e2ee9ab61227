"""``read`` and ``vread``, https://hl7.org/fhir/R4/http.html#read."""

from __future__ import annotations

from datetime import UTC
from email.utils import parsedate_to_datetime

from fhir_server.rest.answer import Answer, accessed, version_headers
from fhir_server.rest.context import Context
from fhir_server.rest.subsets import subset_read
from fhir_server.services import resources
from fhir_server.store.resources import Stored


async def read(context: Context) -> Answer:
    """The current version, or the part of it that is asked for; 304 when the client has it."""
    type_ = context.segments[0]
    subset = subset_read(context, type_)
    stored = await resources.read(context.world, type_, context.segments[1])
    headers = version_headers(stored)
    if _has_it(context, stored):
        return Answer(304, b"", headers, accessed=accessed(stored))
    return Answer(200, subset.show(type_, stored.body), headers, accessed=accessed(stored))


async def vread(context: Context) -> Answer:
    """One version, or the part of it that is asked for."""
    type_ = context.segments[0]
    subset = subset_read(context, type_)
    stored = await resources.read_version(context.world, type_, context.segments[1], context.segments[3])
    return Answer(200, subset.show(type_, stored.body), version_headers(stored), accessed=accessed(stored))


def _has_it(context: Context, stored: Stored) -> bool:
    """Conditional read: If-None-Match wins over If-Modified-Since; a tag that is none of ours is another version.

    The version without quotes counts too: fhirpy sends it so. What is computed is always answered anew.
    """
    if not stored.version:
        return False
    known = context.headers.get("if-none-match")
    if known is not None:
        tags = {one.strip().removeprefix("W/").strip('"') for one in known.split(",")}
        return "*" in tags or str(stored.version) in tags
    since = context.headers.get("if-modified-since")
    if since is None:
        return False
    try:
        moment = parsedate_to_datetime(since)
    except ValueError:
        return False
    return stored.at // 1000 <= moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()
