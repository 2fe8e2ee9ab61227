"""By https the cookie is bound to this host and the browser told to stay with https."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from fhir_server.app import Server, create_app
from fhir_server.settings import Settings
from fhir_server.smart.pages.rendering import headers
from tests.builders.browser import Browser


@pytest_asyncio.fixture(loop_scope="session")
async def secure(settings: Settings) -> AsyncIterator[Server]:
    made = create_app(settings.model_copy(update={"base_url": "https://fhir.test/fhir"}))
    async with made.router.lifespan_context(made):
        yield made


async def test_cookies_and_headers(secure: Server) -> None:
    page = await Browser(secure, "https://fhir.test").get("/auth/login")
    name, *attributes = page.headers["set-cookie"].split("; ")
    assert name.startswith("__Host-fhir-login=p.")
    assert set(attributes) == {"HttpOnly", "Secure", "SameSite=lax", "Path=/"}
    assert page.headers["strict-transport-security"] == "max-age=31536000"


async def test_a_server_that_starts_says_so(settings: Settings) -> None:
    page = await Browser(create_app(settings)).get("/auth/login")
    assert page.status_code == 503
    assert page.headers["retry-after"] == "5"


@pytest.mark.parametrize(
    ("redirect_uri", "source"),
    [
        ("", "'self'"),
        ("https://app.example/callback", "'self' https://app.example"),
        ("http://127.0.0.1:7000/cb?x=y", "'self' http://127.0.0.1:7000"),
        ("http://[::1]:7000/cb", "'self' http:"),
        ("com.example.app:/cb", "'self' com.example.app:"),
        ("https://app.example;script-src/", "'self' https:"),
        ("nonsense", "'self'"),
    ],
)
def test_forms_lead_only_where_the_answer_goes(redirect_uri: str, source: str) -> None:
    policy = headers(secure=False, redirect_uri=redirect_uri)["Content-Security-Policy"]
    assert f"; form-action {source}; " in policy
