"""The Idempotency-Key header of a creating POST.

https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping

from fhir_server.errors import Category, problem
from fhir_server.rest.answer import Answer
from fhir_server.rest.context import Context
from fhir_server.services.keyed import Keyed
from fhir_server.store.resources import Stored

LONGEST_KEY = 255


async def keyed(context: Context, operation: str, render: Callable[[Stored, int], Answer]) -> Keyed | None:
    """The request's key, scoped by client and operation; None if it has none.

    The fingerprint covers path, query, body and conditional headers: another request under the key is refused.

    :raises Problem: 400 for a key that is empty or longer than 255 characters.
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
    scope = hashlib.sha256(f"{context.caller.client}\n{context.segments[0]}\n{operation}\n{key}".encode()).hexdigest()

    def answer(stored: Stored, status: int) -> tuple[int, Mapping[str, str], bytes]:
        made = render(stored, status)
        return made.status, made.headers, made.body

    return Keyed(scope, digest.hexdigest(), answer)
