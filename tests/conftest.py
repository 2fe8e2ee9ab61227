"""Fixtures: a real MongoDB and Redis for the session, and the server in this process and as processes of its own."""

from pathlib import Path

import pytest

from tests.databases import database_folder, keys, mongo_database, mongo_uri, redis_url
from tests.server import app, client, go, issuer, settings, two_servers, world

__all__ = [
    "app", "client", "database_folder", "go", "issuer", "keys", "mongo_database", "mongo_uri", "redis_url", "settings",
    "two_servers", "world",
]  # fmt: skip

LONG = ("cli/test_dev.py", "workers/", "subscriptions/test_emr.py", "waitlist/test_simulation.py", "rest/test_fuzz.py")
"""Files whose few tests take long: begun first, so that at the end no process waits for another."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    items.sort(key=lambda one: not one.path.relative_to(here).as_posix().startswith(LONG))
