"""A token that opens nothing."""

from __future__ import annotations


class InvalidToken(Exception):  # noqa: N818  OAuth's own word, https://www.rfc-editor.org/rfc/rfc6750#section-3.1
    """``reason`` is a word for the log and the record of access; nothing of the token stands in it.

    malformed, type, algorithm, header, signature, key, issuer, audience, expired, early, claims, revoked, client,
    account, session, context
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
