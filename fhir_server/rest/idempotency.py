"""The Idempotency-Key header of a creating POST.

https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping

from fhir_server.errors import Category, problem
from fhir_server.rest.answer import Answer
from fhir_server.rest.context import Context
from fhir_server.services.keyed import Key, Keyed
from fhir_server.store.resources import Stored

LONGEST_KEY = 255


async def keyed(context: Context, operation: str, render: Callable[[Stored, int], Answer]) -> Keyed | None:
    """The request's key, scoped by client and operation; None if it has none.

    :raises Problem: 400 for a key that is empty or longer than 255 characters.
    """
    found = await key_of(context, operation)
    if found is None:
        return None

    def answer(stored: Stored, status: int) -> tuple[int, Mapping[str, str], bytes]:
        made = render(stored, status)
        return made.status, made.headers, made.body

    return Keyed(found.key, found.fingerprint, answer)


async def key_of(context: Context, operation: str) -> Key | None:
    """As :func:`keyed`, for a request whose answer is made by itself.

    The fingerprint covers path, query, body and conditional headers: another request under the key is refused.
    """
    header = context.headers.get("idempotency-key")
    if header is None:
        return None
    key = header.strip().strip('"')
    if not 0 < len(key) <= LONGEST_KEY:
        raise problem(Category.INVALID, "the Idempotency-Key has 1 to 255 characters", "Idempotency-Key")
    digest = hashlib.sha256()
    for part in (
        "/".join(context.segments).encode(),
        context.query_string,
        context.headers.get("if-none-exist", "").encode(),
        await context.body(),
    ):
        digest.update(len(part).to_bytes(8, "big") + part)
    type_ = next(iter(context.segments), "")
    scope = hashlib.sha256(f"{context.caller.party}\n{type_}\n{operation}\n{key}".encode()).hexdigest()
    return Key(scope, digest.hexdigest())
