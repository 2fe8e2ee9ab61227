"""The compose file: settings that exist, keys on a volume, nothing that another machine reaches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from fhir_server.settings import Settings

ROOT = Path(__file__).parents[2]


def test_the_server_has_keys_a_base_and_a_health_check_and_nothing_is_published() -> None:
    compose: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    services = compose["services"]
    server = services["server"]
    stated = server["environment"]
    assert set(stated) <= {f"FHIR_{name.upper()}" for name in Settings.model_fields}
    assert stated["FHIR_KEYS"] == "${FHIR_KEYS:-file:/keys/key}"
    assert server["volumes"] == ["keys:/keys"]
    assert "keys" in compose["volumes"]
    assert stated["FHIR_BASE_URL"].startswith("${FHIR_BASE_URL:-http://127.0.0.1:")
    assert stated["FHIR_HOST"] == "127.0.0.1"
    for service in services.values():
        assert service["healthcheck"]["test"][0] == "CMD"
        assert all(one.startswith("127.0.0.1:") for one in service.get("ports", ()))
    assert set(server["depends_on"]) == {"mongo", "valkey"}


def test_worker_and_beat_are_given_what_the_server_is_given() -> None:
    services: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    commands = {"worker": "worker --only events", "messages": "worker --only messages", "beat": "beat"}
    for name, command in commands.items():
        assert services[name]["command"] == ["fhir-server", *command.split()]
        assert services[name]["environment"] == services["server"]["environment"]
        assert services[name]["image"] == services["server"]["image"]
        assert services[name]["volumes"] == services["server"]["volumes"]
        assert services[name]["read_only"]
