"""How the authorization endpoint answers: by the redirect URI of the client, or not at all.

https://www.rfc-editor.org/rfc/rfc6749#section-4.1.2.1, with ``iss`` of https://www.rfc-editor.org/rfc/rfc9207
"""

from __future__ import annotations

from urllib.parse import quote

from fhir_server.services.world import World


class Unredirectable(Exception):  # noqa: N818  an answer, not a defect
    """The request names no client and redirect URI that belong together: the person sees a page, with status 400."""

    def __init__(self, title: str, text: str) -> None:
        super().__init__(text)
        self.title = title
        self.text = text


class Redirected(Exception):  # noqa: N818  an answer, not a defect
    """The request is refused, and the app hears of it: the browser goes to ``url``."""

    def __init__(self, url: str) -> None:
        super().__init__("the request is refused")
        self.url = url


def answer_url(world: World, redirect_uri: str, state: str, **members: str) -> str:
    """The redirect URI with the answer, the state byte by byte as it came, and who answers."""
    said = {**members, **({"state": state} if state else {}), "iss": world.settings.issuer}
    query = "&".join(f"{name}={quote(value, safe='', errors='surrogateescape')}" for name, value in said.items())
    return f"{redirect_uri}{'&' if '?' in redirect_uri else '?'}{query}"
