"""Forwarded headers are believed only of those whom the environment names."""

from __future__ import annotations

import pytest

from fhir_server.cli.dev import _server
from fhir_server.cli.start import behind_proxy
from fhir_server.settings import Settings


@pytest.mark.parametrize(("named", "believed"), [(None, False), ("", False), ("10.0.0.1", True), ("*", True)])
def test_nobody_is_believed_who_is_not_named(
    monkeypatch: pytest.MonkeyPatch, named: str | None, *, believed: bool
) -> None:
    monkeypatch.delenv("FORWARDED_ALLOW_IPS", raising=False)
    if named is not None:
        monkeypatch.setenv("FORWARDED_ALLOW_IPS", named)
    assert behind_proxy() is believed
    assert _server(Settings()).config.proxy_headers is believed
