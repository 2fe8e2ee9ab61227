"""The collections of the authorization server as one value, and their indexes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from pymongo import IndexModel

from fhir_server.store.authorization.clients import CLIENTS, Clients
from fhir_server.store.authorization.grants import GRANTS, Grants
from fhir_server.store.authorization.signing_keys import SIGNING_KEYS, SigningKeys
from fhir_server.store.authorization.tickets import AUTHORIZE_REQUESTS, CODES, LAUNCHES, REFRESH_TOKENS, Tickets
from fhir_server.store.authorization.token_ids import TOKEN_IDS, TokenIds
from fhir_server.store.driver import Connection
from fhir_server.store.sealing import Sealer

_LEAVING = IndexModel([("until", 1)], expireAfterSeconds=0)

INDEXES: Mapping[str, Sequence[IndexModel]] = {
    CLIENTS: [IndexModel([("origins", 1)], partialFilterExpression={"disabled": False})],
    SIGNING_KEYS: [IndexModel([("use", 1), ("serial", 1)], unique=True), _LEAVING],
    GRANTS: [IndexModel([("account", 1), ("created", -1)]), IndexModel([("client", 1)]), _LEAVING],
    AUTHORIZE_REQUESTS: [_LEAVING],
    LAUNCHES: [_LEAVING],
    CODES: [_LEAVING],
    REFRESH_TOKENS: [_LEAVING],
    TOKEN_IDS: [_LEAVING],
}
"""By collection; ``until`` is when a document leaves."""


@dataclass(frozen=True, slots=True)
class Authorization:
    """What the authorization server keeps."""

    clients: Clients
    signing_keys: SigningKeys
    grants: Grants
    requests: Tickets
    launches: Tickets
    codes: Tickets
    refresh_tokens: Tickets
    token_ids: TokenIds

    @classmethod
    def over(cls, connection: Connection, sealer: Sealer) -> Self:
        """The collections of a connection; the sealer covers private keys and scopes of grants."""
        return cls(
            Clients(connection),
            SigningKeys(connection, sealer),
            Grants(connection, sealer),
            Tickets(connection, AUTHORIZE_REQUESTS),
            Tickets(connection, LAUNCHES),
            Tickets(connection, CODES),
            Tickets(connection, REFRESH_TOKENS),
            TokenIds(connection),
        )
