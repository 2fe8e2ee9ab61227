"""What a machine asks MongoDB before the store uses it: is it there, is it a replica set, who is primary.

Synchronous on purpose: these calls run before an event loop exists, in commands and in tests.
https://www.mongodb.com/docs/manual/reference/command/hello/
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from pymongo import MongoClient
from pymongo.errors import (
    ConfigurationError,
    ConnectionFailure,
    InvalidURI,
    OperationFailure,
    PyMongoError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

REPLICA_SET = "rs0"
"""Name of the replica set on one machine."""

_ALREADY_INITIALIZED = 23
_AUTHENTICATION_FAILED = (13, 18, 8000)
_POLL_SECONDS = 0.02


class UnreachableError(Exception):
    """MongoDB does not answer, or not with what was asked; the text is one sentence without credentials."""


def hello(uri: str, *, seconds: float = 3.0) -> dict[str, Any]:
    """The ``hello`` answer of the first host of ``uri`` that answers, whatever its state.

    ``setName`` is absent on a standalone; ``msg`` is ``isdbgrid`` on mongos.
    Raises UnreachableError when no host answers within ``seconds``.
    """
    return _ask(uri, "hello", seconds)


def server_version(uri: str, *, seconds: float = 3.0) -> tuple[int, ...]:
    """Version of the server, such as ``(6, 0, 5)``. Raises UnreachableError."""
    version = str(_ask(uri, "buildInfo", seconds)["version"]).split("-", 1)[0]
    return tuple(int(part) for part in version.split("."))


def default_write_concern(uri: str, *, seconds: float = 3.0) -> dict[str, Any]:
    """The cluster-wide default write concern, such as ``{"w": "majority", "wtimeout": 0}``. Raises UnreachableError."""
    return dict(_ask(uri, "getDefaultRWConcern", seconds).get("defaultWriteConcern") or {})


def count(uri: str, database: str, collection: str, *, seconds: float = 3.0) -> int:
    """About how many documents a collection holds, 0 where there is none. Raises UnreachableError."""
    try:
        with _client(uri, seconds) as client:
            return client[database][collection].estimated_document_count()
    except PyMongoError as failure:
        raise UnreachableError(_sentence(uri, failure)) from failure


def known(uri: str, database: str, collection: str, ids: Iterable[str], *, seconds: float = 3.0) -> list[str]:
    """Which of these ids a collection holds. Raises UnreachableError."""
    try:
        with _client(uri, seconds) as client:
            rows = client[database][collection].find({"_id": {"$in": list(ids)}}, {"_id": 1}).sort("_id")
            return [str(one["_id"]) for one in rows]
    except PyMongoError as failure:
        raise UnreachableError(_sentence(uri, failure)) from failure


def wait_primary(uri: str, seconds: float) -> str:
    """Wait until ``uri`` leads to a writable primary; answers its ``host:port``. Raises UnreachableError.

    A mongos counts as a primary: it finds the one of each shard.
    """
    try:
        with _client(uri, seconds) as client:
            client.admin.command("ping")
            address = client.address
    except PyMongoError as failure:
        raise UnreachableError(_sentence(uri, failure)) from failure
    return f"{address[0]}:{address[1]}" if address else "unknown"


class Node:
    """One mongod, spoken to directly, in any replica set state; a context manager."""

    def __init__(self, uri: str, *, seconds: float = 3.0) -> None:
        """Connect to the first host of ``uri``; nothing is sent before the first question."""
        self.uri = next(_direct(uri))
        self._client = _client(self.uri, seconds)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def hello(self) -> dict[str, Any]:
        """Its ``hello`` answer. Raises UnreachableError."""
        return self._command("hello")

    def initiate(self, host: str) -> bool:
        """Make it the only member of a new replica set under the name ``host`` (``address:port``).

        False where it has a configuration already. Raises UnreachableError.
        https://www.mongodb.com/docs/manual/reference/command/replSetInitiate/
        """
        config = {"_id": REPLICA_SET, "members": [{"_id": 0, "host": host}]}
        try:
            self._client.admin.command("replSetInitiate", config)
        except OperationFailure as failure:
            if failure.code == _ALREADY_INITIALIZED:
                return False
            raise UnreachableError(_sentence(self.uri, failure)) from failure
        except PyMongoError as failure:
            raise UnreachableError(_sentence(self.uri, failure)) from failure
        return True

    def members(self) -> list[str]:
        """``host:port`` of every member in its configuration. Raises UnreachableError."""
        return [member["host"] for member in self._command("replSetGetConfig")["config"]["members"]]

    def reconfigure(self, host: str) -> None:
        """Give the only member of its set the name ``host``: its port changed. Raises UnreachableError.

        https://www.mongodb.com/docs/manual/reference/command/replSetReconfig/
        """
        config = self._command("replSetGetConfig")["config"]
        config["version"] += 1
        config["members"][0]["host"] = host
        self._command("replSetReconfig", config, force=True)

    def become_primary(self, host: str, seconds: float, alive: Callable[[], bool] = lambda: True) -> None:
        """Initiate or rename as needed, then wait until this single node is a writable primary.

        ``alive`` tells whether its process still runs. Raises UnreachableError after ``seconds`` or at its end.
        """
        deadline = time.monotonic() + seconds
        while True:
            # A node that changes its state closes its connections: that is no failure yet.
            with contextlib.suppress(UnreachableError):
                if self._is_primary(host):
                    return
            if time.monotonic() > deadline or not alive():
                msg = f"MongoDB at {host} did not become a writable primary within {seconds:g} s."
                raise UnreachableError(msg)
            time.sleep(_POLL_SECONDS)

    def _is_primary(self, host: str) -> bool:
        """Whether it is primary; where it is not, take the next step towards it."""
        answer = self.hello()
        # A node whose configured port is no longer its own reports no set name, just as a new one does.
        if "setName" not in answer and not self.initiate(host) and self.members() != [host]:
            self.reconfigure(host)
        return bool(answer.get("isWritablePrimary"))

    def _command(self, name: str, value: Any = 1, **more: Any) -> dict[str, Any]:
        try:
            return dict(self._client.admin.command(name, value, **more))
        except PyMongoError as failure:
            raise UnreachableError(_sentence(self.uri, failure)) from failure


def _ask(uri: str, command: str, seconds: float) -> dict[str, Any]:
    """Ask the hosts of ``uri`` one after the other; the first answer counts."""
    last: PyMongoError | None = None
    try:
        for direct in _direct(uri):
            try:
                with _client(direct, seconds) as client:
                    return dict(client.admin.command(command))
            except ConnectionFailure as failure:
                last = failure
    except PyMongoError as failure:
        last = failure
    raise UnreachableError(_sentence(uri, last)) from last


def _client(uri: str, seconds: float) -> MongoClient[dict[str, Any]]:
    milliseconds = max(1, int(seconds * 1000))
    return MongoClient(uri, serverSelectionTimeoutMS=milliseconds, connectTimeoutMS=milliseconds)


def _direct(uri: str) -> Iterator[str]:
    """One URI per host that speaks to that host alone; a ``mongodb+srv`` URI stays as it is."""
    parts = urlsplit(uri)
    if parts.scheme not in {"mongodb", "mongodb+srv"}:
        msg = "A MongoDB URI begins with mongodb:// or mongodb+srv://."
        raise UnreachableError(msg)
    if parts.scheme == "mongodb+srv":
        yield uri
        return
    options = [
        (name, value)
        for name, value in parse_qsl(parts.query, keep_blank_values=True)
        if name.lower() not in {"replicaset", "directconnection", "loadbalanced"}
    ]
    query = urlencode([*options, ("directConnection", "true")])
    login, at, hosts = parts.netloc.rpartition("@")
    for host in hosts.split(","):
        yield urlunsplit((parts.scheme, f"{login}{at}{host}", parts.path or "/", query, ""))


def _sentence(uri: str, failure: PyMongoError | None) -> str:
    """One sentence on why MongoDB did not answer, without the credentials of ``uri``."""
    where = urlsplit(uri).netloc.rpartition("@")[2]
    match failure:
        case InvalidURI() | ConfigurationError():
            return f"The MongoDB URI is not valid: {str(failure).rstrip('.')}."
        case OperationFailure() if failure.code in _AUTHENTICATION_FAILED:
            return f"MongoDB at {where} refuses the credentials of the URI."
        case OperationFailure():
            return f"MongoDB at {where} refuses: {(failure.details or {}).get('errmsg', failure)}."
        case _ if "refused" in str(failure):
            return f"MongoDB does not answer at {where}: connection refused."
        case _ if "No replica set members" in str(failure) or "No primary available" in str(failure):
            return f"MongoDB at {where} has no writable primary."
        case _:
            return f"MongoDB does not answer at {where}."
