"""Who follows facts, and who performs what is due: the one place that names them all."""

from __future__ import annotations

from fhir_server.services.following.fact import Following
from fhir_server.services.following.performance import Performer
from fhir_server.services.no_show import flags, watching

FOLLOWERS: dict[str, Following] = {"attendance": watching.FOLLOWING}
"""Name → whoever follows, in the order in which they are told."""

PERFORMERS: dict[str, Performer] = {watching.WATCH: watching.watch, flags.LAPSE: flags.lapse}
"""Kind of work → who does it."""
