"""Who follows facts, and who performs what is due: the one place that names them all."""

from __future__ import annotations

from fhir_server.services.following.fact import Following
from fhir_server.services.following.performance import Performer
from fhir_server.services.reminders import follow
from fhir_server.services.reminders.release import release
from fhir_server.services.reminders.requests import REMINDER
from fhir_server.services.reminders.send import send

FOLLOWERS: dict[str, Following] = {"reminders": follow.FOLLOWING}
"""Name → whoever follows, in the order in which they are told."""

PERFORMERS: dict[str, Performer] = {REMINDER: send, follow.RELEASE: release}
"""Kind of work → who does it."""
