"""Fixtures: a real MongoDB and Redis for the session, and the server in this process and as processes of its own."""

from tests.databases import database_folder, keys, mongo_database, mongo_uri, redis_url
from tests.server import app, client, go, issuer, settings, two_servers, world

__all__ = [
    "app", "client", "database_folder", "go", "issuer", "keys", "mongo_database", "mongo_uri", "redis_url", "settings",
    "two_servers", "world",
]  # fmt: skip
