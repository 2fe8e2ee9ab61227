"""Session fixtures: one real MongoDB replica set and one real Valkey per test process.

``FHIR_TEST_MONGO_URI`` and ``FHIR_TEST_REDIS_URL`` name databases that are there already. Under pytest-xdist every
worker starts its own, and its own database name keeps workers apart on a given one.
"""

from __future__ import annotations

import os
import uuid
from typing import TYPE_CHECKING

import pytest

from fhir_server.embedded import mongo, redis
from fhir_server.embedded.folder import Folder

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def database_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Folder]:
    with Folder.open(tmp_path_factory.mktemp("databases")) as folder:
        yield folder


@pytest.fixture(scope="session")
def mongo_uri(database_folder: Folder) -> Iterator[str]:
    with mongo.start(database_folder, os.environ.get("FHIR_TEST_MONGO_URI")) as server:
        yield server.url


@pytest.fixture(scope="session")
def redis_url(database_folder: Folder) -> Iterator[str]:
    with redis.start(database_folder, os.environ.get("FHIR_TEST_REDIS_URL")) as server:
        yield server.url


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What wraps the keys of this test process: a file."""
    return f"file:{tmp_path_factory.mktemp('keys') / 'key'}"


@pytest.fixture(scope="session")
def mongo_database() -> str:
    """A database name of this test process alone."""
    return f"fhir_test_{os.environ.get('PYTEST_XDIST_WORKER', 'main')}_{uuid.uuid4().hex[:8]}"
