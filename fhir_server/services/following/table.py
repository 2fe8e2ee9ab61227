"""Who follows facts, and who performs what is due: the one place that names them all."""

from __future__ import annotations

from fhir_server.fhir.types import HELD
from fhir_server.services.following.fact import Following
from fhir_server.services.following.performance import Performer
from fhir_server.services.no_show import flags, telling, watching
from fhir_server.services.reminders import follow as reminders
from fhir_server.services.reminders.offers import tell
from fhir_server.services.reminders.release import release
from fhir_server.services.reminders.requests import RELEASE, REMINDER
from fhir_server.services.reminders.send import send
from fhir_server.services.subscriptions import follow as subscriptions
from fhir_server.services.subscriptions.deliver import deliver
from fhir_server.services.subscriptions.resend import resend
from fhir_server.services.subscriptions.terms import NOT_TOLD
from fhir_server.services.subscriptions.writing import DELIVERY, RESEND
from fhir_server.services.waitlist import following as waitlist
from fhir_server.services.waitlist.messages import MESSAGE

FOLLOWERS: dict[str, Following] = {
    "subscriptions": Following(subscriptions.follow, HELD - NOT_TOLD, asked=subscriptions.asked),
    "waitlist": waitlist.FOLLOWING,
    "reminders": reminders.FOLLOWING,
    "attendance": watching.FOLLOWING,
}
"""Name → whoever follows, in the order in which they are told."""

PERFORMERS: dict[str, Performer] = {
    DELIVERY: deliver,
    RESEND: resend,
    REMINDER: send,
    RELEASE: release,
    watching.WATCH: watching.watch,
    telling.TELL: telling.tell,
    flags.LAPSE: flags.lapse,
    MESSAGE: tell,
    **waitlist.PERFORMING,
}
"""Kind of work → who does it."""

TO_PEOPLE = frozenset({REMINDER, telling.TELL})
"""Kinds of work that write to people by channels which may take their time."""
