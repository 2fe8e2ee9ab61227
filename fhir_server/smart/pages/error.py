"""The page for what went wrong before anybody can be sent back to an app."""

from __future__ import annotations

from fastapi.responses import HTMLResponse

from fhir_server.smart.pages.rendering import render


def error_page(title: str, text: str, status: int = 400, *, secure: bool = False, **headers: str) -> HTMLResponse:
    """A page with a heading and a sentence; keyword arguments are headers with ``_`` for ``-``.

    :param secure: people come by https.
    """
    answer = render("error.html", status, secure=secure, title=title, text=text)
    answer.headers.update({name.replace("_", "-"): value for name, value in headers.items()})
    return answer
