"""Who follows facts, and who performs what is due: the one place that names them all."""

from __future__ import annotations

from fhir_server.services.following.fact import Following
from fhir_server.services.following.performance import Performer

FOLLOWERS: dict[str, Following] = {}
"""Name → whoever follows, in the order in which they are told."""

PERFORMERS: dict[str, Performer] = {}
"""Kind of work → who does it."""
