"""Run a worker or beat in this process, until a signal ends it."""

from __future__ import annotations

import tempfile
from pathlib import Path

from celery import signals

from fhir_server.settings import Settings
from workers import metrics
from workers.app import QUEUES, celery_of
from workers.runtime import Runtime
from workers.tasks import register


def work(settings: Settings, only: str = "") -> None:
    """A worker: due work on threads, which wait for the process's one event loop; it may lead the relay.

    :param only: ``events`` or ``messages``; empty = both.
    """
    app = celery_of(settings)
    queues = [QUEUES[only]] if only else list(QUEUES.values())
    app.amqp.queues.select(queues)
    runtime = Runtime(settings, app, queues)
    register(app, runtime)
    metrics.serve(settings.worker_metrics_port)
    runtime.start()
    signals.worker_shutdown.connect(lambda **_: runtime.stop(), weak=False)
    app.Worker(
        pool_cls="threads", loglevel="WARNING", quiet=True, without_gossip=True, without_mingle=True,
        without_heartbeat=True,
    ).start()  # fmt: skip


def beat(settings: Settings) -> None:
    """The ticks: what is due is asked for once a second, holds that are over are settled. Two of them do no harm."""
    with tempfile.TemporaryDirectory(prefix="fhir-beat-") as folder:
        celery_of(settings).Beat(loglevel="WARNING", quiet=True, schedule=str(Path(folder) / "schedule")).run()
