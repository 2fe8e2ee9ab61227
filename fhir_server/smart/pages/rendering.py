"""Pages from templates, with the headers that every one of them carries.

https://cheatsheetseries.owasp.org/cheatsheets/Clickjacking_Defense_Cheat_Sheet.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import resources
from typing import Any
from urllib.parse import urlsplit

from fastapi.responses import HTMLResponse, Response
from jinja2 import Environment, PackageLoader, StrictUndefined

from fhir_server.smart.pages.texts import TEXTS

LANGUAGE = "en"
HSTS = "max-age=31536000"
_ENVIRONMENT = Environment(
    loader=PackageLoader("fhir_server.smart", "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_HOST = re.compile(r"[A-Za-z0-9.\-]+(?::\d{1,5})?", re.ASCII)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*", re.ASCII)


def render(
    template: str,
    status: int = 200,
    *,
    secure: bool,
    redirect_uri: str = "",
    language: str = LANGUAGE,
    texts: Mapping[str, str] | None = None,
    **values: Any,
) -> HTMLResponse:
    """A page.

    :param secure: people come by https.
    :param redirect_uri: where a form of the page may lead in the end, beside ourselves.
    :param texts: what it says, in its language; without them what the pages of the login say.
    """
    text = _ENVIRONMENT.get_template(template).render(t=texts or TEXTS[LANGUAGE], lang=language, **values)
    answer = HTMLResponse(text, status)
    answer.headers.update(headers(secure=secure, redirect_uri=redirect_uri))
    return answer


def headers(*, secure: bool, redirect_uri: str = "") -> dict[str, str]:
    """What a page says to the browser: nothing from elsewhere, in no frame, kept by nobody."""
    forms = " ".join(filter(None, ["'self'", _source(redirect_uri)]))
    said = {
        "Content-Security-Policy": "default-src 'none'; style-src 'self'; "
        f"form-action {forms}; frame-ancestors 'none'; base-uri 'none'",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
    }
    return said | ({"Strict-Transport-Security": HSTS} if secure else {})


def style() -> Response:
    """The one stylesheet."""
    text = resources.files("fhir_server.smart").joinpath("templates/style.css").read_bytes()
    answer = Response(text, media_type="text/css")
    answer.headers.update({"Cache-Control": "public, max-age=3600", "X-Content-Type-Options": "nosniff"})
    return answer


def _source(url: str) -> str:
    """A source expression for where a form's answer redirects to: browsers hold ``form-action`` against it as well.

    https://www.w3.org/TR/CSP3/#directive-form-action
    """
    parts = urlsplit(url)
    if not _SCHEME.fullmatch(parts.scheme):
        return ""
    if parts.scheme in {"http", "https"} and _HOST.fullmatch(parts.netloc):
        return f"{parts.scheme}://{parts.netloc}"
    # An app's own scheme has no origin, and an IPv6 address is no source expression.
    return f"{parts.scheme}:"
