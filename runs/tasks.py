"""The Celery tasks: load by id, call a service. Both may be sent any number of times."""

from __future__ import annotations

from uuid import UUID

from celery import shared_task

from runs import dispatch, leases, services


@shared_task(name=dispatch.CHUNK_TASK)
def chunk(run_id: str, index: int) -> None:
    """Compute one chunk, unless somebody else has or does."""
    services.chunk_work(run_id=UUID(run_id), index=index, owner=leases.owner_name())


@shared_task(name=dispatch.SWEEP_TASK)
def sweep() -> None:
    """Send again what was lost, finalise what is complete, fail what cannot be computed."""
    services.sweep()
