"""Fixtures: a real MongoDB and Redis for the session, and the server in this process and as processes of its own."""

import pytest

from tests.databases import database_folder, keys, mongo_database, mongo_uri, redis_url
from tests.server import app, client, go, issuer, settings, two_servers, world

__all__ = [
    "app", "client", "database_folder", "go", "issuer", "keys", "mongo_database", "mongo_uri", "redis_url", "settings",
    "two_servers", "world",
]  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Quick tests come last, so that processes that share the files end together (with ``--no-loadscope-reorder``)."""
    items.sort(key=lambda one: one.nodeid.startswith("tests/unit/"))
