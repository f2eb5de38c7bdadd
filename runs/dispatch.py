"""Waking whoever computes: Celery workers when a broker is set, else the worker thread of this process.

A wake-up is a hint that may be lost: the rows remember, and the sweep sends it again. Not here: any state.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from functools import partial
from uuid import UUID

from celery import current_app
from django.conf import settings
from django.db import transaction
from kombu.exceptions import OperationalError as BrokerError

logger = logging.getLogger(__name__)

CHUNK_TASK = "runs.chunk"
SWEEP_TASK = "runs.sweep"
# Set whenever there may be something to claim. The worker thread waits on it (worker.py).
wake = threading.Event()


def chunks_send_on_commit(run_id: UUID, indices: Iterable[int]) -> None:
    """Send the chunks once the surrounding transaction is committed: a worker must find the rows."""
    transaction.on_commit(partial(chunks_send, run_id, tuple(indices)))


def chunks_send(run_id: UUID, indices: Iterable[int]) -> int:
    """Send one wake-up per chunk; returns how many the broker took. Never raises for a broker that is away."""
    if not settings.REDIS_URL:
        wake.set()
        return 0
    sent = 0
    try:
        with current_app.producer_or_acquire() as producer:
            for index in indices:
                current_app.send_task(CHUNK_TASK, args=[str(run_id), index], producer=producer)
                sent += 1
    except (BrokerError, OSError) as error:
        logger.warning(
            "broker unreachable (%s): the sweep will send the chunks again", type(error).__name__, extra={"run": run_id}
        )
    return sent
