"""How an app may look inside the EMR: the style of ``smart_style_url``, whose address changes with its content.

https://hl7.org/fhir/smart-app-launch/scopes-and-launch-context.html#styling
"""

from __future__ import annotations

import hashlib

import orjson

from fhir_server.services.world import World

STYLE = orjson.dumps({
    "color_background": "#ffffff",
    "color_error": "#b00020",
    "color_highlight": "#0645ad",
    "color_modal_backdrop": "#00000080",
    "color_success": "#1b6e2c",
    "color_text": "#1a1a1a",
    "dim_border_radius": "4px",
    "dim_font_size": "16px",
    "dim_spacing_size": "16px",
    "font_family_body": "system-ui, sans-serif",
    "font_family_heading": "system-ui, sans-serif",
})  # fmt: skip
PATH = f"/auth/style-{hashlib.sha256(STYLE).hexdigest()[:12]}.json"


def url(world: World) -> str:
    """Where the style is."""
    return f"{world.settings.issuer}{PATH}"
