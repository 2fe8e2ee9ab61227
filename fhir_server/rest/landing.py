"""The page at ``/``: where everything is."""

from __future__ import annotations

LINKS = (
    ("/fhir/metadata", "CapabilityStatement", "what this server offers"),
    ("/fhir/.well-known/smart-configuration", "SMART configuration", "where apps get tokens"),
    ("/auth/apps", "My apps", "which apps you let in, and who saw your data"),
    ("/health/ready", "Health", "whether the database is there"),
    ("/metrics", "Metrics", "for Prometheus"),
)


def landing_page() -> str:
    """A small page in plain HTML, no outside assets."""
    items = "".join(f'<li><a href="{url}">{name}</a>: {text}</li>' for url, name, text in LINKS)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>FHIR scheduling server</title>
<style>
body {{ font: 1rem/1.6 system-ui, sans-serif; max-width: 42rem; margin: 3rem auto; padding: 0 1rem; color: #1a1a1a; }}
a {{ color: #0645ad; }}
code {{ background: #f2f2f2; padding: .1rem .3rem; border-radius: .2rem; }}
</style>
</head>
<body>
<h1>FHIR scheduling server</h1>
<p>FHIR R4 (4.0.1). The base is <code>/fhir</code>; requests carry a token. Free times come from
<code>Appointment/$find</code>; a time is kept with <code>$hold</code> and booked with <code>$book</code>.</p>
<ul>{items}</ul>
</body>
</html>
"""
