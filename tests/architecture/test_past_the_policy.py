"""What a caller sees comes through ``services/access``; whoever reads past it is known and has a reason."""

from __future__ import annotations

from tests.architecture.test_rooms import SERVER

PAST = {
    "services/access/": "is the policy",
    "services/answering.py": "rooms and roles of who declines; nothing leaves",
    "services/assignment.py": "counts visits to spread them; no content leaves",
    "services/attending.py": "judges by writes.reached",
    "services/audit/report.py": "the access record has rules of its own",
    "services/authorization/": "asks about accounts and patients before there is a caller",
    "services/booking.py": "writes what its use case has judged",
    "services/cancel.py": "judges by writes.reached",
    "services/candidates.py": "places of the directory, which everybody sees",
    "services/catalogue.py": "the directory, which everybody sees",
    "services/eligibility.py": "reads the booking limits of the patient who books",
    "services/everything.py": "rows of ids; each is shown through the view",
    "services/held.py": "finds Slots that a booking fills; nothing leaves",
    "services/hold.py": "judges by writes.reached",
    "services/includes.py": "shown through the view",
    "services/keyed.py": "judges what was answered under a key anew",
    "services/kiosk.py": "judges by writes.reached, or by the link and a birth date; nothing leaves",
    "services/listing.py": "its query is narrowed by the policy, its pages shown through the view",
    "services/no_show/": "works for nobody; a booking learns only whether a rule applies",
    "services/published.py": "times that are taken; nothing of them leaves",
    "services/rebuild.py": "works for nobody",
    "services/reminders/": "works for the patient alone whom a message, link or number is for",
    "services/reschedule.py": "judges by writes.reached",
    "services/resources.py": "reads and writes behind the view and writes.check",
    "services/responses.py": "what is answered was judged by writes.check",
    "services/slots.py": "writes what its use case has judged",
    "services/subscriptions/deliver.py": "sends by the rights of the owner, looked up for each sending",
    "services/subscriptions/mailbox.py": "looks whether an address is the owner's own; nothing leaves",
    "services/subscriptions/resend.py": "the same",
    "services/subscriptions/sending.py": "shows versions through the owner's view; the current says that it is gone",
    "services/subscriptions/sockets.py": "judges by the policy of the caller who bound the websocket",
    "services/targets.py": "judges by writes.reached",
    "services/upkeep.py": "works for nobody",
    "services/waitlist/answer.py": "judges by writes.reached; what an answer ends is the same patient's",
    "services/waitlist/choosing.py": "judges by writes.reached",
    "services/waitlist/entries.py": "ranks everybody who waits; what is shown of them goes through the view",
    "services/waitlist/following.py": "works for nobody",
    "services/waitlist/joining.py": "judges by resources.permitted; what it keeps is named by writes.check",
    "services/waitlist/responses.py": "judges by writes.reached in what it calls",
    "services/waitlist/rounds.py": "works for nobody",
    "services/wishes.py": "judges by writes.check_wish",
    "rest/operations/criteria.py": "names of the directory",
}


def test_who_reads_past_the_policy_is_known() -> None:
    found = {
        str(path.relative_to(SERVER))
        for room in ("rest", "services", "smart")
        for path in (SERVER / room).rglob("*.py")
        if "store.resources." in path.read_text()
    }
    strangers = {one for one in found if not any(one.startswith(known) for known in PAST)}
    assert strangers == set(), "read through world.view, or say here why not"
    gone = {known for known in PAST if not any(one.startswith(known) for one in found)}
    assert gone == set(), "no longer reads past the policy"
