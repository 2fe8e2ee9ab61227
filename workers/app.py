"""The Celery application: what goes over the broker are kinds and keys of due work, never a resource.

The broker holds nothing that is not in MongoDB as well: what it loses is handed out again, what it delivers twice is
claimed once. So there are no results, no ETAs and no retries of Celery's own.
https://docs.celeryq.dev/en/stable/getting-started/backends-and-brokers/redis.html
"""

from __future__ import annotations

from celery import Celery
from kombu.entity import Queue

from fhir_server.settings import Settings

EVENTS, MESSAGES = "fhir-server", "fhir-server-messages"
"""Two queues: what goes to people waits behind a slow mail server, what systems are told and timers do not."""

QUEUES = {"events": EVENTS, "messages": MESSAGES}
"""The queues by the names that operators use; in their order, where one worker serves both."""

PERFORM, DUE, UPKEEP = "perform", "due", "upkeep"
VISIBILITY_SECONDS = 600
DUE_SECONDS = 1.0
UPKEEP_SECONDS = 2.0


def celery_of(settings: Settings) -> Celery:
    """The application that the settings name; nothing is connected yet."""
    made = Celery("fhir-server", broker=settings.redis_address, backend=None)
    made.conf.update(
        task_serializer="json",
        accept_content=["json"],
        task_ignore_result=True,
        task_default_queue=EVENTS,
        task_queues=[Queue(one) for one in QUEUES.values()],  # type: ignore[no-untyped-call]  # the library has no types
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_concurrency=settings.worker_concurrency,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_connection_retry_on_startup=True,
        broker_transport_options={
            "visibility_timeout": VISIBILITY_SECONDS,
            "queue_order_strategy": "priority",
            "socket_timeout": 10,
            "socket_connect_timeout": 5,
        },
        timezone="UTC",
        # A tick that nobody took before the next is of no use any more.
        beat_schedule={
            DUE: {"task": DUE, "schedule": DUE_SECONDS, "options": {"expires": 2 * DUE_SECONDS}},
            UPKEEP: {"task": UPKEEP, "schedule": UPKEEP_SECONDS, "options": {"expires": 2 * UPKEEP_SECONDS}},
        },
        beat_max_loop_interval=1,
    )
    return made
