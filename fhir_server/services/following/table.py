"""Who follows facts, and who performs what is due: the one place that names them all."""

from __future__ import annotations

from fhir_server.services.following.fact import Following
from fhir_server.services.following.performance import Performer
from fhir_server.services.waitlist import following as waitlist

FOLLOWERS: dict[str, Following] = {"waitlist": waitlist.FOLLOWING}
"""Name → whoever follows, in the order in which they are told."""

PERFORMERS: dict[str, Performer] = {**waitlist.PERFORMING}
"""Kind of work → who does it."""
